"""The report's section with the rows that were predicted worst."""

from __future__ import annotations

import torch

from manymodes.apps.report.cells import LEVEL, feature_cells, prediction_table
from manymodes.apps.report.judged import Judged
from manymodes.distributions import Prediction
from manymodes.estimators import explain
from manymodes.pages import Markup, paragraph

_SHOWN = 8
_BACKGROUND, _DRAWS, _REASONS = 20, 50, 3  # rows and draws that tell what a prediction rests on, and features named
_MOST_FEATURES = 30  # for that


def worst_parts(judged: Judged, *, linked: bool = False) -> list[str]:
    """Return a table of the rows with the lowest log density, and what they have in common.

    Args:
        judged: The model and the rows.
        linked: Whether rows lead to the living part of the page, whose script loads them.
    """
    order = torch.argsort(judged.log_scores["model"], descending=True, stable=True)[:_SHOWN]
    worst = judged.take(order.numpy())
    far = _far(worst)
    more = {"log density": [f"{-score:.2f}" for score in worst.log_scores["model"].tolist()]}
    if far is not None:
        more["far"] = ["yes" if is_far else "no" for is_far in far]
    pairs = zip(feature_cells(worst), _reasons(judged, worst), strict=True)
    more["features"] = [f"{features}\n{reasons}" if reasons else features for features, reasons in pairs]
    labels = [_linked(worst.row_name(row)) if linked else worst.row_name(row) for row in range(worst.n_rows)]
    caption = "The rows whose outcome was given the least density, the worst first"
    caption += "" if far is None else "; far: whether a row is far from all that the model learned from"
    if "rests on" in more["features"][0]:
        caption += "; a prediction rests on features without which it would be another one, by so many nats"
    return [paragraph(_in_words(judged, worst, far)), prediction_table(worst, labels, more, caption)]


def _linked(name: str) -> Markup:
    return Markup(f'<a href="#living" data-row="{name}">{name}</a>')


def _reasons(judged: Judged, worst: Judged) -> list[str]:
    """Return for each row the features that tell the model most, with the information in them."""
    if judged.n_rows < 2 or not 1 < len(judged.features) <= _MOST_FEATURES:
        return [""] * worst.n_rows
    found = explain(judged.model, worst.X, background=judged.X, n_background=_BACKGROUND, n_draws=_DRAWS)
    told = []
    for row in range(worst.n_rows):
        own = found["row"] == row
        pairs = sorted(zip(found["information"][own], found["feature"][own], strict=True), reverse=True)[:_REASONS]
        named = ", ".join(f"{name}\u00a0({nats:.1f})" for nats, name in pairs if nats > 0.05)
        told.append(f"The prediction rests on {named or 'nothing much'}.")
    return told


def _in_words(judged: Judged, worst: Judged, far: list[bool] | None) -> str:
    outside = sum(not inside for inside in _inside(worst.density, worst))
    told = f"In {outside or 'none'} of these {worst.n_rows} rows, what happened lies outside the 90 % region."
    if far is None:
        return f"{told} {_where(judged)}"
    n_far = sum(far)
    if n_far:
        told += (
            f" {n_far} of them {'is' if n_far == 1 else 'are'} far from all rows that the model learned from, so that "
            "predictions there are guesses."
        )
    elif outside:
        told += (
            " None is far from the rows that the model learned from: either such outcomes are rare, or something that "
            "explains them is not among the features. Look for errors in the data, too."
        )
    return f"{told} {_where(judged)}"


def _where(judged: Judged) -> str:
    if judged.row_numbers is None:
        return "Rows are numbered among those that judge the model, from 1."
    return "Rows are numbered as in the file, from 1 below the header."


def _inside(density: Prediction, worst: Judged) -> list[bool]:
    """Return whether all targets of each row lie in their regions."""
    inside = [
        density.marginal(d).highest_density_region(LEVEL).contains(worst.y[:, d]) for d in range(len(worst.targets))
    ]
    return [bool(row) for row in torch.stack(inside).all(0)]


def _far(judged: Judged) -> list[bool] | None:
    """Return which rows are far from those of the fit; None where the model knows nothing of them."""
    if judged.fitted.familiarity_ is None:
        return None
    return [bool(far) for far in judged.fitted.is_far(judged.X)]
