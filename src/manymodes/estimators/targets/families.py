"""Families of components by name, as the estimator and the command line take them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from manymodes import _checks
from manymodes.distributions import (
    COVARIANCE_TYPES,
    Beta,
    DiagonalNormal,
    Gamma,
    Laplace,
    Logistic,
    Logit,
    LogNormal,
    NegativeBinomial,
    Poisson,
    Product,
    StudentT,
    Transformed,
    VonMises,
    given,
)
from manymodes.distributions.blueprints import Blueprint, as_blueprint
from manymodes.distributions.declared import Declared

Family = str | Sequence[Any]  # a name, or (name, low, high) of a family between bounds

NORMAL = "normal"

_LINE: Mapping[str, type[Declared]] = {
    NORMAL: DiagonalNormal,
    "student_t": StudentT,
    "laplace": Laplace,
    "logistic": Logistic,
}
_UNBOUNDED: Mapping[str, type[Declared] | Blueprint] = {
    **_LINE,
    "log_normal": LogNormal,  # of the other families the exponential may have no mean
    "gamma": Gamma,
    "von_mises": VonMises,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}
COUNTS = ("poisson", "negative_binomial")
_LOGITS: Mapping[str, type[Declared]] = {f"logit_{name}": family for name, family in _LINE.items()}
_BOUNDED = ("beta", *_LOGITS)

FAMILIES = (*_UNBOUNDED, *_BOUNDED)
"""All names: those of families on the line, of what lies between two bounds (``logit_...`` and ``beta``), of positive
targets (``log_normal`` and ``gamma``), ``von_mises`` for angles in radians, and two for counts."""


def checked_family(family: Any, name: str = "family") -> Family:
    """Return a family's name, or (name, low, high), if it is one.

    Raises:
        ValueError: Another name, or bounds that cannot be.
    """
    if isinstance(family, str):
        _checks.one_of(name, family, dict.fromkeys(FAMILIES))
        return family
    if not isinstance(family, Sequence) or len(family) != 3:
        raise _checks.InputError(f"{name} must be a name, or (name, low, high); got {family!r}.")
    kind, low, high = family
    if kind not in _BOUNDED:
        raise _checks.InputError(f"{name} with bounds must be one of {_checks.quoted(sorted(_BOUNDED))}; got {kind!r}.")
    low = _checks.number_between(f"the lower bound of {name}", low, -math.inf, math.inf)
    return (kind, low, _checks.number_between(f"the upper bound of {name}", high, low, math.inf))


def blueprint_of(families: Sequence[Family], covariance_type: str) -> Blueprint:
    """Return the blueprint of components whose target dimensions have these families, D of them.

    Args:
        families: Checked families.
        covariance_type: Name in ``distributions.COVARIANCE_TYPES``; only normals have another than ``"diag"``.

    Raises:
        ValueError: A covariance type that does not exist or does not go with the families.
    """
    family = _checks.one_of("covariance_type", covariance_type, COVARIANCE_TYPES)
    others = [other for other in families if other != NORMAL]
    if not others:
        return as_blueprint(family)
    if covariance_type != "diag":
        raise _checks.InputError(f"covariance_type must be 'diag' for family={others[0]!r}; got {covariance_type!r}.")
    runs = [(_blueprint(own), len(list(group))) for own, group in groupby(families)]
    return runs[0][0] if len(runs) == 1 else Product.of(*runs)


def _blueprint(family: Family) -> Blueprint:
    """Return the blueprint of one family."""
    name: str
    low: float
    high: float
    name, low, high = (family, 0.0, 1.0) if isinstance(family, str) else tuple(family)
    if name == "beta":
        return given(Beta, low=low, high=high)
    if name in _LOGITS:
        return Transformed.of(_LOGITS[name], Logit.on(low, high))
    return as_blueprint(_UNBOUNDED[name])
