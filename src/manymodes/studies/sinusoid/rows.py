"""The rows of the sinusoid study: one curve under several kinds of noise, and the answers that are right."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.datasets import make_inverse_sinusoid, make_sinusoid
from manymodes.datasets.truth import Truth
from manymodes.distributions import DiagonalNormal
from manymodes.metrics.modes import MIN_MASS
from manymodes.studies.frame.comparison import Comparison, Model, Part
from manymodes.studies.frame.kept import as_arrays
from manymodes.studies.frame.result import Measured
from manymodes.studies.frame.work import Record, Work

Floats = NDArray[np.float64]

Side = Literal["x", "y", "both"]
SIDES: tuple[Side, ...] = ("x", "y", "both")
TOLERANCE = 0.1  # of a mode from an answer


class Wave(NamedTuple):
    """A curve x = t + a sin(2 pi n t) and its noise.

    Attributes:
        noise: Half the width of uniform noise, the standard deviation of normal noise.
        family: What noise is like.
        side: What is noisy in the inverse problem: ``"x"``, ``"y"``, which is t, or ``"both"``.
        turns: The number n of turns.
        amplitude: The amplitude a.
    """

    noise: float = 0.1
    family: Literal["uniform", "normal"] = "uniform"
    side: Side = "x"
    turns: int = 1
    amplitude: float = 0.3

    @property
    def spread(self) -> float:
        """Standard deviation of the noise."""
        return self.noise / math.sqrt(3) if self.family == "uniform" else self.noise

    @property
    def label(self) -> str:
        """What the noise is, in words."""
        size = f"± {self.noise:g}" if self.family == "uniform" else f"of {self.noise:g}"
        return f"{self.family} {size} on {'t' if self.side == 'y' else 'x' if self.side == 'x' else 'both'}"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of ``datasets.make_inverse_sinusoid``."""
        shape = {"turns": self.turns, "amplitude": self.amplitude}
        return {"noise": self.noise, "noise_family": self.family, "noise_on": self.side, **shape}


BISHOP = Wave()
CLEAN = Wave(noise=0.02)
NOISY = Wave(noise=0.1, family="normal", side="both")
HARD = Wave(noise=0.05, turns=2, amplitude=0.5)


def n_rows(work: Work) -> int:
    """Return how many rows teach where nothing else is said."""
    return work.pick(1000, 100)


def inverse(work: Work, wave: Wave, seed: int, count: int | None = None) -> Part:
    """Return rows from x to t, with the exact density; answers are those of the rows whose modes are counted.

    Args:
        work: The study at work.
        wave: The curve and its noise.
        seed: Seed of the rows.
        count: How many rows teach; None for the usual number.
    """
    X, y, density = make_inverse_sinusoid(
        count or n_rows(work), **wave.settings, return_density=True, random_state=seed
    )
    X_test, y_test = make_inverse_sinusoid(_n_judging(work), **wave.settings, random_state=seed + 10_000)
    return Part(X, y, X_test, y_test, answers(wave, X_test[: mode_rows(work)]), density)


def forward(work: Work, wave: Wave, seed: int) -> Part:
    """Return the same rows from t to x, where noise that was on x is still on x."""
    sides: dict[str, Any] = {"x": "y", "y": "x", "both": "both"}
    settings = {**wave.settings, "noise_on": sides[wave.side]}
    X, y, density = make_sinusoid(n_rows(work), **settings, return_density=True, random_state=seed)
    X_test, y_test = make_sinusoid(_n_judging(work), **settings, random_state=seed + 10_000)
    return Part(X, y, X_test, y_test, density=density)


def mode_rows(work: Work) -> int:
    """Return of how many rows modes are counted."""
    return work.pick(200, 20)


def answers(wave: Wave, X: Floats) -> Floats:
    """Return the values of t where the curve comes nearest to x, (N, A, 1), filled up with NaN.

    They are the modes of the exact density if the noise, of the same spread, were normal and on x alone: that of
    uniform noise is flat, and its plateaus, where they join, have a middle that means nothing.
    """
    modes = _exact(wave._replace(noise=wave.spread, family="normal", side="x"))(X).modes()
    heavy = modes.mask & (modes.mass >= MIN_MASS)
    return torch.where(heavy.unsqueeze(-1), modes.location, torch.nan).numpy()


def curve(wave: Wave) -> tuple[Floats, Floats]:
    """Return x and t along the curve."""
    t = np.linspace(0.0, 1.0, 401)
    return t + wave.amplitude * np.sin(2 * np.pi * wave.turns * t), t


def shown(work: Work, model: Model, part: Part) -> Record:
    """Return what a fitted model predicts along x, to keep; of a model that is no mixture of normals, only where."""
    x = np.linspace(part.X_test.min(), part.X_test.max(), work.pick(201, 51))
    density = model.predict_distribution(x[:, None])
    return {"x": x, **(as_arrays(density) if isinstance(density.components, DiagonalNormal) else {})}


def exact_score(compared: Comparison, key: str) -> Measured:
    """Return the log-likelihood of the exact density, on the rows that judged a model."""
    return Measured.over(record["log_score"] + record["regret"] for record in compared.records[key])


def _exact(wave: Wave) -> Truth:
    density: Truth = make_inverse_sinusoid(1, **wave.settings, return_density=True)[2]
    return density


def _n_judging(work: Work) -> int:
    return work.pick(4000, 200)
