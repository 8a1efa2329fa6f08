"""Models of every kind in one folder, and a service of them that needs no network."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manymodes as mm
from manymodes.apps.service.app import make_app
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import find_models

from .client import Client
from .rows import N, features

TINY: dict[str, Any] = {
    "n_components": 2,
    "n_members": 2,
    "frequency": 0.1,
    "hidden_sizes": (16,),
    "max_epochs": 2,
    "random_state": 0,
}


def _models() -> dict[str, Any]:
    rng, X = np.random.default_rng(1), features()
    price = 2 * X["size"] + rng.normal(0, 5, N)
    numbers = {"size": X["size"], "zip": X["zip"]}
    zoned = np.array([time.replace(tzinfo=datetime.UTC) for time in X["sold"].tolist()], dtype=object)
    angle = rng.vonmises(0, 2, N)
    fits = {
        "prices": ({"categorical_features": ("zip",)}, X, {"price": price}),
        "two": ({"covariance_type": "full"}, numbers, {"price": price, "rent": price / 300 + rng.normal(size=N)}),
        "zeros": ({"atoms": (0.0,)}, numbers, {"rain": np.where(rng.random(N) < 0.4, 0.0, rng.exponential(size=N))}),
        "counts": ({"family": "poisson"}, numbers, {"bikes": rng.poisson(X["size"] / 20).astype(float)}),
        "angles": ({"target_families": {"way": "von_mises"}}, numbers, {"way": angle, "length": price}),
        "gaps": (
            {"allow_missing_targets": True},
            {"sold": zoned, "size": X["size"]},
            {"price": np.where(rng.random(N) < 0.2, np.nan, price), "rent": price / 300},
        ),
    }
    models = {name: mm.MDNRegressor(**TINY, **more).fit(X, y) for name, (more, X, y) in fits.items()}
    recalibrated = mm.estimators.RecalibratedRegressor(models["prices"], cv="prefit", kind="beta", random_state=0)
    models["corrected"] = recalibrated.fit(X, {"price": price + 10})
    return models


@pytest.fixture(scope="package")
def folder(tmp_path_factory) -> Path:
    """A folder of models, one of each kind."""
    path = tmp_path_factory.mktemp("models")
    for name, model in _models().items():
        model.save(path / f"{name}.mm")
    return path


@pytest.fixture(scope="package")
def models(folder):
    """The models as they are served, by name."""
    return find_models(folder)


@pytest.fixture(scope="package")
def client(models):
    """A client of a service of all models."""
    with Client(make_app(models, Limits(rows=40, body_bytes=20_000))) as client:
        yield client
