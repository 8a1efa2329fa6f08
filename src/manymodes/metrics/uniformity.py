r"""How far predictions are from calibrated, whether chance explains it, and which way they are off.

All starts from numbers u that are uniform on [0, 1] when predictions are calibrated: PIT values, or ranks by density.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.ranks import Kind, uniforms

_FEWEST = 5  # rows of the smooth test
_SIMULATIONS, _SIMULATED_ROWS = 2000, 1000  # of samples that are uniform
_CLEAR = 0.05
_LARGE, _OF_LARGEST = 2.0, 0.5  # coefficients that are put into words, in themselves and as a share of the largest
_UNNAMED = "of another shape"
_OFF: dict[str, tuple[tuple[str, str], ...]] = {  # what coefficients above and below 0 say, of every order
    "central": (
        ("too low", "too high"),
        ("too narrow", "too wide"),
        ("skewed too far down", "skewed too far up"),
        ("too light in the tails or too flat in the middle", "too heavy in the tails or too peaked in the middle"),
    ),
    "region": (
        ("too narrow", "too wide"),
        ("too light in the tails or too flat at the modes", "too heavy in the tails or too peaked at the modes"),
        (_UNNAMED, _UNNAMED),
        (_UNNAMED, _UNNAMED),
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class UniformityTest:
    """Neyman's smooth test of order 4, one for each column of what should be uniform.

    Attributes:
        statistic: Sums of the squared coefficients, (C,).
        p_value: Probability of so large a statistic when predictions are calibrated, (C,).
        coefficients: Coefficients on Legendre polynomials of order 1 to 4, (C, 4): of location, scale, skewness and
            tails; each has mean 0 and standard deviation 1 when predictions are calibrated.
        n_rows: Number of rows.
        kind: What was tested, ``"central"`` or ``"region"``.
    """

    statistic: Tensor
    p_value: Tensor
    coefficients: Tensor
    n_rows: int
    kind: Kind = "central"

    @property
    def verdicts(self) -> list[str]:
        """What is wrong in words, for each column; 5 % of calibrated predictions are called wrong, too."""
        return [
            verdict_of(*each, kind=self.kind)
            for each in zip(self.p_value.tolist(), self.coefficients.tolist(), strict=True)
        ]

    def __repr__(self) -> str:
        parts = [f"p={p:.3g}: {text}" for p, text in zip(self.p_value.tolist(), self.verdicts, strict=True)]
        return f"UniformityTest(n_rows={self.n_rows}; {'; '.join(parts)})"


def uniformity_test(u: Tensor, *, kind: Kind = "central") -> UniformityTest:
    r"""Return Neyman's smooth test of numbers that should be uniform: sensitive to location, scale and shape.

    .. math:: \sum_{j=1}^4 \Big(N^{-1/2} \sum_i \sqrt{2j + 1}\, P_j(2 u_i - 1)\Big)^2 \sim \chi^2_4

    with Legendre polynomials P. The chi-square law is a limit; simulated, 5 % of calibrated samples of any size from 5
    rows have p < 0.05, and 1 % (1.2 % of those of 20 rows) have p < 0.01. Values should come from different rows: what
    depends on each other, as in a time series, is less than the test takes it for.

    Args:
        u: Numbers from 0 to 1, (N,) or (N, C), say from ``pit`` or ``hpd_rank``; columns are tested one by one.
        kind: What u is, which decides the words: ``"central"`` for PIT values, ``"region"`` for ranks by density.

    Raises:
        ValueError: Fewer than 5 rows, or numbers that are not from 0 to 1.

    References:
        Neyman (1937), "Smooth test" for goodness of fit, Skandinavisk Aktuarietidskrift 20; Rayner, Thas and Best
        (2009), Smooth Tests of Goodness of Fit, 2nd edition, section 4.2.

    Example:
        >>> uniformity_test(torch.linspace(0.2, 0.8, 100))
        UniformityTest(n_rows=100; p=2.15e-10: predictions are too wide)
    """
    _checks.instance("u", u, Tensor)
    _checks.one_of("kind", kind, _OFF)
    if u.dim() not in (1, 2):
        raise _checks.InputError(f"u must have shape (N,) or (N, C); got {_checks.shape_text(u.shape)}.")
    values = u.detach().double().cpu().reshape(len(u), -1)
    _checks.rows_at_least(len(values), _FEWEST, "a test of uniformity")
    if not bool(((values >= 0) & (values <= 1)).all()):
        worst = values[~((values >= 0) & (values <= 1))][0]
        raise _checks.InputError(f"u must hold numbers from 0 to 1; got {worst:g}.")
    coefficients = _legendre(2 * values - 1).sum(0) / len(values) ** 0.5
    statistic = coefficients.square().sum(-1)
    # A chi-square of 4 degrees of freedom exceeds s with probability exp(-s/2) (1 + s/2).
    p_value = (-0.5 * statistic).exp() * (1 + 0.5 * statistic)
    return UniformityTest(statistic, p_value, coefficients, len(values), kind)


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationError:
    """How far predictions are from calibrated, beside what chance alone would make of calibrated ones.

    Attributes:
        error: Mean distance of the distribution function from the diagonal, averaged over columns, from 0 to 0.5.
        per_dimension: The same for each column, (C,).
        noise_floor: What calibrated predictions are expected to have with so many rows.
        p_value: Probability of so large an error, in the worst column, when predictions are calibrated; it allows for
            the number of columns. Simulated: it is not below 1 / 2001.
        n_rows: Number of rows.
    """

    error: float
    per_dimension: Tensor
    noise_floor: float
    p_value: float
    n_rows: int

    def __repr__(self) -> str:
        return (
            f"CalibrationError({self.error:.4f}, noise_floor={self.noise_floor:.4f}, p_value={self.p_value:.3g}, "
            f"n_rows={self.n_rows})"
        )


def calibration_error(
    distribution: Prediction,
    y: Tensor,
    *,
    kind: Kind = "central",
    n_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> CalibrationError:
    r"""Mean absolute distance between the distribution function of the PIT and the diagonal.

    .. math:: \int_0^1 |\hat F(t) - t| \, dt

    which is the mean error of predicted probabilities. Exact, without bins; zero in the limit for calibrated
    predictions, but about 0.313 / sqrt(N) from N rows: the noise floor, below which nothing can be told.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        n_samples: Samples of each prediction that ranks by density in several dimensions are taken among.
        generator: Source of randomness at counts and atoms, and of ranks by density; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, or no rows.

    References:
        Kuleshov, Fenner and Ermon (2018), Accurate uncertainties for deep learning using calibrated regression, ICML,
        eq. 9, has squares in place of distances; the law of the noise: Johnson and Killeen (1983), An explicit formula
        for the c.d.f. of the L1 norm of the Brownian bridge, Annals of Probability 11.
    """
    u = uniforms(distribution, y, kind, generator, n_samples)
    _checks.rows_at_least(len(u), 1, "a calibration error")
    errors = torch.from_numpy(distance_from_uniform(u.T.numpy()))
    simulated = simulated_errors(len(u))
    worst = float(errors.max())
    p_value = (1 + int((simulated >= worst).sum())) / (1 + len(simulated))
    p_value = min(1.0, len(errors) * p_value)
    return CalibrationError(float(errors.mean()), errors, expected_error(len(u)), p_value, len(u))


def distance_from_uniform(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area between the distribution function of values (..., N) and the diagonal."""
    n = u.shape[-1]
    ends = np.zeros((*u.shape[:-1], n + 2))
    ends[..., 1:-1], ends[..., -1] = np.sort(u, axis=-1), 1.0
    height = np.arange(n + 1) / n
    right, left = ends[..., 1:] - height, ends[..., :-1] - height
    area: NDArray[np.float64] = 0.5 * (right * np.abs(right) - left * np.abs(left)).sum(-1)
    return area


