"""Cells of the report's tables: values of any kind as text."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.apps.report.judged import Judged
from manymodes.distributions import Region
from manymodes.pages import as_text, table

LEVEL = 0.9  # of the regions that tables list
_MOST_FEATURES = 16
_MOST_LETTERS = 40


def cell(value: Any) -> str:
    """Return a cell of any kind as text; a missing one is empty."""
    if isinstance(value, (np.datetime64, datetime.date)):
        value = np.datetime64(value)
        text = "" if np.isnat(value) else str(value.astype("datetime64[s]")).replace("T", " ").removesuffix(" 00:00:00")
    elif value is None or value != value:  # NaN
        text = ""
    elif isinstance(value, float):
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"
    else:
        text = str(value)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent."""
    return f"{100 * share:.{digits}f}\u00a0%"


def numbers(values: NDArray[np.float64]) -> list[list[str]]:
    """Return numbers as text, with enough digits to tell those of a table apart."""
    known = values[np.isfinite(values)]
    step = float(np.ptp(known)) / 200 if len(known) else 0.0
    return [as_text([number if math.isfinite(number) else 0.0 for number in row], step) for row in values.tolist()]


def intervals(region: Region) -> list[str]:
    """Return each row's region in words: its intervals and atoms."""
    low, high, atoms = region.low.numpy(), region.high.numpy(), region.atoms
    texts = numbers(np.concatenate([low, high, atoms.location.numpy()], 1))
    n = low.shape[1]
    told = []
    for row, text in enumerate(texts):
        mask = region.mask[row].tolist()
        parts = [text[j] if text[j] == text[n + j] else f"{text[j]} to {text[n + j]}" for j in range(n) if mask[j]]
        parts += [f"exactly {text[2 * n + a]}" for a, is_there in enumerate(atoms.mask[row].tolist()) if is_there]
        told.append(" or ".join(parts))
    return told


def feature_cells(judged: Judged) -> list[str]:
    """Return the features of each row in one cell; of many the sixteen that matter most."""
    names = judged.features if len(judged.features) <= _MOST_FEATURES else judged.order[:_MOST_FEATURES]
    left = len(judged.features) - len(names)
    more = f", and {left} more" if left > 0 else ""
    columns = [[cell(value) or "missing" for value in judged.X[name]] for name in names]
    return [
        ", ".join(f"{name}\u00a0{text}" for name, text in zip(names, row, strict=True)) + more
        for row in zip(*columns, strict=True)
    ]


def prediction_table(judged: Judged, labels: Sequence[str], more: Mapping[str, Sequence[str]], caption: str) -> str:
    """Return a table of rows: what happened, the predicted median and the 90 % region.

    Of several targets each has a line of its own. Lines carry their row's name as ``data-row`` for scripts.

    Args:
        judged: The rows, N of them, and what is predicted of them.
        labels: Name of each row.
        more: Further columns, N cells each.
        caption: What the table shows.
    """
    n_targets = len(judged.targets)
    told, ends = _predicted(judged), list(more.values())
    header = ["row", *(["target"] if n_targets > 1 else []), "what happened", "predicted median", "90 % region", *more]
    lines = []
    for row, label in enumerate(labels):
        for d, name in enumerate(judged.targets):
            middle = [name] if n_targets > 1 else []
            middle += [column[row] for column in told[d]]
            is_first = d == 0
            lines.append([label, *middle, *(end[row] if is_first else "" for end in ends)])
    rows = [{"data-row": judged.row_name(row)} for row in range(judged.n_rows) for _ in range(n_targets)]
    return table(header, lines, caption=caption, attributes=rows, words=True)


def _predicted(judged: Judged) -> list[tuple[list[str], list[str], list[str]]]:
    """Return for each target what happened, its predicted median and its region, as text, (N,) each."""
    half = torch.tensor([[[0.5]]], dtype=torch.float64)
    median = judged.density.icdf_around_mean(half).reshape(judged.y.shape)
    told = []
    for d in range(len(judged.targets)):
        happened, middle = numbers(np.stack([judged.y[:, d].numpy(), median[:, d].numpy()]))
        told.append((happened, middle, intervals(judged.density.marginal(d).highest_density_region(LEVEL))))
    return told
