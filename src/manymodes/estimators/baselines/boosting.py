"""Gradient-boosted trees of scikit-learn, by quantiles of the target and by its histogram.

Both turn what the trees say into a mixture of normals whose widths, like the number of trees, are those under which
held-out rows are most likely; then the trees are fitted again to all rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import StandardisedBaseline, held_out_rows, mixture_of, most_likely

_FEWEST_TREES, _STAGES = 3, 12  # numbers of trees that are tried: from, and how many
_MAX_JUDGED = 2000  # rows that choose two numbers
_FEW_ROWS = 200_000  # up to which one thread is enough
_REACH = 2  # quantiles to each side over which their spacing is averaged
_QUANTILE_WIDTHS = np.geomspace(0.5, 8.0, 9).tolist()  # in spacings of the quantiles
_BIN_WIDTHS = np.geomspace(0.5, 8.0, 13).tolist()  # in standard deviations within the bin


class _Choice(NamedTuple):
    n_trees: int
    width: float


class Boosting(StandardisedBaseline):
    """Trees and normals around what they predict; abstract.

    Attributes:
        n_trees_: Number of boosting iterations that was chosen.
        width_: Width of the normals that was chosen.
    """

    learning_rate: float
    max_trees: int
    max_leaf_nodes: int
    validation_fraction: float

    def _learn_scaled(self, x: Tensor, y: Tensor) -> None:
        if y.shape[1] > 1:
            raise _checks.InputError(
                f"{type(self).__name__} takes one target, since its trees know nothing of how several go together; "
                f"got {y.shape[1]}."
            )
        max_trees = _checks.integer_at_least("max_trees", self.max_trees, 1)
        share, seed = _checks.number_between("validation_fraction", self.validation_fraction, 0.0, 1.0), self._seed()
        rows, held_out = held_out_rows(len(y), share, seed)
        held_out = held_out[:_MAX_JUDGED]
        with _threads(len(y)):
            self._grow(x[rows].numpy(), y[rows, 0].numpy(), max_trees, seed)
            self.n_trees_, self.width_ = most_likely(self._candidates(x[held_out].numpy(), max_trees), y[held_out])
            self._grow(x.numpy(), y[:, 0].numpy(), self.n_trees_, seed)

    def _density(self, x: Tensor) -> Mixture:
        with _threads(len(x)):
            return super()._density(x)

    def _tree_settings(self, n_trees: int, seed: int) -> dict[str, Any]:
        """Return the settings of scikit-learn's estimators."""
        return {
            "max_iter": n_trees,
            "learning_rate": _checks.positive("learning_rate", self.learning_rate),
            "max_leaf_nodes": _checks.integer_at_least("max_leaf_nodes", self.max_leaf_nodes, 2),
            "early_stopping": False,
            "random_state": seed,
        }

    @abstractmethod
    def _grow(self, x: Any, y: Any, n_trees: int, seed: int) -> None:
        """Fit the trees to features (N, F) and standardised targets (N,)."""

    @abstractmethod
    def _candidates(self, x: Any, n_trees: int) -> Iterator[tuple[_Choice, Mixture]]:
        """Yield predictions with fewer trees and several widths."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags


def _threads(n_rows: int) -> threadpool_limits:
    """Return a context in which few rows get one thread.

    Trees of few rows are grown in so small steps that threads only wait for each other: for minutes, where another
    process keeps a core busy.
    """
    return threadpool_limits(1 if n_rows <= _FEW_ROWS else None, user_api="openmp")


class QuantileBoosting(Boosting):
    r"""Quantile regression with boosted trees, one normal around each predicted quantile.

    The levels are :math:`(k - \tfrac12) / K`, so that each quantile stands for an equal share of the probability, also
    the lowest and the highest. Quantiles that cross are sorted. Normal k is centred at quantile k; its scale is a
    common width times the spacing of the quantiles around it (from k - 2 to k + 2), so that beyond the outermost
    quantiles the density falls like a normal as wide as they are apart. One percent of the normal of all training
    targets is mixed in.

    Args:
        n_levels: Number of quantiles, K.
        learning_rate: Share of each tree's step that is taken.
        max_trees: Most trees for each quantile; how many are kept is chosen on held-out rows.
        max_leaf_nodes: Most leaves of a tree.
        validation_fraction: Share of rows held out to choose the number of trees and the width.
        min_scale: Smallest scale of a component, as a share of the target's standard deviation.
        random_state: Seed of the held-out rows; None draws a fresh one.

    Attributes:
        n_trees_: Number of boosting iterations that was chosen.
        width_: Width that was chosen, in spacings of the quantiles.
        trees_: scikit-learn's fitted estimators, one per quantile, of standardised features and targets.

    References:
        Koenker and Bassett (1978), Regression quantiles.
        Friedman (2001), Greedy function approximation: a gradient boosting machine.
        Chernozhukov, Fernandez-Val and Galichon (2010), Quantile and probability curves without crossing (sorting).
    """

    def __init__(
        self,
        *,
        n_levels: int = 19,
        learning_rate: float = 0.1,
        max_trees: int = 150,
        max_leaf_nodes: int = 15,
        validation_fraction: float = 0.2,
        min_scale: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_levels = n_levels
        self.learning_rate = learning_rate
        self.max_trees = max_trees
        self.max_leaf_nodes = max_leaf_nodes
        self.validation_fraction = validation_fraction
        self.min_scale = min_scale
        self.random_state = random_state

    def _grow(self, x: Any, y: Any, n_trees: int, seed: int) -> None:
        n_levels = _checks.integer_at_least("n_levels", self.n_levels, 2)
        settings = self._tree_settings(n_trees, seed)
        self.trees_ = [
            HistGradientBoostingRegressor(loss="quantile", quantile=(k + 0.5) / n_levels, **settings).fit(x, y)
            for k in range(n_levels)
        ]

    def _candidates(self, x: Any, n_trees: int) -> Iterator[tuple[_Choice, Mixture]]:
        staged = [_at_stages(trees.staged_predict(x), n_trees) for trees in self.trees_]
        for stages in zip(*staged, strict=True):
            quantiles = torch.stack([quantile for _, quantile in stages], -1)
            for width in _QUANTILE_WIDTHS:
                yield _Choice(stages[0][0], width), self._around(quantiles, width)

    def _scaled_density(self, x: Tensor) -> Mixture:
        quantiles = torch.stack([torch.as_tensor(trees.predict(x.numpy())) for trees in self.trees_], -1)
        return self._around(quantiles, self.width_)

    def _around(self, quantiles: Tensor, width: float) -> Mixture:
        """Return the mixture for quantiles (N, K)."""
        quantiles = quantiles.sort(-1).values
        index, last = torch.arange(quantiles.shape[-1]), quantiles.shape[-1] - 1
        below, above = (index - _REACH).clamp_min(0), (index + _REACH).clamp_max(last)
        spacing = (quantiles[:, above] - quantiles[:, below]) / (above - below)
        scale = (width * spacing).clamp_min(self.min_scale_)
        return self._with_background(mixture_of(quantiles.unsqueeze(-1), scale.unsqueeze(-1)))


class HistogramBoosting(Boosting):
    """Classification of the target's bin with boosted trees, one normal for each bin.

    The bins are between quantiles of the training targets, about as many as a third of the root of their number, from 4
    to 40. Each normal has the mean of its bin's targets, and a common width times their standard deviation: it is the
    same beyond the extreme bins, which are as wide as the tails of the targets. One percent of the normal of all
    training targets is mixed in.

    Args:
        n_bins: Number of bins; None takes as many as the rows can bear. Repeated targets make fewer.
        learning_rate: Share of each tree's step that is taken.
        max_trees: Most trees for each bin; how many are kept is chosen on held-out rows.
        max_leaf_nodes: Most leaves of a tree.
        validation_fraction: Share of rows held out to choose the number of trees and the width.
        min_scale: Smallest scale of a component, as a share of the target's standard deviation.
        random_state: Seed of the held-out rows; None draws a fresh one.

    Attributes:
        n_trees_: Number of boosting iterations that was chosen.
        width_: Width that was chosen, in standard deviations within the bin.
        trees_: scikit-learn's fitted classifier of standardised features.
        bins_: Edges between the bins, and the mean and standard deviation of the standardised targets in each.

    References:
        Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation (why the log score of
        the bins is what to minimise).
        Friedman (2001), Greedy function approximation: a gradient boosting machine.
    """

    def __init__(
        self,
        *,
        n_bins: int | None = None,
        learning_rate: float = 0.1,
        max_trees: int = 150,
        max_leaf_nodes: int = 8,
        validation_fraction: float = 0.2,
        min_scale: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_bins = n_bins
        self.learning_rate = learning_rate
        self.max_trees = max_trees
        self.max_leaf_nodes = max_leaf_nodes
        self.validation_fraction = validation_fraction
        self.min_scale = min_scale
        self.random_state = random_state

    def _grow(self, x: Any, y: Any, n_trees: int, seed: int) -> None:
        n_bins = min(40, max(4, round(len(y) ** 0.5 / 3))) if self.n_bins is None else self.n_bins
        self.bins_ = Bins.of(torch.as_tensor(y), _checks.integer_at_least("n_bins", n_bins, 2))
        number = self.bins_.number(torch.as_tensor(y)).numpy()
        self.trees_ = HistGradientBoostingClassifier(**self._tree_settings(n_trees, seed)).fit(x, number)

    def _candidates(self, x: Any, n_trees: int) -> Iterator[tuple[_Choice, Mixture]]:
        for stage, probabilities in _at_stages(self.trees_.staged_predict_proba(x), n_trees):
            for width in _BIN_WIDTHS:
                yield _Choice(stage, width), self._in_bins(probabilities, width)

    def _scaled_density(self, x: Tensor) -> Mixture:
        return self._in_bins(torch.as_tensor(self.trees_.predict_proba(x.numpy())), self.width_)

    def _in_bins(self, probabilities: Tensor, width: float) -> Mixture:
        """Return the mixture for probabilities of the bins, (N, K)."""
        n_bins = len(self.bins_.mean)
        probabilities = probabilities[:, :n_bins]  # scikit-learn gives a single class a second column
        loc = self.bins_.mean[:, None].expand(len(probabilities), n_bins, 1)
        scale = (width * self.bins_.spread).clamp_min(self.min_scale_)[:, None]
        return self._with_background(mixture_of(loc, scale, probabilities))


class Bins(NamedTuple):
    """Bins of a target, none of them empty.

    Attributes:
        edges: The highest target of each bin but the last, (K - 1,).
        mean: Mean of the targets in each, (K,).
        spread: Their standard deviation, (K,).
    """

    edges: Tensor
    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, y: Tensor, n_bins: int) -> Self:
        """Return bins of about equally many targets, (N,); fewer where targets are repeated."""
        levels = np.arange(1, n_bins) / n_bins
        edges = torch.as_tensor(np.unique(np.quantile(y.numpy(), levels, method="lower")))
        edges = edges[edges < y.max()]
        number = torch.searchsorted(edges, y)
        parts = [y[number == k] for k in range(len(edges) + 1)]
        return cls(edges, *(torch.stack(values) for values in zip(*map(_moments, parts), strict=True)))

    def number(self, y: Tensor) -> Tensor:
        """Return the number of the bin of each target."""
        return torch.searchsorted(self.edges, y)


def _moments(part: Tensor) -> tuple[Tensor, Tensor]:
    return part.mean(), part.std(correction=0)


def _at_stages(staged: Iterator[Any], n_trees: int) -> Iterator[tuple[int, Tensor]]:
    """Yield a dozen of the predictions made after 1, 2, ... trees, with the number of trees."""
    wanted = set(np.geomspace(min(_FEWEST_TREES, n_trees), n_trees, _STAGES).round().astype(int).tolist())
    for n, prediction in enumerate(staged, start=1):
        if n in wanted or n == n_trees:
            yield n, torch.as_tensor(prediction)
