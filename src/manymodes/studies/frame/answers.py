"""What it is worth to answer with one point: the mean, the best mode, or the nearest of all modes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes.distributions import Prediction
from manymodes.distributions.ascent import Joint, climb
from manymodes.metrics.modes import MIN_MASS
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.result import Cell, Table

_HEADINGS: Mapping[str, str] = {
    "near_mean": "near the mean",
    "near_mode": "near the best mode",
    "near_any": "near any mode",
    "square_mean": "squared error of the mean",
    "square_mode": "squared error of the best mode",
}


class Found(NamedTuple):
    """Modes of predictions, the highest first.

    Attributes:
        location: Places, (N, J, D); those that are none are NaN or have no mass.
        mass: Probability of each, (N, J).
    """

    location: Tensor
    mass: Tensor

    @property
    def counted(self) -> Tensor:
        """Which modes hold enough to count, (N, J)."""
        return self.mass >= MIN_MASS


def modes_of(prediction: Prediction) -> Found:
    """Return the modes of predictions: all in one dimension; in several those that components climb to.

    Ridges between components are left out there: for a hundred components they take most of the time.
    """
    if prediction.event_shape == (1,):
        modes = prediction.modes()
        return Found(modes.location, modes.mass)
    components = prediction.components.expand(prediction.logits.shape).transformed(lambda value: value.double())
    free = torch.ones(prediction.event_shape, dtype=torch.bool)
    peaks = climb(Joint(prediction.logits.double(), components), free, ridges=False)
    return Found(peaks.location.movedim(0, 1), peaks.weight.T)


def near(prediction: Prediction, modes: Found, y: NDArray[Any], distance: float) -> dict[str, float]:
    """Return which share of targets lies no farther than a distance from an answer, and mean squared distances.

    Answers are the mean, the highest mode, and the nearest of all modes that count. What is returned is for
    ``Problem.look``; ``answers_table`` shows it.

    Args:
        prediction: Predictions, ``batch_shape`` (N,).
        modes: Their modes.
        y: Targets, (N,) or (N, D).
        distance: What is near.
    """
    targets = torch.as_tensor(y).reshape(len(y), -1)
    to_modes = torch.linalg.vector_norm(modes.location - targets[:, None], dim=-1)  # (N, J)
    gaps = {
        "mean": torch.linalg.vector_norm(prediction.mean - targets, dim=-1),
        "mode": to_modes[:, 0],
        "any": torch.where(modes.counted, to_modes, torch.inf).amin(-1),
    }
    shares = {f"near_{name}": float((gap <= distance).double().mean()) for name, gap in gaps.items()}
    return shares | {f"square_{name}": float(gaps[name].square().mean()) for name in ("mean", "mode")}


def answers_table(comparison: Comparison, caption: str) -> Table:
    """Return how near the targets the answers of all models are."""
    rows: list[list[Cell]] = [
        [model, *(comparison.value(model, name) for name in _HEADINGS)] for model in comparison.records
    ]
    ideals = {text: math.inf if name.startswith("near") else -math.inf for name, text in _HEADINGS.items()}
    return Table(caption, ["model", *_HEADINGS.values()], rows, ideals)


def worth(comparison: Comparison, model: str, within: str) -> list[str]:
    """Return what the mean, the best mode and all modes of a model are worth, in sentences.

    Args:
        comparison: What was measured, with what ``near`` returns.
        model: Name of the model.
        within: The distance in words, say ``"half a minute"``.
    """
    mean, mode, either = (f"{comparison.value(model, f'near_{name}').mean:.0%}" for name in ("mean", "mode", "any"))
    of_mean, of_mode = (comparison.value(model, f"square_{name}") for name in ("mean", "mode"))
    if of_mean.mean <= of_mode.mean:
        best = "the mean is the better answer: a mode that is wrong is far off"
    else:
        best = "the best mode is the better answer, too"
    return [
        f"Within {within} of the {model}'s mean lie {mean} of the targets, of its best mode {mode}, and of one of its "
        f"modes {either}.",
        f"By squared error, {of_mean} for the mean and {of_mode} for the best mode, {best}. A mean is what squared "
        "losses ask for, a mode what is likely to happen.",
    ]
