"""What happens in an explorer: a table comes, a model is fitted to it in a thread, and its files are there to take."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manymodes import _checks
from manymodes.apps.explore.tables import describe_table
from manymodes.apps.explore.watching import Watcher
from manymodes.apps.fit import FitOptions, fit_file
from manymodes.apps.learning import Learning
from manymodes.estimators import MDNRegressor

PRESETS = ("fast", "default", "best")
_NOTHING_YET: dict[str, Any] = dict.fromkeys(("rows", "ranges", "max_epochs", "seconds_left", "densities"))
_NOTHING_YET |= {"train": [], "validation": []}


class Session:
    """One table and one fit at a time; its files lie in a folder that goes with it.

    Attributes:
        folder: Where uploads and outcomes lie.
        version: A number that grows with every change of ``state``.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="manymodes-"))
        self.version = 0
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {"stage": "empty"}
        self._file: Path | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    # --- what is known ---

    def state(self) -> dict[str, Any]:
        """Return what a page shows, as JSON can hold it."""
        with self._lock:
            return {**self._state, "version": self.version}

    @property
    def uploads(self) -> Path:
        """Folder of the tables that were handed in."""
        folder = self.folder / "uploads"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def output(self) -> Path:
        """Folder of the model, the report and the summary of a fit that is done."""
        return self.folder / "model"

    @property
    def is_busy(self) -> bool:
        """Whether a fit runs."""
        return self._thread is not None and self._thread.is_alive()

    # --- what can be done ---

    def take_table(self, file: Path) -> None:
        """Take a table to learn from, which stays where it is.

        Raises:
            ValueError: A file that cannot be read, or a fit that runs.
        """
        self._refuse_while_busy()
        described = describe_table(file)
        self._file = file
        self._set(stage="table", table=described, summary=None, sentence=None)

    def fit(self, targets: Sequence[str], drop: Sequence[str], preset: str) -> None:
        """Start to fit a model to the table, in a thread of its own.

        Raises:
            ValueError: No table, columns that it does not have, or a fit that runs.
        """
        self._refuse_while_busy()
        if self._file is None:
            raise _checks.InputError("there must be a table before a model can be fitted to it; hand in a CSV file.")
        _checks.one_of("preset", preset, dict.fromkeys(PRESETS))
        names = [column["name"] for column in self._state["table"]["columns"]]
        _checks.known_columns([*targets, *drop], names, self._file.name)
        if not targets:
            raise _checks.InputError("targets must name at least one column to predict; got none.")
        options = FitOptions(
            self._file,
            list(targets),
            self.output,
            overwrite=True,
            drop=list(drop),
            settings={"preset": preset},
            called="",  # a person takes the model from the page, and puts it where they like
        )
        self._stopping = threading.Event()
        self._set(stage="fitting", sentence="Starting ...", targets=list(targets), **_NOTHING_YET)
        self._thread = threading.Thread(target=self._run, args=(options, self._stopping), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the fit after this epoch; its best weights so far are kept."""
        if self.is_busy:
            self._stopping.set()
            self._set(sentence="Stopping; the best weights so far are kept ...")

    def close(self) -> None:
        """End a fit that runs, and remove all files."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- private ---

    def _run(self, options: FitOptions, stop: threading.Event) -> None:
        def watch(model: MDNRegressor, learning: Learning) -> list[Watcher]:
            return [Watcher(model, learning, lambda news: self._set(**news), stop)]

        try:
            summary = fit_file(options, lambda line: self._set(sentence=line), watch=watch)
        except (_checks.InputError, FloatingPointError, OSError, MemoryError, RuntimeError) as error:
            self._set(stage="failed", sentence=str(error) or type(error).__name__)
        else:
            self._set(stage="done", sentence=None, summary=summary.sentences())

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self._state = {**self._state, **changes}
            self.version += 1

    def _refuse_while_busy(self) -> None:
        if self.is_busy:
            raise _checks.InputError("a fit runs already; stop it first, or wait until it is done.")
