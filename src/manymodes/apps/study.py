"""``manymodes study``: run one study or all of them, tell how far they are, print their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from manymodes import _checks, studies
from manymodes.apps.summary import as_json
from manymodes.studies import STUDIES
from manymodes.studies.catalogue import ALL, Entry, entry

_ROOM = 3  # columns of the screen between cells


@dataclass(frozen=True)
class StudyOptions:
    """What ``manymodes study`` was asked for.

    Attributes:
        name: Name of a study, or ``"all"``.
        output: Folder that gets a folder for every study.
        quick: Whether to show only that everything works.
        data: Folder of the real tables; None for the usual places.
        overwrite: Whether to replace finished studies.
        random_state: Seed.
        keep_steps: Whether to keep the outcomes of steps.
    """

    name: str
    output: Path
    quick: bool
    data: Path | None
    overwrite: bool
    random_state: int
    keep_steps: bool


def list_studies(console: Console) -> None:
    """Print the names of all studies, what they ask and what they need."""
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "question", "data", "minutes"):
        table.add_column(heading, justify="right" if heading == "minutes" else "left", overflow="fold")
    for each in STUDIES.values():
        table.add_row(each.name, each.question, ", ".join(each.tables), f"{each.minutes:g}")
    console.print(table)
    console.print("Minutes are those of a full run on two cores; --quick takes seconds. 'all' runs all of them.")


def studies_as_json() -> str:
    """Return what is known of all studies before they run, as JSON."""
    return as_json([asdict(each) for each in STUDIES.values()])


def run_studies(options: StudyOptions, tell: Callable[[str], None], console: Console, *, machine: bool = False) -> None:
    """Run the study asked for, or all of them, and print what they found: for people, or as JSON for a machine.

    Of all, those that are finished with the same settings are not run again, and those whose data are not there are
    left out and named at the end.

    Raises:
        ValueError: An unknown study, data that are not there, a folder that holds a finished study.
    """
    from manymodes.studies.execute import RESULTS, write_index

    console.quiet = machine
    if options.name != ALL:
        _run(entry(options.name), options, tell, console)
        if machine:
            print(_record(options.output / options.name))  # noqa: T201
        return
    left_out: list[str] = []
    for each in STUDIES.values():
        try:
            _run(each, options, tell, console)
        except _checks.InputError as error:
            left_out.append(f"{each.name}: {error}")
            tell(left_out[-1])
    console.print(f"All pages: {write_index(options.output)}", soft_wrap=True)
    if machine:
        finished = [name for name in STUDIES if (options.output / name / RESULTS).is_file()]
        print(as_json([json.loads(_record(options.output / name)) for name in finished]))  # noqa: T201
    if left_out:
        names = _checks.quoted(line.partition(":")[0] for line in left_out)
        count = _checks.counted(len(left_out), "study", "studies")
        raise _checks.InputError(f"{count} could not be run ({names}), see above.")


def _record(folder: Path) -> str:
    """Return what a finished study wrote down."""
    from manymodes.studies.execute import RESULTS

    return (folder / RESULTS).read_text().rstrip()


def _run(asked: Entry, options: StudyOptions, tell: Callable[[str], None], console: Console) -> None:
    from manymodes.studies.execute import PAGE, is_finished

    folder = options.output / asked.name
    quick, seed = options.quick, options.random_state
    if options.name == ALL and not options.overwrite and is_finished(folder, quick=quick, random_state=seed):
        tell(f"{asked.name}: finished before, in {folder}")
        return
    try:
        result = studies.run(
            asked.name,
            data=options.data,
            output=folder,
            overwrite=options.overwrite,
            keep_steps=options.keep_steps,
            quick=quick,
            random_state=seed,
            tell=tell,
        )
    except KeyboardInterrupt as interruption:
        raise KeyboardInterrupt(
            f"interrupted; what was measured so far is kept in {folder}, and the same command goes on from there."
        ) from interruption
    print_result(result, console)
    console.print(f"Page: {folder / PAGE}", soft_wrap=True)


def print_result(result: studies.Result, console: Console) -> None:
    """Print a study's title, tables and conclusions."""
    console.print(result.title, style="bold")
    for table in result.tables:
        for part in _parts(table, console.width):
            console.print(part)
    for sentence in result.conclusions:
        console.print(f"- {sentence}")


def _parts(own: studies.Table, width: int) -> Iterator[Table]:
    """Yield a table as parts that are no wider than the console, each with the labels."""
    cells, marks = own.text(), own.marked()
    widths = [max(map(len, column)) + _ROOM for column in zip(own.columns, *cells, strict=True)]
    title, places = own.caption, list(range(1, len(widths)))
    while places:
        used = widths[0] + widths[places[0]]
        taken = 1
        while taken < len(places) and used + widths[places[taken]] < width:
            used, taken = used + widths[places[taken]], taken + 1
        shown, places = [0, *places[:taken]], places[taken:]
        table = Table(title=Text(title), title_justify="left")
        for place in shown:
            table.add_column(own.columns[place], justify="right" if place else "left", overflow="fold")
        for row, best in zip(cells, marks, strict=True):
            table.add_row(*(Text(row[place], style="bold" if place in best else "") for place in shown))
        yield table
        title = f"{own.caption} (continued)"
