"""Families that a target looks made for, in words: suggestions only, which nobody follows but the user."""

from __future__ import annotations

import math
import re

from manymodes.estimators.targets.facts import TargetFacts
from manymodes.estimators.targets.families import NORMAL, Family

_CIRCULAR = re.compile(r"angle|azimuth|bearing|direction|heading|phase|theta|wind_?dir|yaw", re.IGNORECASE)
_WIDE = 20.0  # times the smallest value: sizes that differ by orders of magnitude
_FEWEST_COUNTS = 10
_MOST_COUNTS = 1000.0  # larger ones are as good as continuous


def suggestion(facts: TargetFacts, name: str, family: Family) -> str | None:
    """Return a sentence that names a family for a target, from its name and its values; None where none offers itself.

    Args:
        facts: What its values are like.
        name: Its name.
        family: The family that it has.
    """
    if family != NORMAL or facts.smallest is None or facts.largest is None:
        return None
    found = _circular(facts.smallest, facts.largest) if _CIRCULAR.search(name) else None
    found = found or _by_values(facts, facts.smallest, facts.largest)
    if found is None:
        return None
    looks, chosen = found
    return f"{name!r} {looks}; target_families={{{name!r}: {chosen!r}}} may suit it{_AFTER.get(looks, '')}."


_RADIANS, _DEGREES = "sounds like an angle in radians", "sounds like an angle in degrees"
_AFTER = {_DEGREES: " once it is in radians"}


def _circular(smallest: float, largest: float) -> tuple[str, str] | None:
    turn = 2 * math.pi + 1e-6
    if largest - smallest <= turn and -turn <= smallest and largest <= turn:
        return _RADIANS, "von_mises"
    if largest - smallest <= 360 and smallest >= -180 and largest <= 360:
        return _DEGREES, "von_mises"
    return None


def _by_values(facts: TargetFacts, smallest: float, largest: float) -> tuple[str, str] | None:
    is_whole = facts.step is not None and facts.share_on_lattice == 1 and facts.step % 1 == 0 and smallest % 1 == 0
    many = facts.n_distinct > _FEWEST_COUNTS  # fewer may as well be names of classes
    if is_whole and many and facts.step == 1 and smallest >= 0 and largest <= _MOST_COUNTS:
        return "takes whole numbers from 0 on, as counts do", "negative_binomial"
    if is_whole:
        return None
    if smallest > 0 and 0.5 < largest < 1:
        return "lies between 0 and 1", "beta"
    if smallest > 0 and largest > _WIDE * smallest:
        return "is positive and ranges over orders of magnitude", "log_normal"
    return None
