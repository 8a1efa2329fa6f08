r"""Maps of the PIT fitted by maximum likelihood: parametric, or smooth and monotone.

With u the PIT of held-out targets, a map with slope g changes their mean log score by the mean of :math:`\log g(u)`,
so the best map is the density of u. Three kinds of densities on [0, 1] race on folds of the rows: the uniform one,
which changes nothing; that of beta calibration, with three parameters; and splines that are linear between knots, which
are mixtures of hats fitted by expectation maximisation. Slopes are kept above a floor, by a share of the uniform
density, so that no density becomes zero.

References:
    Gneiting, Balabdaoui and Raftery (2007), Probabilistic forecasts, calibration and sharpness, J. R. Stat. Soc. B 69;
    Kull, Silva Filho and Flach (2017), Beta calibration, AISTATS, eq. 4; Ramsay (1988), Monotone regression splines in
    action, Statistical Science 3 (for hats as densities, M-splines of order 2); Breiman, Friedman, Olshen and Stone
    (1984), Classification and regression trees, section 3.4.3 (for the simplest within a standard error).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.distributions import PITMap
from manymodes.metrics.uniformity import uniformity_test

Array = NDArray[np.float64]
Fit = Callable[[Array], PITMap]

_N_FOLDS = 5
_N_INTERVALS = (4, 8, 16, 32)  # of splines
_STEPS = 300  # of expectation maximisation
_SMALLEST = 1e-12  # of u and 1 - u in the parametric fit
_LARGEST_SLOPE = 100.0
_Z = np.arange(-4.0, 4.01, 0.25)  # normal scores of the knots of parametric maps
_DOUBT = 0.05  # p-values of the test of uniformity below which a map need not gain much
_CLEAR = 2.0  # standard errors that it has to gain above
_FLOOR = 0.02  # of slopes while maps race


def floored(pit_map: PITMap, min_slope: float) -> PITMap:
    """Return the map mixed with the identity, such that no slope is below the least one."""
    if pit_map.changes_nothing:
        return pit_map
    return PITMap(pit_map.knots, (1 - min_slope) * pit_map.slopes + min_slope)


def best(u: Array) -> PITMap:
    """Return the simplest map that scores on folds as well as the best, but for a standard error.

    None, where it gains no more there than two standard errors, and nothing while a test says that levels are not
    uniform: maps that follow noise add modes to densities.
    """
    candidates: list[Fit] = [beta, *(partial(_spline_of, n) for n in _N_INTERVALS if n <= len(u) / 10)]
    gains = [_gains(candidate, u) for candidate in candidates]
    most = gains[int(np.argmax([gain.mean() for gain in gains]))]
    enough = [gain.mean() >= most.mean() - _standard_error(most - gain) for gain in gains]
    simplest = enough.index(True)
    is_off = uniformity_test(torch.from_numpy(u)).p_value < _DOUBT
    wanted = 0.0 if is_off else _CLEAR * _standard_error(gains[simplest])
    return candidates[simplest](u) if gains[simplest].mean() > wanted else PITMap.identity()


def spline(u: Array) -> PITMap:
    """Return the spline whose number of knots scores best on folds."""
    sizes = [n for n in _N_INTERVALS if n == _N_INTERVALS[0] or n <= len(u) / 10]
    return _spline_of(sizes[int(np.argmax([_gains(partial(_spline_of, n), u).mean() for n in sizes]))], u)


def _standard_error(values: Array) -> float:
    return float(values.std() / np.sqrt(len(values)))


def _gains(fit: Fit, u: Array) -> Array:
    """Return log-slopes at levels of rows that were left out of the fit, (N,)."""
    folds = np.arange(len(u)) % _N_FOLDS
    gains = np.empty(len(u))
    for fold in range(_N_FOLDS):
        pit_map = floored(fit(u[folds != fold]), _FLOOR)
        gains[folds == fold] = pit_map.slope(torch.from_numpy(u[folds == fold])).log().numpy()
    return gains


# --- a map of three parameters ---


def beta(u: Array) -> PITMap:
    r"""Return the map :math:`\mathrm{logit}\,G(u) = a \log u - b \log(1 - u) + c` of most likelihood."""
    from scipy.optimize import minimize

    low, high = np.log(u.clip(_SMALLEST)), np.log((1 - u).clip(_SMALLEST))

    def cost(values: Array) -> float:
        return -float(_log_slope(values, low, high).mean())

    found = minimize(cost, np.zeros(3), method="L-BFGS-B", bounds=[(-3.0, 3.0)] * 3)
    from scipy.special import log_ndtr

    slopes = np.exp(_log_slope(found.x, log_ndtr(_Z), log_ndtr(-_Z))).clip(1 / _LARGEST_SLOPE, _LARGEST_SLOPE)
    knots = np.concatenate([[0.0], np.exp(log_ndtr(_Z)), [1.0]])
    return PITMap(torch.from_numpy(knots), torch.from_numpy(np.concatenate([slopes[:1], slopes, slopes[-1:]])))


def _log_slope(values: Any, low: Array, high: Array) -> Array:
    """Return log g for log a, log b and c at levels with logarithms ``low``, and those of what is above, ``high``."""
    a, b = np.exp(values[:2])
    logit = a * low - b * high + values[2]
    inner: Array = np.logaddexp(values[0] - low, values[1] - high)
    slope: Array = inner - np.logaddexp(0, logit) - np.logaddexp(0, -logit)
    return slope


# --- splines ---


def _spline_of(n_intervals: int, u: Array) -> PITMap:
    """Return the spline with so many intervals of most likelihood, and as many rows' worth of uniform ones."""
    knots = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_intervals + 1) / n_intervals)  # denser at both ends
    knots[[0, -1]] = 0.0, 1.0
    gaps = np.diff(knots)
    area = 0.5 * (np.concatenate([[0.0], gaps]) + np.concatenate([gaps, [0.0]]))  # of every hat
    place = np.clip(np.searchsorted(knots, u, side="right") - 1, 0, n_intervals - 1)
    right = (u - knots[place]) / gaps[place]
    slopes, prior = np.ones(n_intervals + 1), n_intervals * area
    for _ in range(_STEPS):
        left_part, right_part = (1 - right) * slopes[place], right * slopes[place + 1]
        total = (left_part + right_part).clip(np.finfo(float).tiny)
        counts = np.bincount(place, left_part / total, n_intervals + 1)
        counts += np.bincount(place + 1, right_part / total, n_intervals + 1)
        new = (counts + prior) / (len(u) + n_intervals) / area
        settled = np.abs(new - slopes).max() < 1e-6
        slopes = new
        if settled:
            break
    return PITMap(torch.from_numpy(knots), torch.from_numpy(slopes))
