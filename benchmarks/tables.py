"""Tables on which the default was chosen: none of the seven of the UCI benchmark.

Random parts of california-housing, bike-sharing, kin40k, sarcos and scikit-learn's diabetes, and simulations that are
like small tables of engineers: few rows, inputs on a grid, little noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

from benchmarks.accuracy import DATA

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """Training and test rows."""

    X: Floats
    y: Floats
    X_test: Floats
    y_test: Floats


def shared(name: str, n_train: int, column: int = 0) -> Callable[[int], Part]:
    """Return what draws rows of a shared table; the seed says which."""

    def draw(seed: int) -> Part:
        with np.load(DATA / name / f"{name}.npz", allow_pickle=False) as arrays:
            X, y = arrays["X"], arrays["y"].reshape(len(arrays["X"]), -1)[:, column]
        return _cut(X, y, n_train, seed)

    return draw


def diabetes(seed: int) -> Part:
    """Draw rows of the diabetes table of scikit-learn."""
    X, y = load_diabetes(return_X_y=True)
    return _cut(X, y, 392, seed)


def simulated(
    truth: Callable[[Floats, np.random.Generator], Floats],
    n_features: int,
    n_train: int,
    *,
    levels: Sequence[int] = (0,),
    noise: float = 0.0,
) -> Callable[[int], Part]:
    """Return what simulates a table: uniform inputs, some on a grid of so many levels, and normal noise.

    Args:
        truth: Targets of inputs in the unit cube.
        n_features: Number of inputs.
        n_train: Number of training rows.
        levels: Levels of each input in turn; 0 for none.
        noise: Standard deviation of the noise, in standard deviations of the target.
    """

    def draw(seed: int) -> Part:
        rng = np.random.default_rng(2000 + seed)
        X = rng.random((n_train + _TEST_ROWS, n_features))
        for column in range(n_features):
            steps = levels[column % len(levels)] - 1
            if steps > 0:
                X[:, column] = np.round(X[:, column] * steps) / steps
        y = truth(X, rng)
        y = y + noise * y.std() * rng.standard_normal(len(y))
        return Part(X[:n_train], y[:n_train], X[n_train:], y[n_train:])

    return draw


def _cut(X: Floats, y: Floats, n_train: int, seed: int) -> Part:
    order = np.random.default_rng(1000 + seed).permutation(len(X))
    train, test = order[:n_train], order[n_train : n_train + _TEST_ROWS]
    return Part(X[train], y[train], X[test], y[test])


def _scaled(U: Floats, *bounds: tuple[float, float]) -> Floats:
    low, high = np.array(bounds).T
    return (low + (high - low) * U).T


def borehole(U: Floats, _: np.random.Generator) -> Floats:
    """Flow of water through a borehole (Harper and Gupta 1983)."""
    rw, r, tu, hu, tl, hl, length, kw = _scaled(
        U, (.05, .15), (100, 5e4), (63070, 115600), (990, 1110), (63.1, 116), (700, 820), (1120, 1680), (9855, 12045)
    )  # fmt: skip
    ratio = np.log(r / rw)
    flow: Floats = 2 * np.pi * tu * (hu - hl) / (ratio * (1 + 2 * length * tu / (ratio * rw**2 * kw) + tu / tl))
    return flow


def wing_weight(U: Floats, _: np.random.Generator) -> Floats:
    """Weight of an aircraft's wing (Forrester, Sobester and Keane 2008)."""
    s, wf, a, sweep, q, taper, tc, nz, wd, wp = _scaled(
        U, (150, 200), (220, 300), (6, 10), (-10, 10), (16, 45), (.5, 1), (.08, .18),
        (2.5, 6), (1700, 2500), (.025, .08),
    )  # fmt: skip
    cos = np.cos(np.deg2rad(sweep))
    weight: Floats = (
        0.036 * s**0.758 * wf**0.0035 * (a / cos**2) ** 0.6 * q**0.006 * taper**0.04
        * (100 * tc / cos) ** -0.3 * (nz * wd) ** 0.49 + s * wp
    )  # fmt: skip
    return weight


