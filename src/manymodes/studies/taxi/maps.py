"""The map of the taxi study: kilometres around Times Square, some places to start from, and what is drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes.datasets import Table as Data
from manymodes.distributions import Mixture, Prediction
from manymodes.metrics.modes import MIN_MASS
from manymodes.plots import canvas
from manymodes.studies.frame.answers import modes_of
from manymodes.studies.frame.comparison import Comparison, Model
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record

TIMES_SQUARE = (-73.985, 40.758)  # degrees east and north
KM_A_DEGREE = (84.45, 111.05)  # of longitude and latitude at 40.75 degrees north, on the WGS 84 ellipsoid
LEVELS = (0.5, 0.8, 0.95)  # of highest-density regions
_EAST, _NORTH = (-6.0, 20.0), (-16.0, 12.0)  # kilometres that maps show
_CELL = 0.25  # kilometres
_AROUND = 0.75  # kilometres from a place within which trips began there
_DENSITIES = (1e-4, 1.0)  # per square kilometre, where colours begin and end
_AXES = ("km east of Times Square", "km north")


class Place(NamedTuple):
    """Where and when a trip begins.

    Attributes:
        name: What people call it.
        longitude: Degrees east.
        latitude: Degrees north.
        weekday: 0 is Monday.
        hour: From 0 to 24.
    """

    name: str
    longitude: float
    latitude: float
    weekday: int
    hour: float


PLACES = (
    Place("Penn Station, Tuesday, 9 h", -73.9935, 40.7505, 1, 9.0),
    Place("East Village, Saturday, 1 h", -73.984, 40.7265, 5, 1.0),
    Place("LaGuardia airport, Sunday, 18 h", -73.8708, 40.773, 6, 18.0),
    Place("Kennedy airport, Sunday, 18 h", -73.7834, 40.6453, 6, 18.0),
)
AIRPORT = 2  # number of the place whose regions are compared


def to_km(degrees: Any) -> NDArray[np.float64]:
    """Return longitudes and latitudes, (..., 2), as kilometres east and north of Times Square."""
    return np.asarray((np.asarray(degrees) - TIMES_SQUARE) * KM_A_DEGREE)


def in_km(prediction: Prediction) -> Mixture:
    """Return densities over degrees as densities over kilometres."""
    if not isinstance(prediction, Mixture):
        raise TypeError(f"prediction must be a mixture to be put on the map; got {prediction!r}.")
    scale = torch.tensor(KM_A_DEGREE, dtype=prediction.logits.dtype)
    return prediction.affine(-scale * torch.tensor(TIMES_SQUARE, dtype=scale.dtype), scale)


def kept_maps(model: Model) -> Record:
    """Return what a fitted model predicts from each of the places, P, to keep.

    They are ``map``, log-densities per square kilometre, (P, G_north, G_east); ``levels``, those on the borders of
    regions, (P, Q); ``means``, (P, 2); and ``modes``, (P, J, 3), kilometres east and north with their masses.
    """
    rows = np.array([place[1:] for place in PLACES])
    prediction = in_km(model.predict_distribution(rows))
    found = modes_of(prediction)
    modes = torch.cat([found.location, found.mass.unsqueeze(-1)], -1)[:, found.counted.any(0)]
    levels = torch.stack([prediction.highest_density_level(level) for level in LEVELS], -1)
    return {
        "map": _heights(prediction).float().numpy(),
        "levels": levels.numpy(),
        "means": prediction.mean.numpy(),
        "modes": modes.numpy(),
    }


def _axes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return tuple(np.arange(low + _CELL / 2, high, _CELL) for low, high in (_EAST, _NORTH))  # type: ignore[return-value]


def _heights(prediction: Mixture) -> Tensor:
    east, north = (torch.from_numpy(axis) for axis in _axes())
    lines = []
    for line in north:
        points = torch.stack([east, line.expand_as(east)], -1)  # (G_east, 2)
        lines.append(prediction.log_prob(points.unsqueeze(1).to(prediction.logits.dtype)))  # (G_east, P)
    return torch.stack(lines).movedim(-1, 0)  # (P, G_north, G_east)


# --- pictures ---


def the_city(data: Data) -> Figure:
    """Return where all trips begin and end."""

    def draw(*axes: Any) -> None:
        for ax, ends, title in zip(axes, (data.X[:, :2], data.y), ("pick-ups", "drop-offs"), strict=True):
            _dots(ax, to_km(ends), 1.5, 0.5)
            _whole_map(ax, title)
            for place in PLACES:
                ax.plot(*to_km(place[1:3]), "*", ms=10, color=canvas.ATOM, mec="white", mew=0.5)

    caption = (
        f"All {len(data.y)} trips. Most are in Manhattan, the long shape in the middle; Brooklyn is below it, Queens "
        "to the right, with the two airports. Stars are the four places that the maps below start from."
    )
    return drawn("city", caption, draw, n_columns=2, size=(9.6, 5.0), sharey=True)


def densities(comparison: Comparison, model: str) -> Figure:
    """Return the density of where trips from each of the places end, on the map, with all modes."""
    east, north = _axes()

    def draw(*axes: Any) -> None:
        for number, (ax, place) in enumerate(zip(axes, PLACES, strict=True)):
            low, high = _DENSITIES
            height = np.exp(comparison.first(model, "map")[number]).clip(low)
            colors = ax.pcolormesh(
                east, north, height, norm="log", vmin=low, vmax=high, cmap=canvas.DENSITY_MAP, zorder=0
            )
            ax.plot(*to_km(place[1:3]), "*", ms=12, color=canvas.ATOM, mec="white", mew=0.6)
            ax.plot(*comparison.first(model, "means")[number], "x", ms=8, color="white", mew=2)
            for x, y, mass in _modes(comparison, model, number):
                ax.plot(x, y, "o", ms=4 + 14 * mass**0.5, mfc="none", mec="white", mew=1.4)
                ax.annotate(f"{mass:.0%}", (x, y), (9, -3), textcoords="offset points", color="white", fontsize=9)
            _whole_map(ax, place.name)
        bar = axes[0].figure.colorbar(colors, ax=list(axes), label="drop-offs per km²", shrink=0.6)
        bar.outline.set_visible(False)

    caption = (
        f"Where trips end, as the {model} predicts it, from four places (stars). Circles are modes with at least "
        f"{MIN_MASS:.0%} of the probability, with what they hold; the cross is the mean, which need not be a place "
        "where trips end."
    )
    return drawn("densities", caption, draw, n_columns=2, n_rows=2, size=(10.0, 9.6), sharex=True, sharey=True)


def regions(comparison: Comparison, names: Sequence[str], data: Data, number: int = AIRPORT) -> Figure:
    """Return nested highest-density regions of several models from one place, with the trips that began there."""
    place, axes_km = PLACES[number], _axes()
    start = to_km(place[1:3])
    near = np.linalg.norm(to_km(data.X[:, :2]) - start, axis=1) <= _AROUND

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, names, strict=True):
            height, borders = (comparison.first(model, what)[number] for what in ("map", "levels"))
            for level, border, color in zip(LEVELS[::-1], borders[::-1], canvas.tints(len(LEVELS)), strict=True):
                ax.contourf(*axes_km, height, [border, height.max() + 99.0], colors=[color], zorder=0)
                ax.fill([], [], color=color, label=canvas.percent(level))
            _dots(ax, to_km(data.y[near]), 3.0, 0.9)
            ax.plot(*start, "*", ms=12, color=canvas.ATOM, mec="white", mew=0.6)
            _whole_map(ax, model)
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    caption = (
        f"The smallest regions that hold {', '.join(canvas.percent(level) for level in LEVELS)} of where trips from "
        f"{place.name} end. Dots are the {near.sum()} trips of the table that began within {_AROUND:g} km of there, at "
        "any time. One Gaussian has to cover rivers and parks to reach both ends; mixtures need not."
    )
    return drawn("regions", caption, draw, n_columns=2, n_rows=2, size=(9.6, 9.8), sharex=True, sharey=True)


def _modes(comparison: Comparison, model: str, number: int) -> NDArray[np.float64]:
    """Return the modes from a place that count, (J, 3)."""
    modes = comparison.first(model, "modes")[number]
    return np.asarray(modes[modes[:, 2] >= MIN_MASS])


def heaviest(comparison: Comparison, model: str, number: int = AIRPORT) -> tuple[int, float]:
    """Return how many modes count from a place, and what the heaviest of them holds."""
    modes = _modes(comparison, model, number)
    return len(modes), float(modes[:, 2].max(initial=0.0))


def _dots(ax: Any, km: NDArray[np.float64], size: float, alpha: float) -> None:
    ax.plot(*km.T, "o", ms=size, color=canvas.INK, mec="none", alpha=alpha)


def _whole_map(ax: Any, title: str) -> None:
    ax.set_title(title)
    ax.set_xlim(_EAST)
    ax.set_ylim(_NORTH)
    ax.set_aspect("equal")
    canvas.finish(ax, *_AXES)
    ax.label_outer()
    if ax.get_legend() is not None:
        ax.get_legend().remove()
