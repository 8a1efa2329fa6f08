"""Problems with one input: where a prediction has several modes, all modes along it, one network's components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.distributions import Mixture
from manymodes.estimators import MDNRegressor
from manymodes.metrics.modes import MIN_MASS
from manymodes.plots import canvas, components
from manymodes.studies.frame.answers import modes_of
from manymodes.studies.frame.comparison import Comparison, Model
from manymodes.studies.frame.kept import as_arrays, as_mixture
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record

Array = NDArray[np.float64]

_MEMBER = "member"  # under which name a step keeps the first network of an ensemble
_DOT = 90.0  # area of a mode that holds everything, in square points


class Scene(NamedTuple):
    """What pictures along one input share.

    Attributes:
        x: Places along the input that predictions are kept for, (N,), ascending.
        observed: Inputs and targets of the rows, drawn as dots.
        x_label: Name of the input, with its unit.
        y_label: Name of the target, with its unit.
    """

    x: Array
    observed: tuple[Array, Array]
    x_label: str
    y_label: str

    def kept(self, model: Model) -> Record:
        """Return what a fitted model predicts along the input, and of an ensemble its first network, to keep."""
        rows = self.x[:, None]
        record = as_arrays(model.predict_distribution(rows))
        if isinstance(model, MDNRegressor):
            record |= as_arrays(model.predict_members(rows)[0], _MEMBER)
        return record


class Fork(NamedTuple):
    """A stretch of the input where a prediction has several modes.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        middle: The input in its middle.
        modes: Places of the modes there and their probabilities, ascending.
    """

    start: float
    stop: float
    middle: float
    modes: Sequence[tuple[float, float]]

    def told(self, unit: str, decimals: int = 1) -> str:
        """Return the modes in words."""
        *first, last = (f"{place:.{decimals}f} {unit} ({mass:.0%})" for place, mass in self.modes)
        return f"{', '.join(first)} and {last}"


def longest_fork(mixture: Mixture, x: Array) -> Fork | None:
    """Return the longest stretch of an input, (N,), where at least two modes count; None if it is one place at most."""
    modes = modes_of(mixture)
    several = modes.counted.sum(-1).numpy() > 1
    ends = np.flatnonzero(np.diff(np.r_[False, several, False]))
    runs = [(first, beyond - 1) for first, beyond in zip(ends[::2], ends[1::2], strict=True) if beyond > first + 1]
    if not runs:
        return None
    start, stop = max(runs, key=lambda run: float(x[run[1]] - x[run[0]]))
    middle = int(start + stop) // 2
    there = modes.counted[middle]
    found = zip(modes.location[middle, there, 0].tolist(), modes.mass[middle, there].tolist(), strict=True)
    return Fork(float(x[start]), float(x[stop]), float(x[middle]), sorted(found))


def modes_along(comparison: Comparison, names: Sequence[str], scene: Scene, name: str, caption: str) -> Figure:
    """Return every mode of several models along the input, with the mean as a line.

    Args:
        comparison: What was measured, with what ``Scene.kept`` returns.
        names: Names of the models to show, the first on the left.
        scene: What is shown.
        name: Name of the file.
        caption: What to see; how to read the picture is added.
    """

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, names, strict=True):
            _draw_modes(ax, as_mixture(comparison.records[model][0]), scene)
            ax.set_title(model)
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    reading = (
        f"Every mode with at least {MIN_MASS:.0%} of the probability, the larger the more it holds; the highest one "
        "is orange, the mean a dashed line."
    )
    return drawn(name, f"{reading} {caption}", draw, n_columns=len(names), size=_wide(len(names)), sharey=True)


def _draw_modes(ax: Any, mixture: Mixture, scene: Scene) -> None:
    modes = modes_of(mixture)
    ax.plot(*scene.observed, "o", ms=2.5, color=canvas.GREY, alpha=0.5, mec="none", label="observed", zorder=1)
    ax.plot(scene.x, mixture.mean[:, 0], "--", color=canvas.INK, lw=1.6, label="mean", zorder=2)
    kinds: Mapping[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
        "highest mode": (lambda place: place == 0, canvas.ATOM),
        "other modes": (lambda place: place > 0, canvas.BLUE),
    }
    for label, (belongs, color) in kinds.items():
        row, place = modes.counted.nonzero(as_tuple=True)
        row, place = row[belongs(place)], place[belongs(place)]
        area = _DOT * modes.mass[row, place]
        ax.scatter(scene.x[row], modes.location[row, place, 0], s=area, color=color, lw=0, label=label, zorder=3)
    canvas.finish(ax, scene.x_label, scene.y_label)
    ax.get_legend().remove()


def components_along(comparison: Comparison, model: str, scene: Scene, name: str, caption: str) -> Figure:
    """Return where the components of an ensemble's first network lie along the input, and their weights."""
    one = as_mixture(comparison.records[model][0], _MEMBER)

    def draw(left: Any, right: Any) -> None:
        left.plot(*scene.observed, "o", ms=2.5, color=canvas.GREY, alpha=0.4, mec="none", zorder=1)
        components(one, scene.x, what="locations", ax=left, x_label=scene.x_label, y_label=scene.y_label)
        left.get_legend().remove()
        components(one, scene.x, what="weights", ax=right, x_label=scene.x_label)

    reading = (
        "The components of one network of the ensemble, after figure 8 of Bishop (1994). Left: where they lie, with a "
        "band of one standard deviation; thin and pale where the weight is small. Right: their weights."
    )
    return drawn(name, f"{reading} {caption}", draw, n_columns=2, size=_wide(2))


def _wide(n_columns: int) -> tuple[float, float]:
    return (4.8 * n_columns, 4.2)
