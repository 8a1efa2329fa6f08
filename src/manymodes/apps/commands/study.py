"""``manymodes study``: published experiments, run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from manymodes import _checks
from manymodes.apps.commands.settings import AsJson, Flag, Whole
from manymodes.apps.commands.talking import printer, teller


def study(
    name: str | None = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", negative="", show_default=False)] = False,
    quick: Flag = False,
    data: Path | None = None,
    output: Path = Path("manymodes-studies"),
    overwrite: Flag = False,
    random_state: Whole = 0,
    keep_steps: Flag = False,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Run a published experiment anew: print its tables, write results.json, figures and a page into a folder.

    A study that was interrupted goes on where it was when the same command is started again.

    Parameters
    ----------
    name
        Name of the study, or all.
    list_
        Name all studies, what they ask and what they need.
    quick
        Show within seconds that everything works; the figures mean little.
    data
        Folder with the real tables. By default $MANYMODES_DATA, or manymodes in the cache folder.
    output
        Folder that gets a folder for each study.
    overwrite
        Replace what finished studies wrote there.
    random_state
        Seed; repetitions count from it.
    keep_steps
        Keep the outcomes of steps, from which the page can be drawn anew.
    quiet
        Print no progress.
    json
        Print what was found, or the list, as JSON.
    """
    from manymodes.apps.study import StudyOptions, list_studies, run_studies, studies_as_json

    if list_ or name is None:
        if json:
            print(studies_as_json())  # noqa: T201
        else:
            list_studies(printer())
        return
    options = StudyOptions(
        name=name,
        output=output,
        quick=quick,
        data=data,
        overwrite=overwrite,
        random_state=_checks.random_state(random_state, "--random-state"),
        keep_steps=keep_steps,
    )
    run_studies(options, teller(quiet), printer(), machine=json)
