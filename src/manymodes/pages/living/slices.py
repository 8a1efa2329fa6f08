"""Densities worked out ahead, where a network does not fit into a page: each feature moved by itself from some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from manymodes.estimators.portable.parameters import ParameterNetwork
from manymodes.estimators.regressor import MDNRegressor
from manymodes.pages.living.example import Example
from manymodes.pages.living.packed import Packed

_PLACES, _MOST_LEVELS = 25, 25  # along a feature
_MOST_BASES = 6

Feature = Mapping[str, Any]


def sliced(
    model: MDNRegressor, features: Sequence[Feature], examples: Sequence[Example], most_bytes: int
) -> dict[str, Any]:
    """Return slices through a model for a page: as many features, of as many rows, as fit.

    Args:
        model: The regressor.
        features: What its features are, those that matter most first.
        examples: Rows to start from, one at least.
        most_bytes: Bytes that they may take.
    """
    network = ParameterNetwork(model.network_)
    shown = [_along(feature) for feature in features if feature["is_used"]]
    bases = examples[:_MOST_BASES]
    size = _bytes_of_a_row(model, network, examples[0]) * _PLACES
    n_slices = max(1, most_bytes // size)
    shown = shown[: max(1, n_slices // len(bases))]
    bases = bases[: max(1, n_slices // len(shown))]
    packed, names = Packed(), []
    for b, base in enumerate(bases):
        for s, along in enumerate(shown):
            rows = {**_columns(base, len(along["values"])), along["name"]: _column(along["values"])}
            for name, value in _parameters(model, network, rows).items():
                packed.add(f"{b}.{s}.{name}", value)
                names.append(name)
    for along in shown:
        along["start"] = [_nearest(along, base.row[along["name"]]) for base in bases]
    return {
        "slices": shown,
        "bases": [base.label for base in bases],
        "slice_parameters": sorted(set(names)),
        "tensors": packed.entries,
        "bytes": packed.base64(),
    }


def _along(feature: Feature) -> dict[str, Any]:
    """Return the values along one feature, and how they are called."""
    if feature["kind"] == "category":
        levels = feature["levels"][:_MOST_LEVELS]
        return {"name": feature["name"], "values": levels, "texts": [str(level) for level in levels], "is_menu": True}
    low, high = feature["low"], feature["high"]
    values = np.linspace(-1.0 if low is None else low, 1.0 if high is None else high, _PLACES)
    if feature["is_whole"]:
        values = np.unique(values.round())
    is_time = feature["kind"] == "time"
    texts = [f"{datetime.fromtimestamp(v, UTC):%Y-%m-%d %H:%M}" if is_time else f"{v:.4g}" for v in values.tolist()]
    return {"name": feature["name"], "values": values.tolist(), "texts": texts, "is_menu": False, "is_time": is_time}


def _columns(base: Example, n: int) -> dict[str, Any]:
    return {name: _column([value] * n) for name, value in base.row.items()}


def _column(values: Sequence[Any]) -> Any:
    if all(isinstance(value, float | int) or value is None for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values, dtype=object)


def _parameters(model: MDNRegressor, network: ParameterNetwork, rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    times = {code.name for code in model.encoder_.columns if code.kind == "time"}
    table = {
        name: (column * 1e6).astype("datetime64[us]") if name in times else column for name, column in rows.items()
    }
    with torch.no_grad():
        values = network(model._open(table, 0).all())
    return {name: value.float() for name, value in zip(network.names, values, strict=True)}


def _bytes_of_a_row(model: MDNRegressor, network: ParameterNetwork, example: Example) -> int:
    return 4 * sum(value.numel() for value in _parameters(model, network, _columns(example, 1)).values())


def _nearest(along: Mapping[str, Any], value: Any) -> int:
    values = along["values"]
    if along["is_menu"]:
        return values.index(value) if value in values else 0
    if value is None:
        return len(values) // 2
    return int(np.argmin([abs(each - value) for each in values]))
