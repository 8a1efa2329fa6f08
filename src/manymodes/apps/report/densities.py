"""The report's section with p(y | x) of some rows, drawn and told."""

from __future__ import annotations

from string import ascii_uppercase

import numpy as np

from manymodes.apps.report.cells import cell, feature_cells, prediction_table
from manymodes.apps.report.judged import Judged
from manymodes.pages import ridge_chart

_SHOWN_ROWS = 10
_MOST_TARGETS = 6  # that are drawn


def density_parts(judged: Judged) -> list[str]:
    """Return a ridgeline for each target, and a table of the rows that they show."""
    rows = _spread_rows(judged)
    shown, single = judged.take(np.array(rows)), len(judged.features) == 1
    first = next(iter(shown.X.values()))
    labels = [cell(value) or "missing" for value in first] if single else list(ascii_uppercase[: len(rows)])
    is_ordered = single and first.dtype.kind in "fM"
    order = judged.features[0] if is_ordered else f"the predicted mean of {judged.targets[0]}"
    charts = [_chart(shown, d, labels, order) for d in range(min(len(judged.targets), _MOST_TARGETS))]
    caption = "The rows shown: what happened, the predicted median, and the smallest region that holds 90 %"
    more = {} if single else {"features": feature_cells(shown)}
    return [*charts, prediction_table(shown, labels, more, caption)]


def _spread_rows(judged: Judged) -> list[int]:
    """Choose rows evenly by rank: of the feature where there is one, else of the predicted mean."""
    first, *others = judged.X.values()
    key = first if not others and first.dtype.kind in "fM" else judged.density.mean[:, 0].numpy()
    order = np.argsort(key, kind="stable")
    places = np.linspace(0, len(order) - 1, min(_SHOWN_ROWS, len(order))).round().astype(int)
    return [int(order[place]) for place in np.unique(places)]


def _chart(shown: Judged, d: int, labels: list[str], order: str) -> str:
    name, density = shown.targets[d], shown.density.marginal(d)
    kinds = {group.kinds[0] for group in density.components.groups}
    drawn = "Probability" if "count" in kinds else "Density"
    has_atoms = "atom" in kinds and "count" not in kinds
    atoms = " Upright lines are probabilities of exact values, a whole one as high as a curve." if has_atoms else ""
    return ridge_chart(
        density,
        shown.y[:, d].numpy(),
        labels,
        name,
        f"{drawn} of {name} for {shown.n_rows} {shown.rows_in_words}, ordered by {order}; each curve is scaled to its "
        f"own height, and the dot is what happened.{atoms}",
    )
