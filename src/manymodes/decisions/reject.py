r"""The reject option: answer where the model is sure, and leave the other rows to a person.

``reject`` leaves out a share of the rows at hand. ``fit_rejector`` chooses the limit of what is too uncertain on rows
held out, for a wanted coverage or a wanted error of what is answered, so that single rows can be decided as they come.
``metrics.risk_coverage`` draws the whole curve of error over coverage.

References:
    Chow (1970), On optimum recognition error and reject tradeoff, IEEE Trans. Inf. Theory 16(1); Geifman and El-Yaniv
    (2017), Selective classification for deep neural networks, NeurIPS, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.risk import numbers_of_rows

Uncertainty = Callable[[Prediction], Tensor]

_LEAST_ROWS = 20  # held out, that are answered: fewer tell little about an error


def predicted_spread(distribution: Prediction) -> Tensor:
    """Return the standard deviation of one target, (N,): what is uncertain if nothing else is said."""
    if distribution.event_shape[0] > 1:
        raise _checks.InputError(
            f"by must say what makes a row of {distribution.event_shape[0]} targets uncertain, say by=lambda d: "
            "entropy(d).value; got None."
        )
    return distribution.stddev.squeeze(-1)


def reject(predictions: Prediction | Tensor, share: float, *, by: Uncertainty | None = None) -> Tensor:
    """Return which rows to leave to a person, (N,): the most uncertain share of those at hand, rounded to whole rows.

    Args:
        predictions: Predictions with ``batch_shape`` (N,), or numbers that say how uncertain rows are, (N,).
        share: Share of rows to leave, in [0, 1].
        by: Function of predictions that returns how uncertain they are, (N,); None takes the standard deviation.

    Raises:
        ValueError: A share outside [0, 1], several targets without ``by``, or an uncertainty that is NaN.

    Example:
        >>> reject(torch.tensor([0.1, 0.9, 0.2, 0.3]), 0.5)
        tensor([False,  True, False,  True])
    """
    share = _checks.number_between("share", share, 0.0, 1.0, including=(0.0, 1.0))
    uncertainty = _uncertainty(predictions, by)
    rejected = torch.zeros_like(uncertainty, dtype=torch.bool)
    worst = uncertainty.argsort(descending=True, stable=True)[: round(share * len(uncertainty))]
    rejected[worst] = True
    return rejected


@dataclass(frozen=True, eq=False, repr=False)
class Rejector:
    """A limit of what is too uncertain to answer.

    Attributes:
        threshold: Rows above it are left to a person.
        coverage: Share of the held-out rows that are answered.
        error: Their mean error; NaN where errors were not given.
        standard_error: Its standard error.
        by: What makes predictions uncertain; None for the standard deviation.
    """

    threshold: float
    coverage: float
    error: float
    standard_error: float
    by: Uncertainty | None = None

    def rejects(self, predictions: Prediction | Tensor) -> Tensor:
        """Return which rows to leave to a person, (N,), of predictions or of numbers for their uncertainty."""
        return _uncertainty(predictions, self.by) > self.threshold

    def __repr__(self) -> str:
        return (
            f"Rejector(threshold={self.threshold:.4g}, coverage={self.coverage:.1%}, "
            f"error={self.error:.4g} ± {self.standard_error:.2g})"
        )


def fit_rejector(
    predictions: Prediction | Tensor,
    error: Tensor | None = None,
    *,
    coverage: float | None = None,
    max_error: float | None = None,
    confidence: float = 0.9,
    by: Uncertainty | None = None,
) -> Rejector:
    r"""Return the limit of uncertainty for a wanted coverage, or for a wanted error of what is answered.

    For an error it is the largest coverage at which

    .. math:: \bar e + t_{n - 1, c}\, s / \sqrt n \le e_{\max}

    for the mean and the standard deviation of the n errors answered, with Student's quantile t at the confidence c. The
    bound holds for a coverage named beforehand; that the best of all is taken makes it a little too favourable.

    Args:
        predictions: Predictions of rows that the model was not fitted to, ``batch_shape`` (N,), or numbers that say how
            uncertain they are, (N,).
        error: Their errors, (N,): absolute or squared ones, or scores. (Signed ones would cancel.)
        coverage: Share of rows to answer, in (0, 1].
        max_error: Largest mean error of the rows answered.
        confidence: Probability in [0.5, 1) with which new rows shall keep to ``max_error``.
        by: Function of predictions that returns how uncertain they are, (N,); None takes the standard deviation.

    Raises:
        ValueError: Not one of ``coverage`` and ``max_error``; numbers out of range; fewer than 20 rows; an error
            that no coverage keeps to.

    Example:
        >>> uncertainty = torch.linspace(0, 1, 101)
        >>> fit_rejector(uncertainty, uncertainty, max_error=0.25)
        Rejector(threshold=0.44, coverage=44.6%, error=0.22 ± 0.02)
    """
    if (coverage is None) == (max_error is None):
        got = "neither" if coverage is None else "both"
        raise _checks.InputError(f"fit_rejector needs one of coverage and max_error; got {got}.")
    uncertainty = _uncertainty(predictions, by).double().cpu()
    n_rows = len(uncertainty)
    if n_rows < _LEAST_ROWS:
        raise _checks.InputError(f"predictions must hold at least {_LEAST_ROWS} rows to fit a rejector; got {n_rows}.")
    ordered, order = uncertainty.sort(stable=True)
    mean, deviation = _running(_errors(error, n_rows, needed=max_error is not None)[order])
    number = torch.arange(1, n_rows + 1, dtype=torch.float64)
    standard_error = deviation / number.sqrt()
    if coverage is not None:
        share = _checks.number_between("coverage", coverage, 0.0, 1.0, including=(1.0,))
        kept = max(math.ceil(share * n_rows - 1e-9), 1)
    else:
        confidence = _checks.number_between("confidence", confidence, 0.5, 1.0, including=(0.5,))
        limit = _checks.number_between("max_error", max_error, -math.inf, math.inf)
        kept = _most_kept(ordered, mean + _student(confidence, number) * standard_error, limit)
    last = int((ordered <= ordered[kept - 1]).sum())  # rows that are as uncertain are answered, too
    return Rejector(
        threshold=float(ordered[last - 1]),
        coverage=last / n_rows,
        error=float(mean[last - 1]),
        standard_error=float(standard_error[last - 1]),
        by=by,
    )


def _most_kept(ordered: Tensor, bound: Tensor, limit: float) -> int:
    """Return the largest number of rows whose bound keeps to the limit; rows that are as uncertain go together."""
    closes = torch.ones_like(ordered, dtype=torch.bool)
    closes[:-1] = ordered[1:] > ordered[:-1]
    closes[: _LEAST_ROWS - 1] = False
    good = (closes & (bound <= limit)).nonzero().flatten()
    if not len(good):
        best = float(torch.where(closes, bound, torch.inf).min())
        raise _checks.InputError(
            f"max_error must be at least {best:.4g}, the least that these rows vouch for at this confidence; "
            f"got {limit:.4g}."
        )
    return int(good[-1]) + 1


def _running(errors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of the first 1, 2, ... errors; that of one is infinite."""
    number = torch.arange(1, len(errors) + 1, dtype=errors.dtype)
    shifted = errors - errors.mean()  # keeps the digits of squares
    mean, squares = shifted.cumsum(0) / number, shifted.square().cumsum(0)
    spread = ((squares - number * mean.square()).clamp_min(0.0) / (number - 1)).sqrt()
    spread[0] = torch.inf
    return mean + errors.mean(), spread


