r"""Sets that hold a new target with a guaranteed probability, whatever the model is worth.

Every held-out row gets a score s: the smallest level at which its own set would have held its target. With n of them,
the set at the level

.. math:: \hat{s} = \text{the } \lceil (n + 1) \alpha \rceil\text{-th smallest score}

holds the target of a new row with probability at least :math:`\alpha`, if rows are exchangeable; where scores hardly
tie, with at most :math:`\alpha + 1 / (n + 1)`. The sets are central intervals, or the highest-density regions of the
prediction: unions of intervals where it has several modes.

The probability is over all rows. Within groups of rows that are named beforehand it is held in every group, and with
``adaptive=True`` within groups by the predicted spread, whose borders come from rows that are not used for scores.

References:
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world, section 4.5 (for groups); Izbicki,
    Shimizu and Stern (2022), CD-split and HPD-split, J. Mach. Learn. Res. 23, section 4; Chernozhukov, Wuthrich and
    Zhu (2021), Distributional conformal prediction, PNAS 118 (for central intervals).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Atoms, Prediction, Region

Labels = NDArray[Any]
Score = Callable[[Prediction, Tensor], Tensor]

_SHARE_FOR_BORDERS = 0.25  # of the rows, which say where groups by spread begin
_MOST_GROUPS = 5
_ROWS_PER_GROUP = 40
_WHOLE = 1 - 1e-12  # levels from here on stand for everything
_NUDGE = 1e-9  # of levels


def fit_conformal(
    distribution: Prediction,
    y: Tensor,
    level: float = 0.9,
    *,
    kind: str = "region",
    groups: Any = None,
    adaptive: bool = False,
    generator: torch.Generator | None = None,
) -> ConformalSets:
    """Return sets that hold a new target with probability ``level``, fitted on rows the model was not fitted to.

    Args:
        distribution: Predictions of the rows, ``batch_shape`` (N,).
        y: Their targets, (N, D).
        level: Probability that sets hold, in (0, 1).
        kind: ``"region"``, highest-density regions, or ``"central"``, intervals between quantiles; the latter for one
            target dimension.
        groups: Labels of the rows, (N,), numbers or text: coverage is held within every group.
        adaptive: Whether coverage is held within groups by predicted spread, as many as rows allow, 5 at most.
        generator: Source of randomness that chooses the rows for the groups' borders; None takes a fixed seed.

    Raises:
        ValueError: Too few rows for the level, in all or in a group; targets or labels that do not fit; both ``groups``
            and ``adaptive``; central intervals of several dimensions.
        TypeError: A distribution that is no prediction.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> y = torch.randn(999, 1, generator=torch.Generator().manual_seed(0))
        >>> components = DiagonalNormal(torch.zeros(999, 1, 1), torch.full((999, 1, 1), 0.5))
        >>> narrow = Mixture(Categorical(torch.ones(999, 1)), components)
        >>> sets = fit_conformal(narrow, y, 0.9)
        >>> sets.contains(narrow, y).double().mean()
        tensor(0.9009, dtype=torch.float64)
    """
    _checks.instance("distribution", distribution, Prediction)
    level = _checks.number_between("level", level, 0.0, 1.0)
    score = _checks.one_of("kind", kind, _SCORES)
    y = distribution.check_target(y)
    _checks.matches_shape("y", y.shape, (*distribution.batch_shape, *distribution.event_shape), "to match distribution")
    if groups is not None and adaptive:
        raise _checks.InputError("groups must be left out with adaptive=True, which makes its own; got both.")
    labels = _labels(groups, len(y))
    borders, rows = torch.empty(0, dtype=torch.float64), torch.arange(len(y))
    if adaptive:
        borders, rows = _borders(distribution, level, generator)
        labels = _by_spread(distribution, borders)
    scores = score(distribution, y).double().cpu().numpy()
    thresholds = {
        label: _threshold(scores[rows][labels[rows] == label], level, label if len(set(labels.tolist())) > 1 else None)
        for label in np.unique(labels).tolist()
    }
    return ConformalSets(level, kind, thresholds, tuple(borders.tolist()), groups is not None)


@final
@dataclass(frozen=True)
class ConformalSets:
    """Sets that hold a new target with a guaranteed probability, fitted by ``fit_conformal``.

    Attributes:
        level: The probability.
        kind: ``"region"`` or ``"central"``.
        thresholds: For every group, the level at which the prediction's own sets hold as much; one group where none
            were asked for. Above ``level`` where the model is too sure of itself.
        borders: Predicted spreads, relative to that of the median row, where groups by spread begin.
        grouped: Whether the groups are the user's.
    """

    level: float
    kind: str
    thresholds: dict[Any, float]
    borders: tuple[float, ...] = ()
    grouped: bool = False

    def predict(self, distribution: Prediction, *, groups: Any = None) -> Region:
        """Return the sets of new rows as unions of intervals, (N, J), with what the prediction says they hold.

        Args:
            distribution: Predictions, ``batch_shape`` (N,), of one target dimension.
            groups: Labels of the rows, (N,), where the fit had some.

        Raises:
            ValueError: Several target dimensions, for which ``contains`` tells what belongs to a set, or labels
                that the fit did not have.
        """
        if distribution.event_shape != (1,):
            raise _checks.InputError(
                f"distribution must have one target dimension to list intervals; got {distribution.event_shape[0]}. "
                "For several, see contains."
            )
        levels = self._levels(distribution, groups)
        whole = levels >= _WHOLE
        # What a set holds to the last digit, an integer say, rounding shall not take out.
        eps = torch.finfo(distribution.logits.dtype).eps
        levels = (levels + max(_NUDGE, 8 * eps)).to(distribution.logits).clamp_max(1 - eps)
        if self.kind == "central":
            region = _central(distribution, levels)
        else:
            region = distribution.highest_density_region(levels)
        return _with_everything(region, whole)

    def contains(self, distribution: Prediction, y: Tensor, *, groups: Any = None) -> Tensor:
        """Return which targets, (N, D), lie in the sets of their rows, (N,); for any number of dimensions.

        Args:
            distribution: Predictions, ``batch_shape`` (N,).
            y: Targets, (N, D).
            groups: Labels of the rows, (N,), where the fit had some.
        """
        score = _SCORES[self.kind](distribution, distribution.check_target(y)).double()
        return score <= self._levels(distribution, groups).to(score.device)

    def _levels(self, distribution: Prediction, groups: Any) -> Tensor:
        _checks.instance("distribution", distribution, Prediction)
        n_rows = distribution.batch_shape.numel()
        if (groups is not None) != self.grouped:
            rule = "be given, since the fit had some" if self.grouped else "be left out, since the fit had none"
            raise _checks.InputError(f"groups must {rule}; got {'none' if groups is None else 'some'}.")
        labels = _labels(groups, n_rows)
        if self.borders:
            labels = _by_spread(distribution, torch.tensor(self.borders, dtype=torch.float64))
        unknown = [label for label in np.unique(labels).tolist() if label not in self.thresholds]
        if unknown:
            known = _checks.quoted(list(self.thresholds)[:10])
            raise _checks.InputError(f"groups must be among those of the fit, {known}; got {unknown[0]!r}.")
        return torch.tensor([self.thresholds[label] for label in labels.tolist()], dtype=torch.float64)


# --- scores: the smallest level at which a set holds its target ---


def _central_score(distribution: Prediction, y: Tensor) -> Tensor:
    if distribution.event_shape != (1,):
        raise _checks.InputError(
            f"kind must be 'region' for several target dimensions; got 'central' for {distribution.event_shape[0]}."
        )
    below, above = distribution.cdf(y), distribution.exceedance(y)  # both count what lies on the target
    return (1 - 2 * torch.minimum(below, above)).clamp_min(0.0).squeeze(-1)


def _region_score(distribution: Prediction, y: Tensor) -> Tensor:
    return distribution.highest_density_rank(y)


_SCORES: dict[str, Score] = {"region": _region_score, "central": _central_score}


def _threshold(scores: NDArray[np.float64], level: float, label: Any) -> float:
    """Return the score whose rank gives the level, or refuse too few of them."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    if rank > len(scores):
        needed = math.ceil(level / (1 - level) - 1e-9)
        where = "" if label is None else f" in every group, and group {label!r} has {len(scores)}"
        got = f"; got {len(scores)}" if label is None else ""
        raise _checks.InputError(f"y must have at least {needed} rows for level={level:g}{where}{got}.")
    return float(np.partition(scores, rank - 1)[rank - 1])


