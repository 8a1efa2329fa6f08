"""Pictures that several studies draw, and how a picture becomes part of a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from manymodes.pages import as_svg
from manymodes.plots import canvas, contour
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.kept import as_mixture
from manymodes.studies.frame.result import Figure

_PIXELS_BELOW = 0.5  # in the order of layers: densities, which are drawn at 0, would be large as shapes
_NOTHING = "#440154"  # what ``canvas.DENSITY_MAP`` begins with


def drawn(
    name: str,
    caption: str,
    draw: Callable[..., Any],
    *,
    n_columns: int = 1,
    n_rows: int = 1,
    size: tuple[float, float] | None = None,
    **options: Any,
) -> Figure:
    """Return a picture: ``draw`` is called with the axes, row by row.

    Args:
        name: Name of its file, without an ending.
        caption: What it shows and what to see there.
        draw: A function of as many axes.
        n_columns: Columns of axes.
        n_rows: Rows of axes.
        size: Width and height in inches, see ``canvas.figure``.
        options: See ``canvas.figure``.
    """
    figure, axes = canvas.figure(n_rows, n_columns, size=size, **options)
    for ax in axes.flat:
        ax.set_rasterization_zorder(_PIXELS_BELOW)
    draw(*axes.flat)
    return Figure(name, caption, as_svg(figure, name))


def score_dots(
    comparison: Comparison, name: str, what: str = "log_score", label: str = "log-likelihood, nats"
) -> Figure:
    """Return a picture of one score of all models, the best at the top, with standard errors over seeds."""
    measured = {model: comparison.value(model, what) for model in comparison.records}
    largest = max(measured, key=lambda model: measured[model].mean)
    order = sorted(measured, key=lambda model: measured[model].mean, reverse=comparison.best(what) != largest)

    def draw(ax: Any) -> None:
        for place, model in enumerate(order):
            value = measured[model]
            color = canvas.BLUE if model == next(iter(measured)) else canvas.INK
            ax.errorbar(value.mean, place, xerr=2 * (value.error or 0.0), fmt="o", color=color, capsize=3)
        ax.set_yticks(range(len(order)), order)
        canvas.finish(ax, label, "")

    score = label[:1].upper() + label[1:].partition(",")[0]
    caption = f"{score} of every model on {comparison.problem.name}; bars are two standard errors."
    return drawn(name, caption, draw, size=(7.0, 0.6 + 0.4 * len(order)))


def density_panels(
    comparison: Comparison,
    models: Sequence[str],
    name: str,
    caption: str,
    *,
    x: Any,
    observed: tuple[Any, Any] | None = None,
    x_label: str = "x",
    y_label: str = "y",
    y_range: tuple[float, float] | None = None,
) -> Figure:
    """Return contours of p(y | x) of several models beside each other, which steps kept as ``shown``.

    Args:
        comparison: What was measured.
        models: Names of the models to show.
        name: Name of the file.
        caption: What to see.
        x: Values of the input that predictions are kept for, (N,).
        observed: Inputs and targets drawn as dots.
        x_label: Name of the input.
        y_label: Name of the target.
        y_range: Targets to show; None shows the wider of what all models expect.
    """

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=False):
            contour(as_mixture(comparison.records[model][0]), x, ax=ax, x_label=x_label, y_label=y_label)
            if observed is not None:
                canvas.observed(ax, *observed, label=None)
            ax.set_title(model)
            if y_range is not None:
                ax.set_ylim(y_range)
                ax.set_facecolor(_NOTHING)

    n_columns = min(2, len(models))
    return drawn(name, caption, draw, n_columns=n_columns, n_rows=-(-len(models) // n_columns), sharey=True)
