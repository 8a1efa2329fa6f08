"""Rows of features of every kind, as a client writes them and as Python takes them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

N = 60


def features() -> dict[str, Any]:
    """Numbers, numbers with gaps, truth values, categories of text and of numbers, times, and what never changes."""
    rng = np.random.default_rng(0)
    days = [datetime.datetime(2024, 1, 1, 6) + datetime.timedelta(hours=17 * i) for i in range(N)]
    return {
        "size": rng.uniform(50, 200, N),
        "age": np.where(rng.random(N) < 0.2, np.nan, rng.integers(0, 80, N).astype(float)),
        "garden": rng.random(N) < 0.5,
        "town": np.array([None if i % 9 == 0 else "abc"[i % 3] for i in range(N)], dtype=object),
        "zip": rng.choice([10.0, 20.0, 30.0], N),
        "sold": np.array(days, dtype="datetime64[us]"),
        "country": np.full(N, "here", dtype=object),
    }


def json_rows(names: list[str], n: int = 12) -> list[dict[str, Any]]:
    """The first rows of the features of a model as a client writes them."""
    table = features()
    zoned = "sold" in names and len(names) == 2

    def value(name: str, i: int) -> Any:
        cell = table[name].tolist()[i]
        if isinstance(cell, datetime.datetime):
            return cell.isoformat() + ("Z" if zoned else "")
        return None if isinstance(cell, float) and np.isnan(cell) else cell

    return [{name: value(name, i) for name in names} for i in range(n)]


def python_rows(names: list[str], n: int = 12) -> dict[str, Any]:
    """The same rows as Python takes them."""
    table = features()
    if "sold" in names and len(names) == 2:
        table["sold"] = np.array([time.replace(tzinfo=datetime.UTC) for time in table["sold"].tolist()], dtype=object)
    return {name: table[name][:n] for name in names}