def expected_error(n_rows: int) -> float:
    """Return the calibration error that calibrated predictions are expected to have."""
    return float(simulated_errors(n_rows).mean())


@lru_cache(maxsize=64)
def simulated_errors(n_rows: int) -> NDArray[np.float64]:
    """Return errors of calibrated predictions; of very many rows, those of fewer, as much smaller as rows are more."""
    simulated = min(n_rows, _SIMULATED_ROWS)
    generator, errors = np.random.default_rng(0), []
    for _ in range(10):
        errors.append(distance_from_uniform(generator.random((_SIMULATIONS // 10, simulated))))
    found: NDArray[np.float64] = np.concatenate(errors) * (simulated / n_rows) ** 0.5
    return found


def _legendre(x: Tensor) -> Tensor:
    """Return normalised Legendre polynomials of order 1 to 4 on [-1, 1], (..., 4)."""
    return torch.from_numpy(legvander(x.numpy(), 4)[..., 1:] * (2 * np.arange(1, 5) + 1) ** 0.5)


def verdict_of(p_value: float, coefficients: Sequence[float], kind: Kind) -> str:
    """Return a sentence without its full stop."""
    if p_value >= _CLEAR:
        return "no sign of miscalibration"
    found = [(abs(value), pair[value < 0]) for value, pair in zip(coefficients, _OFF[kind], strict=True)]
    found.sort(reverse=True)
    words = dict.fromkeys(text for size, text in found[:2] if size > max(_LARGE, _OF_LARGEST * found[0][0]))
    if len(words) > 1:
        words.pop(_UNNAMED, None)
    return f"predictions are {' and '.join(words)}" if words else "predictions are off a little in every way"
