"""A service as a process: its socket, its server, and how it ends."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
import uvicorn

from manymodes import _checks
from manymodes.apps.service.app import make_app
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.protocol import GuardedProtocol


class Server(uvicorn.Server):
    """A server that ends when it is told to, after it has answered what it was asked, and is content then."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM; uvicorn's own would raise them once more afterwards."""
        if threading.current_thread() is not threading.main_thread():  # which alone may listen to signals
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(models: Mapping[str, Served], limits: Limits) -> Server:
    """Return a server of models, which ``run(sockets=[...])`` starts."""
    return Server(
        uvicorn.Config(
            make_app(models, limits),
            http=partial(GuardedProtocol, arrival_seconds=limits.arrival_seconds),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(limits.seconds + limits.arrival_seconds),
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ValueError: A host that is none of this computer's, or a port that is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        raise _checks.InputError(
            f"--host and --port must be an address of this computer that is free; got {host}:{port} ({reason})."
        ) from None


def serve(models: Mapping[str, Served], limits: Limits, *, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve models until the process is told to end.

    Args:
        models: The models by their names.
        limits: What the service bears.
        host: Name or address to listen at.
        port: Number of the port; 0 for any that is free.
        tell: What tells where the service is.
    """
    listening = listen(host, port)
    if not is_loopback(listening):
        tell(
            f"Mind: --host {host} lets every computer that reaches this one ask these models, without a password and "
            "unencrypted."
        )
    place, number = listening.getsockname()[:2]
    address = f"http://[{place}]:{number}" if ":" in place else f"http://{place}:{number}"
    tell(f"Serving {_checks.quoted(models)} at {address}; {address}/openapi.json says how to ask. Ctrl-C ends it.")
    gc.freeze()  # what is loaded by now stays, and need not be looked through again and again
    torch.set_num_threads(1)  # batches are small, and requests need the other cores
    sys.setswitchinterval(1e-3)  # the worker lets go of Python's lock at every product, and must not wait for it long
    make_server(models, limits).run(sockets=[listening])


def is_loopback(listening: socket.socket) -> bool:
    """Return whether a socket can be reached from this computer only."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback
