"""The report's section on features: which of them move the density, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.apps.report.cells import cell
from manymodes.apps.report.judged import Judged
from manymodes.estimators import partial_dependence, permutation_importance
from manymodes.estimators.tables.frames import typical_values
from manymodes.pages import bar_chart, paragraph, table

_SHOWN = 15
_MANY, _CLOSELY = 30, 20  # of more features, a few rows tell which of them are looked at closely
_REPEATS = 2
_ROOM = 1_000_000  # cells that go through the networks, so that it takes seconds
_MOVED, _AVERAGED_ROWS = 8, 40  # features whose values are changed, and rows that are averaged over

Importances = Mapping[str, Any]  # feature, importance, standard_error


def importance_parts(judged: Judged, found: Importances | None) -> list[str]:
    """Return a bar chart and a table of permutation importances, and what the foremost features do.

    Args:
        judged: The model and the rows.
        found: What ``importances`` found.
    """
    if found is None:
        return [paragraph("One row cannot tell which features matter; judge the model on more.")]
    shown = {name: list(values[:_SHOWN]) for name, values in found.items()}
    double = [2 * error for error in shown["standard_error"]]
    chart = bar_chart(
        shown["feature"],
        shown["importance"],
        double,
        "log score that is lost, in nats a row",
        f"How much worse predictions of {_rows(judged)} {judged.rows_in_words} get when the values of one feature are "
        "shuffled among the rows, so that it says nothing any more; whiskers reach two standard errors to either side. "
        "Features that say the same as each other share their importance.",
    )
    return [paragraph(_in_words(shown, len(judged.features))), chart, _table(judged, shown), *_notes(judged)]


def importances(judged: Judged) -> Importances | None:
    """Return how much each feature matters, the first one most; of many the foremost only; None of a single row."""
    if judged.n_rows < 2:
        return None
    names = judged.features
    if len(names) > _MANY:
        few = judged.some(_screening_rows(judged))
        first = permutation_importance(judged.model, few.X, few.y_by_name, n_repeats=1)
        names = list(first["feature"][:_CLOSELY])
    n_rows = _rows(judged)
    found: Importances = permutation_importance(
        judged.model, judged.X, judged.y_by_name, n_repeats=_REPEATS, n_rows=n_rows, features=names
    )
    return found


def _rows(judged: Judged) -> int:
    """Return the number of rows whose features are shuffled."""
    n_features = len(judged.features)
    n_shuffled = n_features if n_features <= _MANY else _CLOSELY
    return min(judged.n_rows, max(30, min(1000, _ROOM // (_REPEATS * n_shuffled * n_features))))


def _screening_rows(judged: Judged) -> int:
    return min(judged.n_rows, max(10, min(50, _ROOM // (2 * len(judged.features) ** 2))))


def _notes(judged: Judged) -> list[str]:
    if len(judged.features) <= _MANY:
        return []
    return [
        paragraph(
            f"Of {len(judged.features)} features, the {_CLOSELY} that mattered most on {_screening_rows(judged)} rows "
            "are looked at closely."
        )
    ]


def _in_words(shown: Importances, n_features: int) -> str:
    clear = [
        str(name)
        for name, value, error in zip(*(shown[key] for key in ("feature", "importance", "standard_error")), strict=True)
        if value > 2 * error and value > 0.005
    ]
    if not clear:
        return "No feature clearly matters on these rows: shuffling any of them changes little."
    if n_features == 1:
        return f"{clear[0]} matters: without it, predictions are clearly worse."
    listed = ", ".join(clear[:5])
    return f"What matters most{', in this order' if len(clear) > 1 else ''}: {listed}."


def _table(judged: Judged, shown: Importances) -> str:
    moved = [_moved(judged, str(name)) for name in shown["feature"][:_MOVED]]
    blank = [""] * len(judged.targets)
    rows = [
        [str(name), f"{value:.3f} ± {error:.3f}", *(moved[place] if place < _MOVED else blank)]
        for place, (name, value, error) in enumerate(
            zip(shown["feature"], shown["importance"], shown["standard_error"], strict=True)
        )
    ]
    medians = [f"average density's median of {name}" for name in judged.targets]
    return table(
        ["feature", "loss in nats", *medians],
        rows,
        caption=f"Importance ± its standard error, and what {' and '.join(judged.targets[:3])} would typically be if "
        "every row had a low or a high (or another frequent) value of the feature",
        words=True,
    )


def _moved(judged: Judged, feature: str) -> list[str]:
    """Return for each target its median where a feature is low and where it is high, averaged over rows."""
    column = judged.X[feature]
    values = typical_values(column, 5)
    chosen = list(dict.fromkeys((values[1], values[-2]) if len(values) > 3 else (*values[:1], *values[-1:])))
    if not chosen:
        return ["always missing"] * len(judged.targets)
    found = partial_dependence(judged.model, judged.X, feature, grid=_own(column, chosen), n_rows=_AVERAGED_ROWS)
    cells = []
    for name in judged.targets:
        medians = [cell(median) for median in found[f"{name}_q0.5"].tolist()]
        told = [f"{median} at {cell(value)}" for median, value in zip(medians, chosen, strict=True)]
        cells.append(", ".join(told))
    return cells


def _own(column: Any, values: list[Any]) -> list[Any]:
    """Return values as the column holds them: points in time as NumPy's."""
    return [np.datetime64(value, "us") for value in values] if column.dtype.kind == "M" else values
