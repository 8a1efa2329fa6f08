"""The folder of shared data, and a server on this machine in place of those on the network."""

from __future__ import annotations

import functools
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_DATA = Path(os.environ.get("MANYMODES_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_folder():
    """Return a function that gives the folder of shared data if it holds a data set, and else skips or fails."""

    def find(name: str) -> Path:
        if not (_DATA / name).is_dir():
            message = f"the shared data folder has no {name}"
            if os.environ.get("MANYMODES_REQUIRE_DATA") == "1":
                pytest.fail(message)
            pytest.skip(message)
        return _DATA

    return find


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return a folder and the address under which a server hands out its files."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def nowhere(tmp_path):
    """Return an address that gives nothing, as if there were no network."""
    return (tmp_path / "nowhere").as_uri() + "/"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder where data are kept in a test."""
    monkeypatch.setenv("MANYMODES_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"
