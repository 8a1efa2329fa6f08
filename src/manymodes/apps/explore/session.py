"""What happens in an explorer: a table comes, a model is fitted to it in a thread, and its files are there to take."""

from __future__ import annotations

import secrets
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
from manymodes.estimators.presets import PRESETS
from manymodes.estimators.targets.families import FAMILIES

_NOTHING_YET: dict[str, Any] = dict.fromkeys(("rows", "ranges", "max_epochs", "seconds_left", "densities"))
_NOTHING_YET |= {"train": [], "validation": []}
_PATIENCE = 3.0  # seconds that an end waits for a fit


class Session:
    """One table and one fit at a time; its files lie in a folder that goes with it.

    Attributes:
        folder: Where uploads and outcomes lie.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="manymodes-"))
        self._state: dict[str, Any] = {"stage": "empty", "version": 0, "tables": 0}
        self._state_lock, self._acting = threading.Lock(), threading.Lock()  # what is known, and who changes it
        self._file: Path | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._is_closed = False

    # --- what is known ---

    def state(self) -> dict[str, Any]:
        """Return what a page shows, as JSON can hold it; ``version`` grows with every change."""
        with self._state_lock:
            return dict(self._state)

    @property
    def output(self) -> Path:
        """Folder of the model, the report and the summary of a fit that is done."""
        return self.folder / "model"

    @property
    def is_busy(self) -> bool:
        """Whether a fit runs."""
        return self._thread is not None and self._thread.is_alive()

    # --- what can be done ---

    def new_upload(self, name: str) -> Path:
        """Return where a table that is handed in can be written, in a folder of its own.

        Raises:
            ValueError: A fit that runs.
        """
        self._refuse_while_busy()
        folder = self.folder / "uploads" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        return folder / name

    def discard(self, upload: Path) -> None:
        """Remove what ``new_upload`` made room for."""
        shutil.rmtree(upload.parent, ignore_errors=True)

    def take_table(self, file: Path) -> None:
        """Take a table to learn from, in place of the one before; one of somebody's own stays where it is.

        Raises:
            ValueError: A file that cannot be read, or a fit that runs.
        """
        with self._acting:
            self._refuse_while_busy()
            try:
                described = describe_table(file)
            except _checks.InputError as error:  # nobody knows the folder of an upload
                raise _checks.InputError(str(error).replace(f"{file.parent}/", "")) from None
            before, self._file = self._file, file
            if before is not None and before != file and self.folder in before.parents:
                self.discard(before)
            self._set(stage="table", table=described, tables=self._state["tables"] + 1, summary=None, sentence=None)

    def fit(self, targets: Sequence[str], drop: Sequence[str], preset: str, family: str = "normal") -> None:
        """Start to fit a model to the table, in a thread of its own.

        Raises:
            ValueError: No table, columns that it does not have, or a fit that runs.
        """
        with self._acting:
            self._refuse_while_busy()
            options = self._options(targets, drop, {"preset": preset, "family": family})
            self._stopping = threading.Event()
            self._set(stage="fitting", sentence="Starting ...", targets=list(targets), **_NOTHING_YET)
            self._thread = threading.Thread(target=self._run, args=(options, self._stopping), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the fit after this epoch, or after its first; its best weights so far are kept."""
        if self.is_busy:
            self._stopping.set()
            begun = bool(self.state()["train"])
            kept = "the best weights so far are kept" if begun else "it ends once settings are chosen, after one epoch"
            self._set(sentence=f"Stopping; {kept} ...")

    def close(self) -> None:
        """End a fit that runs, and remove all files."""
        self._is_closed = True
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=_PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- private ---

    def _options(self, targets: Sequence[str], drop: Sequence[str], settings: dict[str, object]) -> FitOptions:
        if self._file is None:
            raise _checks.InputError("there must be a table before a model can be fitted to it; hand in a CSV file.")
        _checks.one_of("preset", settings["preset"], PRESETS)
        _checks.one_of("family", settings["family"], dict.fromkeys(FAMILIES))
        names = [column["name"] for column in self._state["table"]["columns"]]
        _checks.known_columns([*targets, *drop], names, self._file.name)
        for name in targets:
            if [*targets, *drop].count(name) > 1:
                raise _checks.InputError(f"column {name!r} must be named once, to predict or to leave out.")
        if not targets:
            raise _checks.InputError("targets must name at least one column to predict; got none.")
        return FitOptions(
            self._file,
            list(targets),
            self.output,
            overwrite=True,
            drop=list(drop),
            settings=settings,
            called="",  # a person takes the model from the page, and puts it where they like
        )

    def _run(self, options: FitOptions, stop: threading.Event) -> None:
        def watch(model: MDNRegressor, learning: Learning) -> list[Watcher]:
            return [Watcher(model, learning, lambda news: self._set(**news), stop)]

        try:
            summary = fit_file(options, lambda line: self._set(sentence=line), watch=watch)
        except (_checks.InputError, FloatingPointError, OSError, MemoryError) as error:
            self._set(stage="failed", sentence=str(error).replace(f"{options.file.parent}/", ""))
        except Exception as error:  # noqa: BLE001  # the last one who could tell of it
            self._set(stage="failed", sentence=f"a defect of manymodes: {type(error).__name__}: {error}")
        else:
            self._set(stage="done", sentence=None, summary=summary.sentences())
        if self._is_closed:  # meanwhile
            shutil.rmtree(self.folder, ignore_errors=True)

    def _set(self, **changes: Any) -> None:
        with self._state_lock:
            self._state = {**self._state, **changes, "version": self._state["version"] + 1}

    def _refuse_while_busy(self) -> None:
        if self.is_busy:
            raise _checks.InputError("a fit runs already; stop it first, or wait until it is done.")
