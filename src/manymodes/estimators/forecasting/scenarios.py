"""Paths as a few scenarios with probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.estimators.tables.numbers import Floats

_MOST = 6  # scenarios that are tried
_SEEN = 400  # paths that the choice of their number looks at
_AXES = 10  # principal components of paths that it looks at
_COMPARED = 19  # sets of paths without scenarios: what exceeds them all does so by chance once in 20 times
_SMALLEST = 0.05  # share of the paths that is a scenario


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Groups of similar paths, the most probable first.

    Attributes:
        paths: One path of each group that is nearest to all of it, its medoid, (J, H, D).
        probability: Share of the paths in each group, (J,).
        members: Number of the group of each path, (S,).
    """

    paths: Floats
    probability: Floats
    members: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.probability)

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:.2f}" for share in self.probability)
        return f"Scenarios({len(self)} of {len(self.members)} paths, probabilities {shares})"


def cluster_paths(paths: Any, n_scenarios: int | None = None, *, random_state: int = 0) -> Scenarios:
    """Return paths grouped into scenarios, each told by the path in its middle and its probability.

    Paths are compared by the sum of their squared differences over all steps, in units of the spread of each target.
    Their number is the one whose groups stand apart best, by the mean silhouette. It is one, however, unless groups
    stand apart more clearly than those of normal paths of the same mean and covariance, which have no groups.

    Args:
        paths: Paths, (S, H, D) or (S, H): of one series, say ``sample_paths(500)`` of one.
        n_scenarios: Number of scenarios; None finds it, from 1 to 6.
        random_state: Seed of the search.

    Raises:
        ValueError: Paths of another shape or with missing values; fewer paths than scenarios.

    References:
        Rousseeuw (1987), Silhouettes; Tibshirani, Walther and Hastie (2001), Estimating the number of clusters via the
        gap statistic: comparing with data that have none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> up = rng.choice([-1, 1], 200, p=[0.3, 0.7])
        >>> paths = up[:, None] * np.arange(1, 11) + rng.normal(size=(200, 10))
        >>> len(cluster_paths(paths))
        2
    """
    values = np.asarray(paths, dtype=np.float64)
    if values.ndim not in (2, 3) or not values.size:
        raise _checks.InputError(
            f"paths must have shape (S, H) or (S, H, D), those of one series; got {_checks.shape_text(values.shape)}."
        )
    if not np.isfinite(values).all():
        raise _checks.InputError("paths must be finite; got missing or infinite values.")
    seed = _checks.random_state(random_state)
    whole = values.reshape(len(values), values.shape[1], -1)
    spread = whole.std((0, 1))
    flat = (whole / np.where(spread > 0, spread, 1.0)).reshape(len(values), -1)
    if n_scenarios is None:
        n_scenarios = _number(flat, seed)
    n_scenarios = _checks.integer_at_least("n_scenarios", n_scenarios, 1, len(values))
    return _scenarios(whole, flat, _groups(flat, n_scenarios, seed))


def _scenarios(whole: Floats, flat: Floats, group: NDArray[np.intp]) -> Scenarios:
    count = np.bincount(group)
    order = np.argsort(-count, kind="stable")
    rank = np.argsort(order)
    medoids = [_medoid(flat, np.flatnonzero(group == number)) for number in order]
    return Scenarios(whole[medoids], count[order] / len(group), rank[group])


def _medoid(flat: Floats, own: NDArray[np.intp]) -> int:
    """Return the path that is nearest to all of its group: to their mean, as squared distances have it."""
    return int(own[((flat[own] - flat[own].mean(0)) ** 2).sum(1).argmin()])


def _groups(flat: Floats, n_groups: int, seed: int) -> NDArray[np.intp]:
    from sklearn.cluster import KMeans  # takes long to import

    if n_groups == 1:
        return np.zeros(len(flat), dtype=np.intp)
    found = KMeans(n_groups, n_init=4, random_state=seed).fit_predict(flat)
    return np.unique(found, return_inverse=True)[1]


def _number(flat: Floats, seed: int) -> int:
    """Return the number of groups that stand apart best, or 1 where none do more than chance has it."""
    rng = np.random.default_rng(seed)
    seen = flat if len(flat) <= _SEEN else flat[rng.choice(len(flat), _SEEN, replace=False)]
    centred = seen - seen.mean(0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    scores = (left * size)[:, :_AXES]
    best, n_groups = _apart(scores, seed)
    if n_groups == 1:
        return 1
    spread = scores.std(0)
    for _ in range(_COMPARED):
        if _apart(rng.standard_normal(scores.shape) * spread, seed)[0] >= best:
            return 1
    return n_groups


def _apart(scores: Floats, seed: int) -> tuple[float, int]:
    """Return the best mean silhouette of groups that are large enough, and their number; 1 where there are none."""
    from sklearn.metrics import silhouette_score

    best = (-1.0, 1)
    for n_groups in range(2, min(_MOST, len(scores) - 1) + 1):
        group = _groups(scores, n_groups, seed)
        if len(np.unique(group)) == n_groups and np.bincount(group).min() >= _SMALLEST * len(group):
            best = max(best, (float(silhouette_score(scores, group)), n_groups))
    return best
