r"""Sets that hold a new target with a guaranteed probability, whatever the model is worth.

Every held-out row gets a score s: how large its own set had to be to hold its target. With n of them, sets of the size

.. math:: \hat{s} = \text{the } \lceil (n + 1) \alpha \rceil\text{-th smallest score}

hold the target of a new row with probability at least :math:`\alpha`, if rows are exchangeable; where scores hardly
tie, with at most :math:`\alpha + 1 / (n + 1)`. The sets are central intervals, or the highest-density regions of the
prediction: unions of intervals where it has several modes.

Sizes are told by what the prediction holds outside, :math:`s = -\log(1 - \text{level})` in nats, which keeps its digits
however sure of itself the model is. Regions whose level cannot be told from 1 are those where the density exceeds
that of the border of the last one that can, less the nats that s is beyond.

The probability is over all rows. Within groups of rows that are named beforehand it is held in every group, and with
``adaptive=True`` within groups by the predicted spread, whose borders come from rows that are not used for scores.

References:
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world, section 4.5 (for groups); Izbicki,
    Shimizu and Stern (2022), CD-split and HPD-split, J. Mach. Learn. Res. 23, section 4; Chernozhukov, Wuthrich and
    Zhu (2021), Distributional conformal prediction, PNAS 118 (for central intervals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.calibration.held_out import held_out_targets, refuse_impossible
from manymodes.calibration.sets import KINDS, Kind
from manymodes.distributions import Prediction, Region
from manymodes.distributions.randomness import default_generator
from manymodes.metrics.groups import group_labels
from manymodes.metrics.spread import log_spread

Labels = NDArray[Any]

_SHARE_FOR_BORDERS = 0.25  # of the rows, which say where groups by spread begin
_MOST_GROUPS, _ROWS_PER_GROUP = 5, 40


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
        adaptive: Whether coverage is held within groups by predicted spread: 5 of them, fewer below some 270 rows, and
            one, as without, below some 110.
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
    sets = _checks.one_of("kind", kind, KINDS)
    y = held_out_targets("fit_conformal", distribution, y, "no conformal set", at_least=1)
    refuse_impossible(distribution, y)
    if groups is not None and adaptive:
        raise _checks.InputError("groups must be left out with adaptive=True, which makes its own; got both.")
    with torch.no_grad():
        borders, rows = _borders(distribution, level, generator) if adaptive else ((), torch.arange(len(y)))
        labels = _by_spread(distribution, borders) if adaptive else _labels(groups, len(y))
        scores = sets.score(distribution, y).double().cpu().numpy()
    thresholds = _thresholds(scores[rows], labels[rows], level)
    return ConformalSets(level, kind, thresholds, borders, groups is not None, y.shape[-1])


@final
@dataclass(frozen=True)
class ConformalSets:
    """Sets that hold a new target with a guaranteed probability, fitted by ``fit_conformal``.

    Attributes:
        level: The probability.
        kind: ``"region"`` or ``"central"``.
        thresholds: For every group, how large sets must be, in nats; one group where none were asked for.
        borders: Predicted spreads, see ``metrics.log_spread``, where groups by spread begin.
        grouped: Whether the groups are the user's.
        target_dim: Number of target dimensions of the predictions.
    """

    level: float
    kind: str
    thresholds: dict[Any, float]
    borders: tuple[float, ...] = ()
    grouped: bool = False
    target_dim: int = 1

    @property
    def levels(self) -> dict[Any, float]:
        """For every group, the level of the prediction's own sets that hold enough: higher where it is too sure."""
        return {label: -math.expm1(-threshold) for label, threshold in self.thresholds.items()}

    def predict(self, distribution: Prediction, *, groups: Any = None) -> Region:
        """Return the sets of new rows as unions of intervals, (N, J), with what the prediction says they hold.

        Ends are rounded outwards: a set may hold a little more than ``contains`` tells, never less.

        Args:
            distribution: Predictions, ``batch_shape`` (N,), of one target dimension.
            groups: Labels of the rows, (N,), where the fit had some.

        Raises:
            ValueError: Several target dimensions, for which ``contains`` tells what belongs to a set, or labels
                that the fit did not have.
        """
        self._check(distribution)
        if distribution.event_shape != (1,):
            raise _checks.InputError(
                f"distribution must have one target dimension to list intervals; got {distribution.event_shape[0]}. "
                "For several, see contains."
            )
        with torch.no_grad():
            return self._sets.region(distribution, self._of_rows(distribution, groups))

    def contains(self, distribution: Prediction, y: Tensor, *, groups: Any = None) -> Tensor:
        """Return which targets, (N, D), lie in the sets of their rows, (N,); for any number of dimensions.

        Args:
            distribution: Predictions, ``batch_shape`` (N,).
            y: Targets, (N, D).
            groups: Labels of the rows, (N,), where the fit had some.
        """
        self._check(distribution)
        with torch.no_grad():
            y = held_out_targets("contains", distribution, y, "no conformal set", at_least=0)
            score = self._sets.score(distribution, y).double()
            return score <= self._of_rows(distribution, groups).to(score.device)

    def to_dict(self) -> dict[str, Any]:
        """Return the sets as numbers, texts and lists, to be kept in a file of JSON."""
        groups = [[label, threshold] for label, threshold in self.thresholds.items()]
        return {
            "level": self.level, "kind": self.kind, "thresholds": groups, "borders": list(self.borders),
            "grouped": self.grouped, "target_dim": self.target_dim,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the sets that ``to_dict`` wrote."""
        _checks.written_by("to_dict", values, ("level", "kind", "thresholds", "borders", "grouped", "target_dim"))
        thresholds = dict(values["thresholds"])
        borders = tuple(values["borders"])
        return cls(values["level"], values["kind"], thresholds, borders, values["grouped"], values["target_dim"])

    @property
    def _sets(self) -> Kind:
        return KINDS[self.kind]

    def _check(self, distribution: Any) -> None:
        _checks.instance("distribution", distribution, Prediction, ", see predict_distribution")
        shape = (*distribution.batch_shape, *distribution.event_shape)
        _checks.matches_shape("targets of distribution", shape, ("N", self.target_dim), "as those of the fit had")

    def _of_rows(self, distribution: Prediction, groups: Any) -> Tensor:
        """Return the threshold of every row, (N,)."""
        if (groups is not None) != self.grouped:
            rule = "be given, since the fit had some" if self.grouped else "be left out, since the fit had none"
            raise _checks.InputError(f"groups must {rule}; got {'none' if groups is None else 'some'}.")
        n_rows = distribution.batch_shape.numel()
        labels = _by_spread(distribution, self.borders) if self.borders else _labels(groups, n_rows)
        names, number = np.unique(labels, return_inverse=True)
        unknown = [name for name in names.tolist() if name not in self.thresholds]
        if unknown:
            known = _checks.quoted(list(self.thresholds)[:10])
            raise _checks.InputError(f"groups must be among those of the fit, {known}; got {unknown[0]!r}.")
        values = np.array([self.thresholds[name] for name in names.tolist()], dtype=np.float64)
        return torch.from_numpy(values[number])


def _thresholds(scores: NDArray[np.float64], labels: Labels, level: float) -> dict[Any, float]:
    """Return for every group the score whose rank gives the level, or refuse too few of them."""
    names, number = np.unique(labels, return_inverse=True)
    order = np.lexsort((scores, number))
    runs = np.split(scores[order], np.cumsum(np.bincount(number))[:-1])
    found = {}
    for name, run in zip(names.tolist(), runs, strict=True):
        rank = math.ceil((len(run) + 1) * level - 1e-9)
        if rank > len(run):
            where = f" in every group, and group {name!r} has {len(run)}" if len(names) > 1 else f"; got {len(run)}"
            raise _checks.InputError(f"y must have at least {_needed(level)} rows for level={level:g}{where}.")
        found[name] = float(run[rank - 1])
    return found


def _needed(level: float) -> int:
    return math.ceil(level / (1 - level) - 1e-9)


# --- groups ---


def _labels(groups: Any, n_rows: int) -> Labels:
    if groups is None:
        return np.zeros(n_rows, dtype=np.int64)
    return group_labels("groups", groups, n_rows)


def _borders(
    distribution: Prediction, level: float, generator: torch.Generator | None
) -> tuple[tuple[float, ...], Tensor]:
    """Return spreads where groups begin, and the rows that are left for scores: all where there is one group."""
    n_rows = distribution.batch_shape.numel()
    generator = default_generator(generator, torch.device("cpu"))
    order = torch.randperm(n_rows, generator=generator, device=generator.device).cpu()
    for_borders, rest = order.split([int(_SHARE_FOR_BORDERS * n_rows), n_rows - int(_SHARE_FOR_BORDERS * n_rows)])
    spread = log_spread(distribution).double().cpu()
    fewest = max(_ROWS_PER_GROUP, 2 * _needed(level))
    n_groups = min(_MOST_GROUPS, len(rest) // fewest)
    wanted = np.quantile(spread[for_borders].numpy(), np.arange(1, n_groups) / n_groups) if n_groups > 1 else []
    borders: list[float] = []
    for border in sorted(set(map(float, wanted))):  # predictions may have few spreads
        within = int(((spread[rest] >= (borders[-1] if borders else -math.inf)) & (spread[rest] < border)).sum())
        if min(within, int((spread[rest] >= border).sum())) >= _needed(level):
            borders.append(border)
    return tuple(borders), rest.sort().values if borders else torch.arange(n_rows)


def _by_spread(distribution: Prediction, borders: Sequence[float]) -> Labels:
    spread = log_spread(distribution).double().cpu().numpy()
    labels: Labels = np.searchsorted(np.asarray(borders, dtype=np.float64), spread, side="right")
    return labels
