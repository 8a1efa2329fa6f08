"""What a page knows of a model: how rows become densities, which features there are, and some rows to start from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.estimators.portable.document import describe_model
from manymodes.estimators.regressor import MDNRegressor
from manymodes.estimators.tables.columns import table_of
from manymodes.pages.living.example import Example, Row
from manymodes.pages.living.slices import sliced
from manymodes.pages.living.weights import PageNetwork

Columns = Mapping[str, NDArray[Any]]


def page_base(
    model: MDNRegressor,
    examples: Sequence[Example],
    ranges: Sequence[tuple[float, float]],
    *,
    order: Sequence[str] = (),
    whole: Collection[str] = (),
) -> dict[str, Any]:
    """Return all that a page knows of a model but the numbers of its network, as JSON can hold it.

    Args:
        model: A regressor that was fitted to a table.
        examples: Rows to start from, the first of which the page shows first.
        ranges: What each target's axis reaches over, D of them.
        order: Names of features, those that matter most first; those that are not named follow.
        whole: Features whose values are whole numbers.
    """
    document = describe_model(model, torch.zeros(1, len(model.encoder_.order), dtype=torch.float64))
    places = {name: place for place, name in enumerate(order)}
    features = sorted(document["features"], key=lambda feature: places.get(feature["name"], len(places)))
    for feature in features:
        feature["is_whole"] = feature["name"] in whole
    return {
        **document,
        "features": features,
        "ranges": [list(ends) for ends in ranges],
        "examples": [asdict(example) for example in examples],
    }


def with_network(base: Mapping[str, Any], network: PageNetwork) -> dict[str, Any]:
    """Return a page's model with a network that it runs."""
    return {**base, "network": network.plan, "tensors": network.tensors, "bytes": network.base64}


def with_slices(
    base: Mapping[str, Any], model: MDNRegressor, examples: Sequence[Example], most_bytes: int
) -> dict[str, Any]:
    """Return a page's model with slices that are worked out here, of at most so many bytes."""
    return {**base, **sliced(model, base["features"], examples, most_bytes)}


def plain_rows(model: MDNRegressor, columns: Columns, rows: Sequence[int]) -> list[Row]:
    """Return rows of a table as JSON can hold them: numbers, text, seconds since 1970, or None where missing."""
    table = table_of({code.name: columns[code.name][list(rows)] for code in model.encoder_.columns})
    read = [
        table.column(place, as_category=code.kind == "category") for place, code in enumerate(model.encoder_.columns)
    ]
    return [{column.name: _plain(column.values[row]) for column in read} for row in range(len(rows))]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else number


def whole_features(columns: Columns) -> list[str]:
    """Return the names of the columns of numbers all of which are whole, and not so large that steps of 1 are none."""
    return [
        name
        for name, column in columns.items()
        if column.dtype.kind in "iu" or (column.dtype.kind == "f" and _is_whole(column[~np.isnan(column)]))
    ]


def _is_whole(values: NDArray[np.float64]) -> bool:
    return bool(len(values) and np.abs(values).max() < 1e6 and (values == np.round(values)).all())
