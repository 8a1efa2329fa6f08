"""``manymodes explore``: tables and models in a browser."""

from __future__ import annotations

from pathlib import Path

from manymodes import _checks
from manymodes.apps.commands.settings import Flag, Whole
from manymodes.apps.commands.talking import teller


def explore(
    path: Path | None = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: Whole = 8080,
    max_upload_mb: Whole = 200,
    browser: bool = True,
    quiet: Flag = False,
) -> None:
    """Open a page that fits a model to a table while you watch, or that shows a fitted model. Ends on Ctrl-C.

    Parameters
    ----------
    path
        Table to start with (CSV or Parquet), or a fitted model; left out, a table is dropped onto the page.
    host
        Where to listen. By default for this computer only; for others, a token is asked for.
    port
        Port to listen at; 0 for any that is free.
    max_upload_mb
        Most megabytes of a table that is dropped.
    browser
        Open a browser.
    quiet
        Print nothing but the address, and open no browser.
    """
    from manymodes.apps.explore.running import explore as run

    run(
        path,
        host=host,
        port=_checks.integer_at_least("--port", port, 0, 65535),
        most_bytes=_checks.integer_at_least("--max-upload-mb", max_upload_mb, 1) * 1_000_000,
        browser=browser and not quiet,
        tell=teller(quiet=False),
    )
