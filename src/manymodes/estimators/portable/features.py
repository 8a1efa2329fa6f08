"""What a model's features are, for people and programs: kinds, ranges and categories."""

from __future__ import annotations

from typing import Any

from manymodes.estimators.regressor import MDNRegressor
from manymodes.estimators.tables.encoding import ColumnCode


def describe_features(model: MDNRegressor) -> list[dict[str, Any]]:
    """Return one record for each feature of a model that was fitted to a table, in the order of its columns.

    It has ``name``, ``kind`` ("number", "category" or "time"), ``has_missing`` (whether a missing value means
    something) and ``is_used`` (constant columns and empty ones are not). Numbers and times, in seconds since 1970, have
    ``low`` and ``high``, the range of the fit, and ``typical``, their mean there, where the model knows them;
    categories have ``levels``.
    """
    encoder = model.encoder_
    return [_described(model, code, place) for code, place in zip(encoder.columns, encoder.places, strict=True)]


def _described(model: MDNRegressor, code: ColumnCode, place: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": code.name,
        "kind": code.kind,
        "has_missing": code.has_missing,
        "is_used": not (code.is_constant or code.is_empty),
    }
    if code.kind == "category":
        return {**record, "levels": list(code.levels)}
    known = model.familiarity_
    if known is None or not record["is_used"]:
        return {**record, "low": None, "high": None, "typical": None}
    ends = {"low": known.low, "high": known.high, "typical": known.loc}
    return {**record, **{name: float(values[place]) for name, values in ends.items()}}
