"""A study at work: its settings, its progress, and steps whose outcomes are kept, so that it can be interrupted."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

import manymodes
from manymodes.datasets import Table, load_table
from manymodes.training.files import write_atomically

Record = Mapping[str, Any]
T = TypeVar("T")

_ABOUT = "_about"  # the entry of a file that holds what is no array


class Work:
    """What a study is handed: how much to compute, with which seed, on which data.

    Args:
        name: Name of the study.
        quick: Whether to show only that everything works, in seconds.
        random_state: Seed; repetitions count from it.
        data: Folder of the tables; None for the usual places, see ``datasets.load_table``.
        folder: Where outcomes of steps are kept; None keeps none.
        tell: What is called with a line on every step.
    """

    def __init__(
        self,
        name: str,
        *,
        quick: bool = False,
        random_state: int = 0,
        data: Path | None = None,
        folder: Path | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name = name
        self.quick = quick
        self.random_state = random_state
        self.data = data
        self.measured: dict[str, dict[str, Any]] = {}  # what steps found, without their arrays
        self.seconds_before = 0.0  # of steps that were done before
        self._folder = folder
        self._tell = tell

    def pick(self, full: T, quick: T) -> T:
        """Return a setting of the full study, or the one of a quick look."""
        return quick if self.quick else full

    def seeds(self, full: int, quick: int = 1) -> range:
        """Return the seeds of so many repetitions."""
        return range(self.random_state, self.random_state + self.pick(full, quick))

    def table(self, name: str) -> Table:
        """Return a real table."""
        return load_table(name, self.data)

    def step(self, key: str, compute: Callable[[], Record]) -> Record:
        """Return what ``compute`` returns, or what it returned before the study was interrupted.

        Args:
            key: What is computed, in words; unique within the study.
            compute: A function without arguments that returns numbers, text, lists of them and NumPy arrays by name.
        """
        file = None if self._folder is None else self._folder / f"{_slug(key)}.npz"
        kept = None if file is None else _read(file, self._about(key))
        if kept is None:
            record, seconds = self._computed(key, compute, file)
        else:
            record, seconds = kept
            self.seconds_before += seconds
            self._tell(f"{self.name}: {key} (done before)")
        self.measured[key] = {name: value for name, value in record.items() if not isinstance(value, np.ndarray)}
        return record

    def _computed(self, key: str, compute: Callable[[], Record], file: Path | None) -> tuple[Record, float]:
        started = time.perf_counter()
        record = dict(compute())
        seconds = time.perf_counter() - started
        self._tell(f"{self.name}: {key} ({seconds:.1f} s)")
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, _content(record, self._about(key), seconds))
        return record, seconds

    def _about(self, key: str) -> dict[str, Any]:
        """Return what a kept outcome must agree with to be taken."""
        settings = {"quick": self.quick, "random_state": self.random_state}
        return {"study": self.name, "key": key, "manymodes": manymodes.__version__, **settings}


def _slug(key: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", key.lower()).strip("-")


def _content(record: Record, about: Record, seconds: float) -> bytes:
    arrays: dict[str, Any] = {name: value for name, value in record.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in record.items() if name not in arrays}
    arrays[_ABOUT] = np.array(json.dumps({"about": about, "plain": plain, "order": list(record), "seconds": seconds}))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _read(file: Path, about: Record) -> tuple[Record, float] | None:
    """Return what a file keeps, and how long it took; None where there is none, a damaged one, or other settings."""
    if not file.is_file():
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            head = json.loads(str(arrays[_ABOUT]))
            if head["about"] != about:
                return None
            plain, order = head["plain"], head["order"]
            record = {name: plain[name] if name in plain else arrays[name] for name in order}
            return record, float(head["seconds"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
