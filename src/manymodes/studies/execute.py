"""Run a study into a folder: results.json, report.html and figures, whole or not at all; steps are kept until then."""

from __future__ import annotations

import importlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import manymodes
from manymodes import _checks
from manymodes.datasets import fetch_mnist, load_table
from manymodes.studies.catalogue import STUDIES, Entry, entry
from manymodes.studies.frame.page import index_page, study_page
from manymodes.studies.frame.result import Result
from manymodes.studies.frame.work import Work
from manymodes.training.files import write_atomically

RESULTS, PAGE, FIGURES, INDEX = "results.json", "report.html", "figures", "index.html"


def run(
    name: str,
    *,
    quick: bool = False,
    random_state: int = 0,
    data: Path | str | None = None,
    output: Path | str | None = None,
    overwrite: bool = False,
    keep_steps: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Run a study and return what it found.

    A study that was interrupted goes on in the same folder: finished steps are read, not computed again.

    Args:
        name: Name of the study, see ``STUDIES``.
        quick: Whether to show only that everything works, in seconds: its figures mean little.
        random_state: Seed; repetitions count from it.
        data: Folder of the real tables, see ``datasets.load_table``.
        output: Folder to write ``results.json``, ``report.html`` and ``figures/`` to; None writes nothing.
        overwrite: Replace what a finished study wrote there.
        keep_steps: Keep the outcomes of steps in the folder, so that pages can be drawn anew in no time.
        tell: What is called with a line on every step.

    Raises:
        ValueError: An unknown study, a folder that holds a finished one, or data that are not there.
    """
    asked = entry(name)
    seed = _checks.random_state(random_state)
    data = None if data is None else Path(data)
    folder = None if output is None else Path(output)
    if folder is not None and not overwrite and (folder / RESULTS).exists():
        raise _checks.InputError(
            f"{str(folder)!r} holds a finished study; name another folder, or ask to overwrite it."
        )
    require_data(asked, data)
    kept = None if folder is None else folder / "steps" / f"{'quick' if quick else 'full'}-{seed}"
    work = Work(name, quick=quick, random_state=seed, data=data, folder=kept, tell=tell)
    started = time.perf_counter()
    result: Result = importlib.import_module(asked.module).study(work)
    if folder is not None:
        _write(folder, asked, result, work, time.perf_counter() - started + work.seconds_before)
        if kept is not None and not keep_steps:
            shutil.rmtree(folder / "steps", ignore_errors=True)
    return result


def require_data(asked: Entry, data: Path | None) -> None:
    """Refuse a study whose tables are not there, before anything is computed; images are downloaded if need be."""
    for table in asked.tables:
        if table == "mnist":
            fetch_mnist(data)
        else:
            load_table(table, data)


def write_index(folder: Path) -> Path:
    """Write a page that leads to those of all finished studies in the subfolders of a folder, and return its path."""
    records = [
        (f"{name}/{PAGE}", json.loads((folder / name / RESULTS).read_text()))
        for name in STUDIES
        if (folder / name / RESULTS).is_file()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / INDEX, index_page(records).encode())
    return folder / INDEX


def is_finished(folder: Path, *, quick: bool, random_state: int) -> bool:
    """Return whether a folder holds a finished study with these settings."""
    file = folder / RESULTS
    if not file.is_file():
        return False
    try:
        settings = json.loads(file.read_text())["settings"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(settings == {"quick": quick, "random_state": random_state})


def _write(folder: Path, asked: Entry, result: Result, work: Work, seconds: float) -> None:
    settings = {"quick": work.quick, "random_state": work.random_state}
    versions = {
        "manymodes": manymodes.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    options = " --quick" * work.quick + f" --random-state {work.random_state}" * bool(work.random_state)
    command = f"manymodes study {asked.name}{options}"
    about: Mapping[str, Any] = {**settings, **versions, "seconds": round(seconds)}
    figures = folder / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    for figure in result.figures:
        write_atomically(figures / f"{figure.name}.svg", figure.svg.encode())
    write_atomically(folder / PAGE, study_page(result, command, about).encode())
    record = result.to_json(
        study=asked.name,
        settings=settings,
        versions=versions,
        seconds=round(seconds, 1),
        measured=work.measured,
    )
    write_atomically(folder / RESULTS, record.encode())  # last: it says that all is there
