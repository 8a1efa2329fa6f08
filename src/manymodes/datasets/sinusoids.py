r"""Waves: one answer seen forward, several seen backward.

A number t is uniform, and x = f(t) with noise, where f rises, falls and rises again. From t, x has one answer; from x,
t has up to three (Bishop 1994, Mixture density networks, section 5), or more where f has more turns.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.datasets.curve import Curve
from manymodes.datasets.noisy_curve import Noise, conditional
from manymodes.datasets.truth import Simulated, Truth, simulated
from manymodes.distributions import Mixture

_SIDES = {"x": (True, False), "y": (False, True), "both": (True, True)}
_TUTORIAL = Curve(slope=0.5, amplitude=7.0, frequency=0.75, low=-10.5, high=10.5)


def make_inverse_sinusoid(
    n_rows: int = 1000,
    *,
    noise: float = 0.1,
    noise_family: Literal["uniform", "normal"] = "uniform",
    noise_on: Literal["x", "y", "both"] = "x",
    amplitude: float = 0.3,
    turns: int = 1,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    r"""Return simulated inputs X (N, 1) and targets y (N,) of the inverse problem, which has several answers.

    .. math:: x = f(t) + e, \qquad y = t + e', \qquad f(t) = t + a \sin(2 \pi n t), \qquad t \sim U(0, 1)

    where noise on one side only leaves out the other. With the default settings it is the problem of Bishop, with up to
    three answers; the true density's mean negative log-likelihood is -1.2824. Up to seven answers are there for
    ``amplitude=0.5, turns=3``.

    Args:
        n_rows: Number of rows, N.
        noise: Half the width of uniform noise, the standard deviation of normal noise.
        noise_family: What noise is like.
        noise_on: What is noisy: ``"x"``, the inputs, ``"y"``, the targets, or ``"both"``.
        amplitude: The amplitude a >= 0; f bends where 2 pi n a > 1.
        turns: The number n of turns; n turns make 2 n + 1 stretches that rise or fall.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Returns:
        X and y, and with ``return_density`` a ``Truth``: ``density(X)`` is the true distribution of y. Of uniform noise
        on x, its modes are the middles of the intervals where y can be.

    Raises:
        ValueError: No rows, noise that is not > 0, or settings that are none of those above.
    """
    return _waves(
        n_rows, _curve(amplitude, turns), _noises(noise, noise_family, noise_on), return_density, random_state
    )


def make_sinusoid(
    n_rows: int = 1000,
    *,
    noise: float = 0.1,
    noise_family: Literal["uniform", "normal"] = "uniform",
    noise_on: Literal["x", "y", "both"] = "y",
    amplitude: float = 0.3,
    turns: int = 1,
    return_density: bool = False,
    random_state: int | None = None,
) -> Simulated:
    """Return simulated inputs X (N, 1) and targets y (N,) of the forward problem, which has one answer.

    The rows are those of ``make_inverse_sinusoid`` of the same seed with inputs and targets exchanged: here x is t and
    y is f(t), either with noise.

    Args:
        n_rows: Number of rows, N.
        noise: Half the width of uniform noise, the standard deviation of normal noise.
        noise_family: What noise is like.
        noise_on: What is noisy: ``"x"``, the inputs, ``"y"``, the targets, or ``"both"``.
        amplitude: The amplitude of the waves, >= 0.
        turns: The number of turns.
        return_density: Whether the true conditional density is returned too. With noise on x alone it has poles, where
            f turns.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows, noise that is not > 0, or settings that are none of those above.
    """
    noises = _noises(noise, noise_family, noise_on)
    return _waves(n_rows, _curve(amplitude, turns), noises, return_density, random_state, forward=True)


def make_toy_inverse(n_rows: int = 1000, *, return_density: bool = False, random_state: int | None = None) -> Simulated:
    """Return simulated inputs X (N, 1) and targets y (N,) of the tutorials' inverse problem, with up to five answers.

    y ~ U(-10.5, 10.5) and x = 7 sin(0.75 y) + 0.5 y + N(0, 1).

    Args:
        n_rows: Number of rows, N.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows.

    References:
        Rothfuss, Ferreira, Walther and Ulrich (2019), Conditional density estimation with neural networks: best
        practices and benchmarks, arXiv 1903.00954 (their repository's toy data).
    """
    noises = (Noise("normal", 1.0), Noise("normal", 0.0))
    return _waves(n_rows, _TUTORIAL, noises, return_density, random_state)


def make_two_sinusoids(
    n_rows: int = 1000, *, noise: float = 0.01, return_density: bool = False, random_state: int | None = None
) -> Simulated:
    """Return simulated inputs X (N, 1) and targets y (N,) on two waves that cross: y = sin x or -sin x.

    x ~ U(0, 4 pi), both signs are as likely, and y has normal noise. The true density's mean negative log-likelihood
    is -2.498 for the default noise.

    Args:
        n_rows: Number of rows, N.
        noise: Standard deviation of the noise on y.
        return_density: Whether the true conditional density is returned too.
        random_state: Seed; None draws a fresh one.

    Raises:
        ValueError: No rows, or noise that is not > 0.
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    noise = _checks.positive("noise", noise)
    rng = np.random.default_rng(random_state)
    x = rng.uniform(0, 4 * np.pi, n_rows)
    y = rng.choice([-1, 1], n_rows) * np.sin(x) + noise * rng.standard_normal(n_rows)
    return simulated(x[:, None], y, Truth(1, partial(_either_sign, noise=noise)), return_density)


def _either_sign(x: Tensor, *, noise: float) -> Mixture:
    loc = torch.cat([-torch.sin(x), torch.sin(x)], -1)
    return Noise("normal", noise).around(loc, torch.zeros_like(loc))


def _curve(amplitude: float, turns: int) -> Curve:
    amplitude = _checks.number_between("amplitude", amplitude, 0.0, math.inf, including=(0.0,))
    turns = _checks.integer_at_least("turns", turns, 1)
    return Curve(slope=1.0, amplitude=amplitude, frequency=2 * np.pi * turns, low=0.0, high=1.0)


def _noises(size: float, family: str, side: str) -> tuple[Noise, Noise]:
    """Return the noise on inputs and that on targets."""
    size = _checks.positive("noise", size)
    family = _checks.one_of("noise_family", family, {"uniform": "uniform", "normal": "normal"})
    on_x, on_y = _checks.one_of("noise_on", side, _SIDES)
    return Noise(family, on_x * size), Noise(family, on_y * size)


def _waves(
    n_rows: int,
    curve: Curve,
    noises: tuple[Noise, Noise],
    return_density: bool,
    random_state: int | None,
    *,
    forward: bool = False,
) -> Simulated:
    """Return rows of the inverse, or the forward, problem of a curve."""
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    rng = np.random.default_rng(random_state)
    line = Curve(slope=1.0, amplitude=0.0, frequency=1.0, low=curve.low, high=curve.high)
    seen, wanted = (line, curve) if forward else (curve, line)
    on_t, on_curve = noises if forward else noises[::-1]
    t = rng.uniform(curve.low, curve.high, size=n_rows)
    x, y = curve(t) + on_curve.draw(n_rows, rng), t + on_t.draw(n_rows, rng)
    truth = Truth(1, partial(conditional, seen=seen, noise_seen=noises[0], wanted=wanted, noise_wanted=noises[1]))
    X, y = (y, x) if forward else (x, y)
    return simulated(X[:, None], y, truth, return_density)
