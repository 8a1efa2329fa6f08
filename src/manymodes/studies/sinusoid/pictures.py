"""The pictures of the sinusoid study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manymodes.distributions import Mixture
from manymodes.metrics.modes import MIN_MASS
from manymodes.plots import canvas, components, contour
from manymodes.studies.frame.comparison import Comparison, Part
from manymodes.studies.frame.kept import as_mixture
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record
from manymodes.studies.sinusoid.rows import Wave, curve, exact_score

_FEW = 600  # dots that a picture of rows takes
_AROUND = (-0.25, 1.25)  # values of t that are shown
_NOTHING = "#440154"  # where the density is zero: the first colour of the map of densities
_AS_PIXELS = 0.4  # in the order of layers: many dots of many sizes would be large as shapes


def forward_and_back(parts: Sequence[Part], plain: Sequence[Record]) -> Figure:
    """Return the rows from t to x and from x to t, each with the curve of a plain network."""

    def draw(*axes: Any) -> None:
        for ax, part, record, names in zip(axes, parts, plain, ("tx", "xt"), strict=True):
            canvas.observed(ax, part.X[:_FEW, 0], part.y[:_FEW], label=None)
            _plain_curve(ax, part, record)
            canvas.finish(ax, *names, legend_inside=True)
        axes[0].set_title("forward: one answer")
        axes[1].set_title("back: up to three answers")

    caption = (
        "The same rows read in two directions, and a network fitted by least squares. Forward, its curve follows the "
        "dots. Back, it takes the average of all answers. Where it is orange it runs through empty space: no t there "
        "could have led to this x."
    )
    return drawn("forward-and-back", caption, draw, n_columns=2)


def _plain_curve(ax: Any, part: Part, record: Record) -> None:
    x, mean = record["x"], as_mixture(record).mean[:, 0].numpy()
    density = _exact(part, x)
    possible = np.isfinite(density.log_prob(_column(mean, density)).numpy())
    ax.plot(x, np.where(possible, mean, np.nan), "-", color=canvas.BLUE, lw=2.5, label="least squares", zorder=6)
    ax.plot(x, np.where(possible, np.nan, mean), "-", color=canvas.ATOM, lw=2.5, label="impossible", zorder=6)


def _column(values: Any, like: Mixture) -> Any:
    return like.logits.new_tensor(values)[:, None]


def modes(records: Mapping[str, Record], wave: Wave) -> Figure:
    """Return the most probable mode along x, and all modes, one row of axes for each model."""

    def draw(*axes: Any) -> None:
        for (name, record), best, every in zip(records.items(), axes[::2], axes[1::2], strict=True):
            at, t, mass, first = _modes_along(record)
            best.plot(at[first], t[first], ".", color=canvas.BLUE, ms=5)
            every.scatter(at, t, s=4 + 30 * mass, color=canvas.BLUE, linewidths=0, zorder=_AS_PIXELS)
            for ax, title in ((best, "the highest mode"), (every, "all modes")):
                ax.plot(*curve(wave), color=canvas.GREY, lw=1.0, label="the curve", zorder=_AS_PIXELS)
                ax.set_title(f"{name}: {title}", fontsize="medium")
                canvas.finish(ax, "x", "t", legend_inside=True)

    caption = (
        "Left, the highest mode of p(t | x), which jumps from one stretch of the curve to another. Right, all modes "
        "that hold at least 5 % of the probability; the area of a dot is what the mode holds. Where the exact density "
        "is flat, a small ripple decides which mode is the highest, and more components make more ripples."
    )
    return drawn("modes", caption, draw, n_columns=2, n_rows=len(records), sharey=True)


def _modes_along(record: Record) -> tuple[Any, Any, Any, Any]:
    """Return x, t and mass of all modes, and which are the highest of their x."""
    x, found = record["x"], as_mixture(record).modes()
    heavy = (found.mask & (found.mass >= MIN_MASS)).numpy()
    at = np.broadcast_to(x[:, None], heavy.shape)
    first = np.broadcast_to(np.arange(heavy.shape[1]) == 0, heavy.shape)
    return at[heavy], found.location[..., 0].numpy()[heavy], found.mass.numpy()[heavy], first[heavy]


def exact_and_learned(record: Record, part: Part) -> Figure:
    """Return contours of the exact density and of a learned one."""
    x = record["x"]

    def draw(left: Any, right: Any) -> None:
        _contour(left, _exact(part, x), x, "exact")
        _contour(right, as_mixture(record), x, "learned")
        left.set_ylim(*_AROUND)

    caption = (
        "p(t | x): exact, and learned by the default mixture density network. The exact density of uniform noise is a "
        "plateau with sharp edges; a mixture of normals rounds them."
    )
    return drawn("exact-and-learned", caption, draw, n_columns=2, sharey=True)


def others(records: Mapping[str, Record]) -> Figure:
    """Return contours of what other models learned."""

    def draw(*axes: Any) -> None:
        for ax, (name, record) in zip(axes, records.items(), strict=True):
            _contour(ax, as_mixture(record), record["x"], name)
        axes[0].set_ylim(*_AROUND)

    caption = (
        "p(t | x) of other models. Least squares and one Gaussian have a single peak, which lies between the "
        "answers where there are several; trees and neighbours follow the curve, in steps and with frayed edges."
    )
    return drawn("others", caption, draw, n_columns=2, n_rows=len(records) // 2, sharey=True)


def _exact(part: Part, x: Any) -> Mixture:
    assert part.density is not None  # noqa: S101  # for the type checker
    density: Mixture = part.density(x[:, None])
    return density


def _contour(ax: Any, density: Mixture, x: Any, title: str) -> None:
    before = set(ax.figure.axes)
    contour(density, x, ax=ax, y_label="t")
    for bar in set(ax.figure.axes) - before:
        bar.set_ylabel("p(t | x)")
    ax.set_facecolor(_NOTHING)
    ax.set_title(title)


def weights(records: Mapping[str, Record]) -> Figure:
    """Return weights and locations of the components of single networks along x."""

    def draw(*axes: Any) -> None:
        for column, (title, record) in enumerate(records.items()):
            x, density = record["x"][::2], as_mixture(record)[::2]
            components(density, x, ax=axes[column])
            components(density, x, what="locations", y_label="t", ax=axes[2 + column], threshold=MIN_MASS)
            axes[column].set_title(title)

    caption = (
        "A single network with three components, and one with five: their weights along x above, their locations below "
        "(where the weight is at least 5 %; thicker where it is larger; the band is one standard deviation). Where x "
        "has one answer, one component holds all the weight; in the middle several share it."
    )
    return drawn("weights", caption, draw, n_columns=2, n_rows=2)


def effects(by_components: Mapping[str, Comparison], by_rows: Comparison) -> Figure:
    """Return what is lost by the number of components and of rows."""

    def draw(left: Any, right: Any) -> None:
        for (name, compared), color in zip(by_components.items(), (canvas.BLUE, canvas.ATOM), strict=False):
            _line(left, compared, color, name)
        _line(right, by_rows, canvas.BLUE, None)
        canvas.finish(left, "components", "regret, nats", legend_inside=True)
        canvas.finish(right, "rows", "regret, nats")
        for ax in (left, right):
            ax.set_ylim(0.0, 1.05 * ax.get_ylim()[1])

    caption = (
        "What is lost against the exact density, by the number of components, on the usual curve (up to three answers) "
        "and the hard one with two turns (up to five), and by the number of rows. Bars are two standard errors."
    )
    return drawn("effects", caption, draw, n_columns=2)


def _line(ax: Any, compared: Comparison, color: str, name: str | None) -> None:
    found = [compared.value(key, "regret") for key in compared.records]
    error = [2 * (each.error or 0.0) for each in found]
    ax.errorbar(range(len(found)), [each.mean for each in found], yerr=error, fmt="-o", color=color, label=name)
    ax.set_xticks(range(len(found)), list(compared.records))


def noises(compared: Comparison) -> Figure:
    """Return the log-likelihood of the exact and the learned density under each kind of noise."""
    keys = list(compared.records)[::-1]

    def draw(ax: Any) -> None:
        for place, key in enumerate(keys):
            best, own = exact_score(compared, key), compared.value(key, "log_score")
            ax.plot([own.mean, best.mean], [place, place], "-", color=canvas.GREY, lw=1.0)
            ax.plot(best.mean, place, "|", color=canvas.INK, ms=14, mew=2.0, label="exact" * (place == 0) or None)
            label = "learned" * (place == 0) or None
            ax.errorbar(own.mean, place, xerr=2 * (own.error or 0.0), fmt="o", color=canvas.BLUE, label=label)
        ax.set_yticks(range(len(keys)), keys)
        ax.set_ylim(-0.6, len(keys) - 0.4)
        canvas.finish(ax, "log-likelihood, nats", "")

    caption = "Log-likelihood of the exact density and of a learned one, under several kinds of noise."
    return drawn("noise", caption, draw, size=(7.5, 0.8 + 0.33 * len(keys)))


def sides(compared: Mapping[str, tuple[Record, Part]]) -> Figure:
    """Return rows and modes under several kinds of noise."""

    def draw(*axes: Any) -> None:
        for ax, (title, (record, part)) in zip(axes, compared.items(), strict=False):
            ax.plot(part.X[:, 0], part.y, ".", color=canvas.GREY, ms=2, zorder=_AS_PIXELS)
            at, t, mass, _ = _modes_along(record)
            ax.scatter(at, t, s=1 + 12 * mass, color=canvas.BLUE, linewidths=0, zorder=_AS_PIXELS)
            ax.set_title(title, fontsize="medium")
            canvas.finish(ax, "x", "t")

    caption = (
        "Rows (grey) and all modes that a mixture sees (blue) under uniform and normal noise, on x, on t and on both."
    )
    n_columns = min(3, len(compared))
    n_rows = -(-len(compared) // n_columns)
    return drawn("sides", caption, draw, n_columns=n_columns, n_rows=n_rows, size=(10.0, 3.2 * n_rows), sharey=True)


def variants(compared: Mapping[str, tuple[Record, Part]]) -> Figure:
    """Return exact and learned densities of the clean, the noisy and the hard curve."""

    def draw(*axes: Any) -> None:
        for column, (name, (record, part)) in enumerate(compared.items()):
            x = record["x"]
            above, below = axes[column], axes[len(compared) + column]
            _contour(above, _exact(part, x), x, f"{name}: exact")
            _contour(below, as_mixture(record), x, f"{name}: learned")
            below.set_ylim(above.get_ylim())

    caption = (
        "p(t | x) of three variants, exact above and learned below: clean, with uniform noise ± 0.02 on x; noisy, with "
        "normal noise of 0.1 on both; hard, x = t + 0.5 sin(4 pi t), with uniform noise ± 0.05 on x and up to five "
        "answers."
    )
    return drawn("variants", caption, draw, n_columns=len(compared), n_rows=2, size=(11.0, 6.0))
