"""A page of a fitted model alone: its living part, and what is known of its fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.apps.models import load_model
from manymodes.estimators import MDNRegressor
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.estimators.portable.features import describe_features
from manymodes.pages.html import bullets, page, section
from manymodes.pages.living.model import page_base, with_network
from manymodes.pages.living.section import living_section
from manymodes.pages.living.weights import page_network

_ALL = 200_000_000  # bytes: a page of one's own server may be large
_ROWS, _LEVELS = 100, (0.02, 0.98)


def is_model(path: Path) -> bool:
    """Return whether a path is a model file, or a folder that holds one."""
    return (path / MODEL_FILE).is_file() if path.is_dir() else path.suffix == ".mm"


def model_page(path: Path) -> str:
    """Return the page of a model.

    Raises:
        ValueError: No model, or one that no page can run.
    """
    model, targets = load_model(path)
    network = page_network(model.network_, _ALL) if isinstance(model, MDNRegressor) else None
    if network is None:
        raise _checks.InputError(
            f"{str(path)!r} has a backbone or corrections of its own, which no page can run; manymodes report shows it."
        )
    names = " and ".join(targets)
    base = page_base(model, [], _ranges(model))
    living = living_section("Try it: move the features", with_network(base, network))
    notes = [*model.target_notes(), *model.feature_notes(), *model.history_.diagnosis().splitlines()]
    lead = f"Move the features and see what {names} may be: the curve is p(y | x)."
    return page(f"What {names} may be", lead, [living, section("How it was fitted", bullets(notes))])


def _ranges(model: MDNRegressor) -> list[tuple[float, float]]:
    """Return what each target reaches over: what is predicted for rows drawn between the ends of all features."""
    density = model.predict_distribution(_drawn_rows(describe_features(model)))
    ends = []
    for level in _LEVELS:
        ends.append(density.icdf(level).quantile(level, dim=0).tolist())
    return [(low, high if high > low else low + 1.0) for low, high in zip(*ends, strict=True)]


def _drawn_rows(features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    return {feature["name"]: _drawn(feature, random) for feature in features}


def _drawn(feature: Mapping[str, Any], random: np.random.Generator) -> NDArray[Any]:
    if feature["kind"] == "category":
        levels = np.empty(len(feature["levels"]), dtype=object)
        levels[:] = feature["levels"]
        return levels[random.integers(len(levels), size=_ROWS)]
    low, high = (0.0 if feature.get(end) is None else feature[end] for end in ("low", "high"))
    values = random.uniform(low, high, _ROWS)
    return (values * 1e6).astype("datetime64[us]") if feature["kind"] == "time" else values
