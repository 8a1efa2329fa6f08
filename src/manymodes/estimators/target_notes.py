"""All that is said of the targets of a fit: what their values are like, what was done about it, and what may help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manymodes.estimators.architecture import Architecture
from manymodes.estimators.targets.facts import TargetFacts
from manymodes.estimators.targets.suggestions import suggestion
from manymodes.estimators.targets.words import about_target


def target_notes(
    facts: Sequence[TargetFacts], names: Sequence[str], built: Architecture, *, rounding: float | None
) -> list[str]:
    """Return sentences about every target.

    Args:
        facts: What the values of each told; none for a model of format version 1.
        names: Their names, D of them.
        built: What was built for them.
        rounding: Width of the rounding cells whose probability is scored; None scores densities.
    """
    told: list[str] = []
    floors = np.broadcast_to(built.min_scale, len(names)).tolist()
    plain = not built.atoms and rounding is None  # with either, the target is seen to already
    for own, name, floor, family in zip(facts, names, floors, built.families, strict=False):
        told += about_target(
            own, name, floor=floor, n_targets=len(names), rounding=rounding, atoms=built.atoms, family=family
        )
        offered = suggestion(own, name, family) if plain else None
        told += [] if offered is None else [offered]
    return told
