"""Checkpoints: all that a fit needs to go on after it was killed, in one file that is whole or not there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.history import History
from manymodes.training.randomness import as_seed
from manymodes.training.tensor_file import TensorFile

_FORMAT = TensorFile("manymodes_checkpoint", 1, "manymodes checkpoint")
_FILE = "fit.checkpoint"
_SEED = "random_state"

Plan = dict[str, Any]


class Checkpoint:
    """A folder where a fit writes down how far it is, and from which it goes on.

    A fit that was killed and is started again with the same data and settings continues there, and ends with the same
    weights as one that ran through, bit for bit on the same device, unless it has a time limit. Once it is done,
    starting it again gives its result at once.

    Args:
        folder: Folder for its one file; it is made where it does not exist.
        seconds: Write when so many seconds have passed since the last time.
        epochs: Write after every so many epochs instead.

    Raises:
        ValueError: A number that is not positive.
    """

    def __init__(self, folder: str | os.PathLike[str], *, seconds: float = 60.0, epochs: int | None = None) -> None:
        self.folder = Path(folder)
        self._seconds = _checks.positive("seconds", seconds)
        self._epochs = None if epochs is None else _checks.integer_at_least("epochs", epochs, 1)
        self._written = time.monotonic()

    @property
    def file(self) -> Path:
        """The file in the folder."""
        return self.folder / _FILE

    def check_folder(self) -> None:
        """Make the folder, and refuse one that cannot be written to, before anything is computed."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        if not self.folder.is_dir() or not os.access(self.folder, os.W_OK | os.X_OK):
            raise _checks.InputError(f"checkpoint must name a folder to write to; got {str(self.folder)!r}.")

    def read(self) -> Snapshot | None:
        """Return what was written last, or None where nothing was.

        Raises:
            ValueError: A file that is damaged or of another kind.
        """
        return Snapshot(*_FORMAT.read(self.file)) if self.file.exists() else None

    def is_due(self, ended_epochs: int | None) -> bool:
        """Return whether it is time to write.

        Args:
            ended_epochs: Number of epochs that have run, at the end of one; None within.
        """
        if self._epochs is None:
            return time.monotonic() - self._written >= self._seconds
        return ended_epochs is not None and ended_epochs % self._epochs == 0

    def write(self, snapshot: Snapshot) -> None:
        """Put a snapshot in place of the last one, in one move."""
        for leftover in self.folder.glob(f".{_FILE}-*"):  # of a write that was killed
            leftover.unlink(missing_ok=True)
        _FORMAT.write(self.file, snapshot.tensors, snapshot.document)
        self._written = time.monotonic()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A fit between two steps.

    Attributes:
        tensors: All its tensors.
        document: Everything else, as JSON: ``plan``, ``history``, ``is_finished``, and how far it is.
    """

    tensors: dict[str, Tensor]
    document: dict[str, Any]

    def under(self, group: str) -> dict[str, Tensor]:
        """Return the tensors of one part of the fit, which were named by ``grouped``."""
        start = f"{group}."
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def grouped(**groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of several parts of a fit under names that tell them apart."""
    return {f"{group}.{name}": value for group, tensors in groups.items() for name, value in tensors.items()}


class Journal:
    """What a fit found in its checkpoint, and where it writes; without a checkpoint, nothing and nowhere.

    Args:
        checkpoint: The checkpoint, the name of its folder, or None.
        plan: Returns settings of the fit and facts about its rows, as JSON can hold them; a ``random_state`` of None
            may be whatever it was.

    Attributes:
        saved: What was found; None where the fit begins anew.
        seed: Seed of the fit.

    Raises:
        ValueError: A file that is damaged, of another kind, or of a fit with another plan.
        TypeError: A checkpoint of the wrong kind.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike[str] | None,
        plan: Callable[[], Plan],
        random_state: int | None,
    ) -> None:
        self.saved: Snapshot | None = None
        self._checkpoint, self._plan = _as_checkpoint(checkpoint), dict[str, Any]()
        self.seed = as_seed(random_state)
        if self._checkpoint is None:
            return
        self._checkpoint.check_folder()
        self._plan, self.saved = plan(), self._checkpoint.read()
        if self.saved is not None:
            before = self.saved.document["plan"]
            if random_state is None:
                self.seed = before[_SEED]
            _refuse_another(self._checkpoint, before, self._plan | {_SEED: self.seed})
        self._plan[_SEED] = self.seed

    @property
    def is_finished(self) -> bool:
        """Whether the fit that was found had run to its end."""
        return self.saved is not None and self.saved.document["is_finished"]

    @property
    def place(self) -> int:
        """Steps that were taken by what was found; -1 for nothing."""
        return -1 if self.saved is None else self.saved.document["step"]

    def load_network(self, network: MixtureDensityNetwork) -> History:
        """Give a network the weights that were found, and return the history of its fit."""
        if self.saved is None:
            raise RuntimeError("no checkpoint was found.")
        network.load_state_dict(self.saved.under("network"))
        return History.from_dict(self.saved.document["history"])

    def write(self, tensors: dict[str, Tensor], document: Mapping[str, Any], *, is_finished: bool = False) -> None:
        """Write a snapshot down, where there is a place for it."""
        if self._checkpoint is not None:
            known = {"plan": self._plan, "is_finished": is_finished}
            self._checkpoint.write(Snapshot(tensors, {**document, **known}))

    def is_due(self, ended_epochs: int | None) -> bool:
        """Return whether it is time to write, see ``Checkpoint.is_due``."""
        return self._checkpoint is not None and self._checkpoint.is_due(ended_epochs)


def _as_checkpoint(value: Checkpoint | str | os.PathLike[str] | None) -> Checkpoint | None:
    if value is None or isinstance(value, Checkpoint):
        return value
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"checkpoint must be a folder or a training.Checkpoint; got {type(value).__name__}.")
    return Checkpoint(value)


def _refuse_another(checkpoint: Checkpoint, before: Plan, now: Plan) -> None:
    for name in {**now, **before}:
        if now.get(name) != before.get(name):
            raise _checks.InputError(
                f"checkpoint must name a folder of the same fit; in {str(checkpoint.folder)!r} {name} was "
                f"{before.get(name)!r}, and now it is {now.get(name)!r}. Name another folder, or delete that one to "
                "begin anew."
            )
