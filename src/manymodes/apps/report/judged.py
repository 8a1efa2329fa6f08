"""What a report is about: a model, and the rows that it is judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes.apps.files import Columns
from manymodes.apps.scores import Scores
from manymodes.distributions import Prediction
from manymodes.training import History

MODE_ROWS = 500  # whose modes are counted
JOINT_ROWS = 100  # likewise in several dimensions, where it takes some 20 ms a row
_MODE_MASS = 0.05


@dataclass(frozen=True, eq=False)
class Judged:
    """A model and what it predicts of rows with known targets.

    Attributes:
        model: A fitted regressor of densities, whose features and targets have names.
        path: Path of its file.
        file: Path of the table that the rows are from.
        table: Columns of that table, or of a sample of a large one: features first, then targets.
        n_table_rows: Number of its rows.
        X: Features of the rows, columns of (N,).
        y: Their targets, (N, D).
        density: What is predicted of them, (N,).
        row_numbers: Their places in the file, counted from 0, (N,); None where nobody counts them.
        scores: Scores of the model, and of what it is compared with, by the names of ``summary.MODEL_NAMES``.
        log_scores: Log score of every row, (N,), by the same names.
        earlier_scores: Scores of the fit on rows that it held out, where these rows are others; empty for none.
        held_out: Whether the fit held out these rows.
        training_share: Share of these rows that are rows of the fit.
        notes: What was found in targets, features and components.
        ranked: Names of features, those that matter most first; empty where that is not known.
    """

    model: Any
    path: str
    file: str
    table: Columns
    n_table_rows: int
    X: Columns
    y: Tensor
    density: Prediction
    scores: dict[str, Scores]
    log_scores: dict[str, Tensor]
    row_numbers: NDArray[np.intp] | None = None
    earlier_scores: dict[str, Scores] = field(default_factory=dict)
    held_out: bool = True
    training_share: float = 0.0
    notes: list[str] = field(default_factory=list)
    ranked: list[str] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """Number of rows that the model is judged on."""
        return len(self.y)

    @property
    def features(self) -> list[str]:
        """Names of the features."""
        return list(self.X)

    @property
    def order(self) -> list[str]:
        """Names of the features, those that matter most first, where that is known."""
        return [*self.ranked, *(name for name in self.features if name not in self.ranked)]

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return list(self.model.target_names_)

    @property
    def fitted(self) -> Any:
        """The ``MDNRegressor``, which may be inside a recalibrated one."""
        return getattr(self.model, "estimator_", self.model)

    @property
    def history(self) -> History:
        """How training went."""
        history: History = self.fitted.history_
        return history

    @property
    def rows_in_words(self) -> str:
        """What to call the rows after their number: held-out ones, or rows of a file."""
        word = "row" if self.n_rows == 1 else "rows"
        return f"held-out {word}" if self.held_out else word

    @property
    def rows_in_headings(self) -> str:
        """What to call the rows in headings."""
        return "held-out rows" if self.held_out else f"rows of {self.file_name}"

    @property
    def file_name(self) -> str:
        """Name of the table, without its folder."""
        return "the standard input" if self.file == "-" else Path(self.file).name

    @property
    def y_by_name(self) -> dict[str, NDArray[np.float64]]:
        """The targets as columns, (N,) each."""
        return dict(zip(self.targets, self.y.numpy().T, strict=True))

    def row_name(self, row: int) -> str:
        """Return the number of a row in its file, counted from 1 below the header, or else among these rows."""
        return str((row if self.row_numbers is None else int(self.row_numbers[row])) + 1)

    def some(self, at_most: int) -> Judged:
        """Return the same with at most so many rows, drawn at random from a fixed seed, in their order."""
        if self.n_rows <= at_most:
            return self
        return self.take(np.sort(np.random.default_rng(0).choice(self.n_rows, at_most, replace=False)))

    def take(self, rows: NDArray[np.intp]) -> Judged:
        """Return the same with some of the rows; scores are still those of all."""
        index = torch.from_numpy(rows)
        return replace(
            self,
            X={name: column[rows] for name, column in self.X.items()},
            y=self.y[index],
            density=self.density[index],
            log_scores={name: score[index] for name, score in self.log_scores.items()},
            row_numbers=None if self.row_numbers is None else self.row_numbers[rows],
        )

    @cached_property
    def mode_counts(self) -> dict[int, float]:
        """Share of rows with 1, 2, ... modes that hold at least a twentieth of the probability.

        Atoms count, too; of several targets see ``modes_are_of``.
        """
        modes = modes_are_of(self.some(MODE_ROWS).density).modes()
        found = modes.count_above(_MODE_MASS) + (modes.atoms.mass >= _MODE_MASS).sum(-1)
        counts, times = np.unique(found.numpy(), return_counts=True)
        return {int(count): int(n) / len(found) for count, n in zip(counts, times, strict=True)}

    def advantage(self, other: str) -> tuple[float, float]:
        """Return how far the model's log score is ahead of another's, in nats, and the standard error of that."""
        gain = self.log_scores[other] - self.log_scores["model"]
        return float(gain.mean()), float(gain.std()) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan


def modes_are_of(density: Prediction) -> Prediction:
    """Return the predictions whose modes are counted: of several targets those of some rows.

    Where the joint density mixes kinds that no mode is found of, they are of the first target.
    """
    if density.event_shape[0] == 1:
        return density
    some = density[torch.arange(min(len(density.mean), JOINT_ROWS))]
    return some if density.has_density else some.marginal(0)
