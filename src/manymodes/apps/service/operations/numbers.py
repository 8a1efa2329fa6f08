"""Points, quantiles and draws: numbers of each target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manymodes import _checks
from manymodes.apps.service import schemas
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations.operation import (
    MOST_NUMBERS,
    Asked,
    Operation,
    Predicted,
    by_target,
    choice,
    number_between,
    refuse_many,
    whole,
)


class Predict(Operation):
    """A point for each row."""

    name, key = "predict", "predictions"
    summary = "A point of every target: the mean, the median, the highest mode, or the mode nearest to all modes."

    def is_rowwise(self, asked: Asked) -> bool:
        """Whether no search for modes is needed."""
        return asked.settings[0] in ("mean", "median")

    def options(self, served: Served) -> dict[str, Any]:
        """Return the choice of a point."""
        return {"point": {"enum": list(_POINTS), "default": "mean"}}

    def entry(self, served: Served) -> dict[str, Any]:
        """Return a number for every target."""
        return schemas.by_target(served.targets, schemas.NUMBER)

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the point that is asked for."""
        return Asked((choice("point", options.get("point", "mean"), _POINTS),))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the points."""
        return by_target(predicted, predicted.predict(predicted.rows, point=asked.settings[0]))


_POINTS = ("mean", "median", "mode", "medoid")


class Quantiles(Operation):
    """Quantiles of each row."""

    name, key = "quantiles", "quantiles"
    summary = "Quantiles of every target, in the order of the levels."

    def options(self, served: Served) -> dict[str, Any]:
        """Return the levels."""
        level = {"type": "number", "minimum": 0, "maximum": 1}
        levels = {"type": "array", "items": level, "minItems": 1, "maxItems": _MOST_LEVELS}
        return {"levels": {"anyOf": [levels, level], "default": list(_LEVELS)}}

    def entry(self, served: Served) -> dict[str, Any]:
        """Return numbers for every target."""
        return schemas.by_target(served.targets, schemas.NUMBERS)

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the levels that are asked for."""
        levels = options.get("levels", _LEVELS)
        listed = levels if isinstance(levels, (list, tuple)) else [levels]
        if not 1 <= len(listed) <= _MOST_LEVELS:
            raise _checks.InputError(f"levels must hold 1 to {_MOST_LEVELS} levels; got {len(listed)}.")
        wanted = [number_between("every level", level, 0.0, 1.0, including=(0.0, 1.0)) for level in listed]
        refuse_many("levels", len(wanted), n_rows * len(served.targets))
        return Asked((tuple(wanted),))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the quantiles."""
        return by_target(predicted, predicted.predict_quantiles(predicted.rows, asked.settings[0]))


_LEVELS, _MOST_LEVELS = (0.05, 0.5, 0.95), 1000


class Sample(Operation):
    """Draws from each density."""

    name, key = "sample", "samples"
    summary = "Draws from the joint density: those in the same place of every target's list belong together."
    splits = False

    def is_rowwise(self, asked: Asked) -> bool:
        """Whether draws of a row do not depend on other rows; one generator draws for all of them."""
        return False

    def options(self, served: Served) -> dict[str, Any]:
        """Return the number of draws and the seed."""
        seed = {"type": ["integer", "null"], "minimum": 0, "maximum": 2**32 - 1, "description": "null for a fresh one"}
        count = {"type": "integer", "minimum": 1, "maximum": MOST_NUMBERS, "default": 1}
        return {"n_samples": count, "random_state": seed}

    def entry(self, served: Served) -> dict[str, Any]:
        """Return numbers for every target."""
        return schemas.by_target(served.targets, schemas.NUMBERS)

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the number of draws and the seed that are asked for."""
        count = _checks.integer_at_least("n_samples", whole("n_samples", options.get("n_samples", 1)), 1)
        refuse_many("n_samples", count, n_rows * len(served.targets))
        seed = options.get("random_state")
        return Asked((count, None if seed is None else _checks.random_state(whole("random_state", seed))))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the draws."""
        count, seed = asked.settings
        draws = predicted.sample(predicted.rows, count, random_state=seed)  # (S, N, D)
        return by_target(predicted, draws.transpose(1, 2, 0))
