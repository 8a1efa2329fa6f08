"""A forecaster that is fitted in a moment, and series whose future is known."""

from typing import Any

import numpy as np

from manymodes.estimators import MDNForecaster

SMALL: dict[str, Any] = {
    "horizon": 4,
    "context": 6,
    "n_components": 2,
    "n_members": 2,
    "hidden_sizes": (16,),
    "n_steps": 20,
    "batch_size": 64,
    "random_state": 0,
}


def small(**changes: Any) -> MDNForecaster:
    return MDNForecaster(**{**SMALL, **changes})


def walk(n_steps: int = 200, seed: int = 0, n_targets: int | None = None) -> np.ndarray:
    """Return a random walk, (T,) or (T, D)."""
    size = n_steps if n_targets is None else (n_steps, n_targets)
    return np.random.default_rng(seed).normal(size=size).cumsum(0)


def double_well(n_paths: int, n_steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return paths, (n_paths, T + 1), that begin between two wells and fall into one of them."""
    x, out = np.zeros(n_paths), [np.zeros(n_paths)]
    for _ in range(n_steps):
        x = x + 0.1 * (x - x**3) + 0.5 * np.sqrt(0.1) * rng.normal(size=n_paths)
        out.append(x)
    return np.array(out).T


def long_frame(values: dict[str, np.ndarray], first: str = "2024-01-01", step: str = "h") -> dict[str, np.ndarray]:
    """Return series as the columns of a long frame."""
    times = {name: np.datetime64(first, step) + np.arange(len(one)) for name, one in values.items()}
    return {
        "unique_id": np.concatenate([[name] * len(one) for name, one in values.items()]),
        "ds": np.concatenate(list(times.values())).astype("datetime64[us]"),
        "y": np.concatenate(list(values.values())),
    }
