"""The models that the benchmarks compare, by name: each made from a seed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import manymodes as mm
from manymodes.estimators.baselines import BASELINES

MODELS: Mapping[str, Callable[[int], Any]] = {
    "default": lambda seed: mm.MDNRegressor(random_state=seed),
    "fast": lambda seed: mm.MDNRegressor(preset="fast", random_state=seed),
    "best": lambda seed: mm.MDNRegressor(preset="best", random_state=seed),
    **{name: lambda seed, baseline=baseline: baseline(random_state=seed) for name, baseline in BASELINES.items()},
}