def _student(confidence: float, number: Tensor) -> Tensor:
    from scipy import special

    return torch.from_numpy(special.stdtrit((number - 1).clamp_min(1).numpy(), confidence))


def _uncertainty(predictions: Any, by: Uncertainty | None) -> Tensor:
    """Return how uncertain rows are, (N,), or refuse what does not say so."""
    value: Any = predictions
    name, n_rows = "predictions", None
    if isinstance(predictions, Prediction):
        if not (by is None or callable(by)):
            raise TypeError(f"by must be a function of predictions; got {by!r}.")
        with torch.no_grad():
            value = (by or predicted_spread)(predictions)
        name, n_rows = "what by returns", predictions.batch_shape[0]
    if not isinstance(value, Tensor):
        wanted = (
            "a Prediction or a Tensor of uncertainties" if n_rows is None else "a Tensor, say .value of an Estimate"
        )
        raise TypeError(f"{name} must be {wanted}; got {type(value).__name__}.")
    _checks.matches_shape(name, value.shape, ("N" if n_rows is None else n_rows,), "with one number for each row")
    if bool(value.isnan().any()):
        row = int(value.isnan().nonzero()[0, 0])
        raise _checks.InputError(f"{name} must not hold NaN; got one in {_checks.row(row)}.")
    return value


def _errors(error: Any, n_rows: int, *, needed: bool) -> Tensor:
    if error is None:
        if needed:
            raise _checks.InputError("error must be given for max_error; got None.")
        return torch.full((n_rows,), torch.nan, dtype=torch.float64)
    errors = torch.from_numpy(numbers_of_rows("error", error))
    _checks.same_rows("predictions", n_rows, "error", len(errors))
    return errors
