"""Modes and regions, which are searched for in each density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manymodes import _checks
from manymodes.apps.service import schemas
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations.operation import (
    Asked,
    Operation,
    Predicted,
    choice,
    number_between,
)
from manymodes.apps.service.tables import atoms_of, intervals_of, modes_of


class Region(Operation):
    """Highest-density regions."""

    name, key = "region", "regions"
    summary = "The smallest set that holds a probability: disjoint intervals, several where there are several modes."
    cost = 16

    def is_rowwise(self, asked: Asked) -> bool:
        """Whether no search is needed."""
        return False

    def options(self, served: Served) -> dict[str, Any]:
        """Return the level and the target."""
        target: dict[str, Any] = {"enum": list(served.targets)}
        if len(served.targets) == 1:
            target = {"anyOf": [target, {"type": "null"}]}
        return {"level": schemas.LEVEL, "target": target}

    def required(self, served: Served) -> list[str]:
        """Return the target where there are several."""
        return ["target"] if len(served.targets) > 1 else []

    def entry(self, served: Served) -> dict[str, Any]:
        """Return intervals and atoms."""
        return schemas.REGION

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return the level and the target that are asked for."""
        target = options.get("target")
        if target is None and len(served.targets) > 1:
            raise _checks.InputError(f"target must name one of {_checks.quoted(served.targets)}; got none.")
        if target is not None:
            target = choice("target", target, served.targets)
        return Asked((number_between("level", options.get("level", 0.9), 0.0, 1.0), target))

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the regions."""
        level, target = asked.settings
        return intervals_of(predicted.predict_region(predicted.rows, level, target=target))


class Modes(Operation):
    """Modes of the joint density."""

    name, key = "modes", "modes"
    summary = "The modes of the joint density, the highest first, with their heights and the probability around each."
    cost = 16

    def is_rowwise(self, asked: Asked) -> bool:
        """Whether no search is needed."""
        return False

    def options(self, served: Served) -> dict[str, Any]:
        """Return none."""
        return {}

    def entry(self, served: Served) -> dict[str, Any]:
        """Return modes and atoms."""
        return schemas.modes(served.targets)

    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return that nothing is asked beside the rows."""
        return Asked()

    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return the modes."""
        found = predicted.predict_modes(predicted.rows)
        names = predicted.target_names_ or []
        return [
            {"modes": modes, "atoms": atoms}
            for modes, atoms in zip(modes_of(found, names), atoms_of(found.atoms), strict=True)
        ]