def friedman(U: Floats, _: np.random.Generator) -> Floats:
    """Five inputs matter and the others do not (Friedman 1991)."""
    target: Floats = 10 * np.sin(np.pi * U[:, 0] * U[:, 1]) + 20 * (U[:, 2] - 0.5) ** 2 + 10 * U[:, 3] + 5 * U[:, 4]
    return target


def steep(U: Floats, _: np.random.Generator) -> Floats:
    """An exponential of one input, modulated by others, with a step: like resistance over speed."""
    wave = 1 + 0.3 * np.sin(3 * U[:, 1]) + 0.2 * U[:, 2]
    target: Floats = np.exp(5 * U[:, 0]) * wave + (U[:, 3] > 0.5) * 20 * U[:, 0]
    return target


def designs(U: Floats, _: np.random.Generator) -> Floats:
    """Twelve designs in no order, with interactions: like a study of building shapes."""
    design = np.floor(U[:, 0] * 11.99)
    level = np.sin(design * 2.1) * 6 + design * 0.8
    target: Floats = level * (1 + 0.6 * (U[:, 1] > 0.5)) + 6 * U[:, 2] * (1 + design % 3)
    return target + 0.8 * np.cos(6 * U[:, 3]) * U[:, 2] + 0.03 * (np.round(U[:, 4] * 4) % 2) * level


def aerofoil(U: Floats, _: np.random.Generator) -> Floats:
    """A hump over the logarithm of a frequency, whose place and height other inputs move: like noise of a wing."""
    frequency = np.log(200 * 100 ** U[:, 0])
    angle, chord, speed = _scaled(U[:, 1:], (0, 22), (0, 1), (30, 70))[:3]
    peak = np.log(1200 * speed / 50 / np.sqrt(0.2 * 15**chord) / (1 + 0.08 * angle))
    beyond = frequency - peak
    level: Floats = 126 + 12 * np.log10(speed / 50) - 4 * beyond**2 / (1 + 0.3 * (beyond < 0))
    return level + 0.3 * angle * np.exp(-(beyond**2))


def two_branches(U: Floats, rng: np.random.Generator) -> Floats:
    """Two answers whose probabilities and spreads depend on the input."""
    upper = rng.random(len(U)) < 1 / (1 + np.exp(-6 * (U[:, 0] - 0.5)))
    middle = np.where(upper, 2 + np.sin(5 * U[:, 1]), -1 + 2 * U[:, 2] ** 2)
    target: Floats = middle + 0.15 * (1 + U[:, 3]) * rng.standard_normal(len(U))
    return target


def inverse_sinusoid(seed: int) -> Part:
    """Draw from the inverse problem of Bishop (1994)."""
    import manymodes as mm

    X, y = mm.datasets.make_inverse_sinusoid(1000 + _TEST_ROWS, random_state=seed)
    return Part(X[:1000], y[:1000], X[1000:], y[1000:])


_TEST_ROWS = 1000

TABLES: Mapping[str, Callable[[int], Part]] = {
    "california-600": shared("california-housing", 600),
    "bike-1000": shared("bike-sharing", 1000),
    "kin40k-1000": shared("kin40k", 1000),
    "sarcos-800": shared("sarcos", 800),
    "diabetes": diabetes,
    "friedman-300": simulated(friedman, 10, 300, noise=0.2),
    "borehole-300": simulated(borehole, 8, 300, levels=(0, 5, 0, 3), noise=0.005),
    "steep-250": simulated(steep, 6, 250, levels=(14, 6, 4), noise=0.01),
    "designs-700": simulated(designs, 8, 700, levels=(12, 2, 5, 4), noise=0.02),
    "branches-800": simulated(two_branches, 5, 800),
    "wing-600": simulated(wing_weight, 10, 600, levels=(0, 6), noise=0.01),
    "inverse-sinusoid": inverse_sinusoid,
    "designs-quiet": simulated(designs, 8, 700, levels=(12, 2, 5, 4), noise=0.002),
    "steep-quiet": simulated(steep, 6, 280, levels=(14, 6, 4), noise=0.001),
    "wing-quiet": simulated(wing_weight, 10, 600, levels=(0, 6)),
    "aerofoil-quiet": simulated(aerofoil, 4, 900, levels=(21, 9, 6, 4), noise=0.005),
}