# --- groups ---


def _labels(groups: Any, n_rows: int) -> Labels:
    if groups is None:
        return np.zeros(n_rows, dtype=np.int64)
    labels = np.asarray(groups.cpu() if isinstance(groups, Tensor) else groups)
    _checks.matches_shape("groups", labels.shape, (n_rows,), "to match the rows of distribution")
    return labels


def _borders(distribution: Prediction, level: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Return spreads where groups begin, and the rows, sorted, that are left for scores."""
    n_rows = distribution.batch_shape.numel()
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    order = torch.randperm(n_rows, generator=generator, device=generator.device).cpu()
    for_borders, rest = order[: int(_SHARE_FOR_BORDERS * n_rows)], order[int(_SHARE_FOR_BORDERS * n_rows) :]
    fewest = max(_ROWS_PER_GROUP, 2 * math.ceil(level / (1 - level)))
    n_groups = min(_MOST_GROUPS, max(len(rest) // fewest, 1))
    levels = torch.arange(1, n_groups, dtype=torch.float64) / n_groups
    return torch.quantile(_spread(distribution)[for_borders], levels) if n_groups > 1 else levels, rest.sort().values


def _by_spread(distribution: Prediction, borders: Tensor) -> Labels:
    labels: Labels = torch.searchsorted(borders, _spread(distribution), right=True).numpy()
    return labels


def _spread(distribution: Prediction) -> Tensor:
    """Return the length of the middle half of the prediction, summed in logarithms over dimensions, (N,)."""
    length = (distribution.icdf(0.75) - distribution.icdf(0.25)).double()
    return length.clamp_min(torch.finfo(torch.float64).tiny).log().sum(-1).cpu()


# --- sets ---


def _central(distribution: Prediction, levels: Tensor) -> Region:
    tail = 0.5 * (1 - levels).unsqueeze(-1)
    low, high = distribution.icdf(tail), distribution.isf(tail)
    none = low[..., :0]
    return Region(
        low, high, distribution.probability(low, high), torch.ones_like(low, dtype=torch.bool),
        torch.full_like(levels, torch.nan), Atoms(none, none, none.bool()),
    )  # fmt: skip


def _with_everything(region: Region, whole: Tensor) -> Region:
    """Return the region, which is the whole line in some rows."""
    if not bool(whole.any()):
        return region
    if not region.mask.shape[-1]:  # atoms only
        none = torch.full_like(region.log_level, torch.nan).unsqueeze(-1)
        region = replace(region, low=none, high=none, mass=torch.zeros_like(none), mask=torch.zeros_like(none).bool())
    first = torch.zeros_like(region.mask)
    first[..., 0] = True
    rows = whole.unsqueeze(-1)
    mask = torch.where(rows, first, region.mask)
    low = torch.where(rows, torch.where(first, -torch.inf, torch.nan), region.low)
    high = torch.where(rows, torch.where(first, torch.inf, torch.nan), region.high)
    mass = torch.where(rows, first.to(region.mass), region.mass)
    return replace(region, low=low, high=high, mass=mass, mask=mask)
