"""The report's section on the data: what every column holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.report.cells import cell, numbers, percent
from manymodes.apps.report.judged import Judged
from manymodes.estimators.tables.frames import is_missing
from manymodes.pages import Markup, paragraph, sparkline, table

_SHOWN = 60  # columns
_BINS, _LEVELS = 24, 12


def data_parts(judged: Judged) -> list[str]:
    """Return a table with a line for every column."""
    names = [*judged.targets, *judged.features]
    categories = {code.name for code in judged.fitted.encoder_.columns if code.is_category}
    rows = [_line(name, judged.table[name], name in judged.targets, name in categories) for name in names[:_SHOWN]]
    n_read = len(next(iter(judged.table.values())))
    told = f"The table, {judged.file_name}, has {_checks.counted(judged.n_table_rows, 'row')}"
    told += "." if n_read == judged.n_table_rows else f"; what follows is of {n_read} of them, drawn at random."
    header = ["column", "kind", "what it holds", "missing", "repeated", "histogram"]
    caption = "Columns of the table; repeated is the share of known values that an earlier row has, too"
    left = len(names) - len(rows)
    more = [paragraph(f"{left} more features are not listed.")] if left > 0 else []
    return [paragraph(told), table(header, rows, caption=caption, words=True), *more]


def _line(name: str, column: NDArray[Any], is_target: bool, is_category: bool) -> list[str]:
    known = column[np.array([not is_missing(value) for value in column], dtype=bool)]
    n_missing = len(column) - len(known)
    missing = f"{n_missing} ({percent(n_missing / len(column), 1)})" if n_missing else "none"
    label = f"{name} (target)" if is_target else name
    if not len(known):
        return [label, "unknown", "nothing", missing, "", ""]
    repeated = percent(1 - len(set(known.tolist())) / len(known))
    if column.dtype.kind in "biuf":
        kind, held, histogram = _of_numbers(known.astype(np.float64))
    elif column.dtype.kind == "M":
        kind, held, histogram = _of_times(known)
    else:
        kind, held, histogram = _of_texts(known.tolist())
    return [label, "category" if is_category else kind, held, missing, repeated, histogram]


def _of_numbers(known: NDArray[np.float64]) -> tuple[str, str, Markup]:
    is_whole = bool((known == known.round()).all())
    low, middle, high = numbers(np.quantile(known, [0.0, 0.5, 1.0])[None])[0]
    held = f"{low} to {high}, median {middle}" if low != high else f"always {low}"
    kind = "whole number" if is_whole else "number"
    return kind, held, _histogram(known, f"Histogram from {low} to {high}")


def _of_times(known: NDArray[np.datetime64]) -> tuple[str, str, Markup]:
    low, high = cell(known.min()), cell(known.max())
    return (
        "time",
        f"{low} to {high}",
        _histogram(known.astype(np.int64).astype(float), f"Histogram from {low} to {high}"),
    )


def _of_texts(known: list[Any]) -> tuple[str, str, Markup]:
    counts = Counter(map(str, known))
    common = counts.most_common(_LEVELS)
    shown = ", ".join(f"{cell(name)} {percent(count / len(known))}" for name, count in common[:4])
    more = f" and {len(counts) - 4} more" if len(counts) > 4 else ""
    bars = sparkline([count for _, count in common], f"Rows of the {len(common)} most frequent values")
    return "text", f"{_checks.counted(len(counts), 'value')}: {shown}{more}", bars


def _histogram(known: NDArray[np.float64], description: str) -> Markup:
    different = np.unique(known)
    n_bins = len(different) if len(different) <= _BINS else _BINS
    counts = np.unique(known, return_counts=True)[1] if n_bins < _BINS else np.histogram(known, _BINS)[0]
    return sparkline(counts.tolist(), description)
