"""``manymodes info``: what a model is."""

from __future__ import annotations

from pathlib import Path

from manymodes.apps.commands.settings import AsJson
from manymodes.apps.commands.talking import printer


def info(
    model: Path,
    /,
    *,
    json: AsJson = False,
) -> None:
    """Tell what is inside a model, what it was trained on, and how good it was found to be.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    json
        Print it as JSON.
    """
    from manymodes.apps.about import print_info
    from manymodes.apps.info import info_of
    from manymodes.apps.summary import as_json

    found = info_of(model)
    if json:
        print(as_json(found))  # noqa: T201
    else:
        print_info(found, printer())
