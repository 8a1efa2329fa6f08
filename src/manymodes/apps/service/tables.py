"""Modes and regions, which come as tensors with a mask, as lists for JSON: one for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from manymodes.apps.service.strict_json import finite
from manymodes.distributions import Modes, Region
from manymodes.distributions.results import Atoms


def intervals_of(region: Region) -> list[dict[str, Any]]:
    """Return the intervals of each row with their probabilities, its atoms, and the log-density on the border."""
    intervals = _masked(region.mask, {"low": region.low, "high": region.high, "mass": region.mass})
    border = finite(region.log_level.tolist())
    return [
        {"intervals": own, "atoms": atoms, "log_level": level}
        for own, atoms, level in zip(intervals, atoms_of(region.atoms), border, strict=True)
    ]


def modes_of(modes: Modes, names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the modes of each row, the highest first; locations and spreads by the names of the targets."""
    found = _masked(
        modes.mask,
        {
            "location": modes.location,
            "log_density": modes.log_density,
            "mass": modes.mass,
            "spread": modes.spread,
        },
    )
    for row in found:
        for mode in row:
            for key in ("location", "spread"):
                mode[key] = dict(zip(names, mode[key], strict=True))
    return found


def atoms_of(atoms: Atoms) -> list[list[dict[str, Any]]]:
    """Return the atoms of each row with their probabilities."""
    return _masked(atoms.mask, {"location": atoms.location, "mass": atoms.mass})


def _masked(mask: Tensor, columns: dict[str, Tensor]) -> list[list[dict[str, Any]]]:
    """Return the entries that a mask, (N, J), means, each as its values by name, for each of N rows."""
    listed = {name: finite(values.tolist()) for name, values in columns.items()}
    return [
        [{name: values[row][j] for name, values in listed.items()} for j, is_meant in enumerate(own) if is_meant]
        for row, own in enumerate(mask.tolist())
    ]
