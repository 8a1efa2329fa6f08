"""``manymodes serve``: models over HTTP."""

from __future__ import annotations

from pathlib import Path

from manymodes import _checks
from manymodes.apps.commands.settings import Flag, Whole
from manymodes.apps.commands.talking import teller


def serve(
    model: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: Whole = 8000,
    max_body_bytes: Whole = 1_048_576,
    max_rows: Whole = 1000,
    time_limit: float = 30.0,
    quiet: Flag = False,
) -> None:
    """Answer for models over HTTP with JSON: points, quantiles, densities, regions, modes, samples.

    /openapi.json describes the addresses, /health/live and /health/ready are for those who watch over it. Ends on
    Ctrl-C or SIGTERM, after it has answered what it was asked.

    Parameters
    ----------
    model
        Folder that fit wrote, a model file, or a folder of such: each is served under its name.
    host
        Where to listen. By default for requests from this computer only.
    port
        Port to listen at; 0 for any that is free.
    max_body_bytes
        Most bytes of a request's body.
    max_rows
        Most rows of a request.
    time_limit
        Seconds that an answer may take.
    quiet
        Print nothing.
    """
    from manymodes.apps.service.limits import Limits
    from manymodes.apps.service.models import find_models

    try:
        from manymodes.apps.service.running import serve as run
    except ModuleNotFoundError as error:
        raise _checks.InputError(
            f"manymodes serve needs {error.name}; install it with: pip install 'manymodes[apps]'."
        ) from None
    limits = Limits(
        body_bytes=_checks.integer_at_least("--max-body-bytes", max_body_bytes, 1),
        rows=_checks.integer_at_least("--max-rows", max_rows, 1),
        seconds=_checks.positive("--time-limit", time_limit),
    )
    port = _checks.integer_at_least("--port", port, 0, 65535)
    run(find_models(model), limits, host=host, port=port, tell=teller(quiet))
