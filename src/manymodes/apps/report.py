"""``report.html``: what a fit found, in one file that opens from disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from string import ascii_uppercase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom  # scikit-learn brings SciPy
from torch import Tensor

from manymodes import _checks, metrics
from manymodes.apps.files import Columns
from manymodes.apps.summary import BASELINES, READING, Summary, score_tables
from manymodes.distributions import Prediction
from manymodes.pages import Chart, as_text, page, paragraph, ridge_chart, section, table
from manymodes.training import History

_SHOWN_ROWS = 10
_MOST_FEATURES = 8  # columns of the table of shown rows


def report_page(summary: Summary, history: History, distribution: Prediction, X: Columns, y: Tensor) -> str:
    """Return the report.

    Args:
        summary: What the fit found.
        history: How training went.
        distribution: Predictions for the held-out rows, (N,).
        X: Features of the held-out rows, columns of (N,).
        y: Targets of the held-out rows, (N, D).
    """
    names = ", ".join(summary.targets)
    sentences = summary.sentences()
    shown = _spread_rows(distribution, X)
    return page(
        f"What {names} may be: {Path(summary.file).name}",
        sentences[0],
        [
            section(
                "Scores on held-out rows",
                *_scores(summary),
                paragraph(READING),
                paragraph(BASELINES),
                *map(paragraph, sentences[1:]),
            ),
            section("p(y | x) for some held-out rows", *_densities(summary, distribution, X, y, shown)),
            section("Calibration", *_pit_charts(summary.targets, metrics.pit(distribution, y))),
            section("Training", _learning_curve(history)),
            section(
                "Use the model",
                paragraph(f"In Python: model = manymodes.load({summary.model!r})"),
                paragraph(f"In a shell: manymodes predict {quote(summary.model)} NEW.csv --output PREDICTIONS.csv"),
            ),
        ],
    )


def _scores(summary: Summary) -> list[str]:
    parts: list[str] = []
    for title, header, rows in score_tables(summary.named_scores()):
        parts += [paragraph(f"{title}:"), table(header, rows)]
    return parts


def _spread_rows(distribution: Prediction, X: Columns) -> list[int]:
    """Choose rows evenly by rank: of the feature where there is one, else of the predicted mean."""
    first, *others = X.values()
    key = first if not others and first.dtype.kind in "fM" else distribution.mean[:, 0].numpy()
    order = np.argsort(key, kind="stable")
    places = np.linspace(0, len(order) - 1, min(_SHOWN_ROWS, len(order))).round().astype(int)
    return [int(order[place]) for place in np.unique(places)]


def _densities(summary: Summary, distribution: Prediction, X: Columns, y: Tensor, shown: list[int]) -> list[str]:
    chosen = distribution[torch.tensor(shown)]
    single = len(summary.features) == 1
    first = next(iter(X.values()))
    labels = [_cell(first[row]) if single else ascii_uppercase[i] for i, row in enumerate(shown)]
    is_ordered = single and first.dtype.kind in "fM"
    order = summary.features[0] if is_ordered else f"the predicted mean of {summary.targets[0]}"
    charts = [
        ridge_chart(
            chosen.marginal(d),
            y[shown, d].numpy(),
            labels,
            name,
            f"Density of {name} for {len(shown)} held-out rows, ordered by {order}; each curve is scaled to its own "
            "height, and the dot is what happened.",
        )
        for d, name in enumerate(summary.targets)
    ]
    rows = {name: column[shown] for name, column in X.items()}
    return [*charts, _row_table(summary, chosen, rows, y[shown], labels)]


def _row_table(summary: Summary, chosen: Prediction, X: Columns, y: Tensor, labels: Sequence[str]) -> str:
    levels = torch.tensor([0.05, 0.95], dtype=y.dtype)[:, None, None]
    mean, (low, high) = chosen.mean, chosen.icdf(levels)
    header, columns = [summary.features[0] if len(summary.features) == 1 else "row"], [list(labels)]
    for d, name in enumerate(summary.targets):
        header += [name, "predicted mean", "90 % interval"]
        cells = _numbers(torch.stack([y[:, d], mean[:, d], low[:, d], high[:, d]]).numpy())
        columns += [*cells[:2], [f"{a} to {b}" for a, b in zip(*cells[2:], strict=True)]]
    if len(summary.features) > 1:
        header += summary.features[:_MOST_FEATURES]
        columns += [_feature(column) for column in list(X.values())[:_MOST_FEATURES]]
    return table(header, list(zip(*columns, strict=True)))


def _feature(column: NDArray[Any]) -> list[str]:
    """Return the cells of a feature as text."""
    is_known = column.dtype.kind == "f" and not np.isnan(column).any()
    return _numbers(column[None])[0] if is_known else [_cell(cell) for cell in column]


def _cell(cell: Any) -> str:
    """Return a cell of any kind as text; a missing one is empty."""
    if cell is None or cell != cell:  # NaN and NaT
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _numbers(values: NDArray[np.float64]) -> list[list[str]]:
    """Return numbers as text, with enough digits to tell those of a table apart."""
    step = float(np.ptp(values)) / 1000
    return [as_text(row, step) for row in values.tolist()]


def _pit_charts(names: Sequence[str], pit: Tensor) -> list[str]:
    return [_pit_chart(name, pit[:, d]) for d, name in enumerate(names)]


def _pit_chart(name: str, pit: Tensor) -> str:
    n_rows = len(pit)
    n_bins = 10 if n_rows < 500 else 20
    counts = torch.histc(pit.float(), n_bins, 0.0, 1.0)
    low, high = binom.ppf([0.025, 0.975], n_rows, 1 / n_bins)
    highest = max(float(counts.max()), high)
    chart = Chart((0.0, 1.0), (0.0, 1.05 * highest), x_label=f"PIT of {name}", y_label="held-out rows")
    chart.box((0.0, low), (1.0, high), "band")
    for i, count in enumerate(counts.tolist()):
        chart.box(((i + 0.04) / n_bins, 0.0), ((i + 0.96) / n_bins, count), "bar")
    return chart.figure(
        f"Probability integral transform of {name}: flat bars mean calibrated predictions. Each bar of a "
        "calibrated model ends in the grey band with a probability of at least 95 %."
    )


def _learning_curve(history: History) -> str:
    curves = {"blue": history.train_loss, "orange": history.validation_loss}
    ordered = sorted(loss for losses in curves.values() for loss in losses if math.isfinite(loss))
    low, high = ordered[0], ordered[int(0.98 * (len(ordered) - 1))]  # the first epochs would flatten the rest
    room = 0.05 * (high - low)
    chart = Chart(
        (1.0, float(history.n_epochs)),
        (low - room, high + room),
        x_label="epoch",
        y_label="loss (scaled units)",
    )
    for style, losses in curves.items():
        known = [(i + 1.0, loss) for i, loss in enumerate(losses) if math.isfinite(loss)]
        points = [(epoch, min(max(loss, low), high + room)) for epoch, loss in known]
        chart.curve([point[0] for point in points], [point[1] for point in points], style)
    chart.vertical(history.best_epoch + 1.0)
    return chart.figure(
        f"Loss on training batches (blue, with dropout) and on validation rows (orange), averaged over "
        f"{_checks.counted(history.n_members, 'network')}, each of which kept the weights of its best epoch (dashed: "
        f"the middle one, {history.best_epoch + 1} of {history.n_epochs}). {history.seconds:.1f} seconds."
    )
