"""An explorer as a process: its address, its token, and the browser that is opened."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from manymodes.apps.explore.app import make_app
from manymodes.apps.explore.guard import Guard
from manymodes.apps.explore.model_page import is_model, model_page
from manymodes.apps.explore.session import Session
from manymodes.apps.service.protocol import GuardedProtocol
from manymodes.apps.service.running import Server, is_loopback, listen

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ARRIVAL = 10.0  # seconds that the head of a request may take


def explore(
    path: Path | None, *, host: str, port: int, most_bytes: int, browser: bool, tell: Callable[[str], None]
) -> None:
    """Run an explorer until the process is told to end.

    Args:
        path: A table to start with, or a model to look at; None for an empty page.
        host: Name or address to listen at; where others can reach it, a token is asked for.
        port: Number of the port; 0 for any that is free.
        most_bytes: Bytes that an upload may have.
        browser: Whether to open a browser.
        tell: What tells where the explorer is.

    Raises:
        ValueError: A path that is neither a table nor a model, or an address that cannot be had.
    """
    session, shown = Session(), None
    try:
        if path is not None and is_model(path):
            shown = model_page(path)
        elif path is not None:
            session.take_table(path)
        listening = listen(host, port)
        alone = is_loopback(listening)
        token = None if alone else secrets.token_urlsafe(24)
        place, number = listening.getsockname()[:2]
        app = Guard(make_app(session, most_bytes, shown), (*_LOOPBACK, place) if alone else (), token)
        if ipaddress.ip_address(place.partition("%")[0]).is_unspecified:
            place = socket.gethostname()
        address = f"http://[{place}]:{number}/" if ":" in place else f"http://{place}:{number}/"
        address += f"?token={token}" if token else ""
        if not alone:
            tell("Mind: other computers can reach this explorer, unencrypted; who knows the token below can use it.")
        tell(f"Explore at {address} (Ctrl-C ends it).")
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        protocol: Any = partial(GuardedProtocol, arrival_seconds=_ARRIVAL)
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        Server(config).run(sockets=[listening])
    finally:
        session.close()
