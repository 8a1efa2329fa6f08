"""The models that every study compares: a mixture density network, and what it has to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from manymodes.estimators import MDNRegressor
from manymodes.estimators.baselines import (
    DeepEnsemble,
    GaussianNetwork,
    IndependentTargets,
    LeastSquaresNetwork,
    NearestNeighbours,
    QuantileBoosting,
)
from manymodes.studies.frame.comparison import Model, Models
from manymodes.studies.frame.work import Work

MDN = "mixture density network"
LEAST_SQUARES = "least-squares network"
GAUSSIAN = "one Gaussian"
ENSEMBLE = "deep ensemble"
BOOSTING = "quantile boosting"
NEIGHBOURS = "nearest neighbours"

_LEVELS = {1: 19, 2: 7}  # of quantiles, by the number of targets; 3 where there are more

WHO = (
    f"Compared are a {MDN} of this package; a {LEAST_SQUARES}, which predicts a mean and has the same noise "
    f"everywhere; {GAUSSIAN}, a network that predicts a mean and a spread; a {ENSEMBLE} of five such networks; "
    f"{BOOSTING}, trees for many quantiles with normals around them; and {NEIGHBOURS}, a kernel density of the targets "
    "of similar rows. All networks have the same layers and are trained alike."
)


def standard(
    work: Work, target_dim: int = 1, *, regressor: Callable[..., MDNRegressor] = MDNRegressor, **settings: Any
) -> Models:
    """Return functions from a seed to a model, by name: the mixture density network first.

    Args:
        work: The study at work; a quick look takes small models.
        target_dim: Number of targets, D; several are given to the trees one by one, with fewer quantiles each, because
            the joint density multiplies their components.
        regressor: What makes the network of all that are networks, from settings and a ``random_state``.
        settings: Of ``MDNRegressor``, for all networks where they apply.
    """
    settings = {"preset": work.pick("default", "fast"), **settings}
    if work.quick:
        settings = {"max_epochs": 8, "n_members": 2, **settings}

    def network(seed: int, **own: Any) -> MDNRegressor:
        return regressor(**{**settings, **own}, random_state=seed)

    def trees(seed: int) -> Model:
        n_levels, max_trees = _LEVELS.get(target_dim, 3), work.pick(150, 30)
        if work.quick:
            n_levels = min(n_levels, 7)
        single = QuantileBoosting(n_levels=n_levels, max_trees=max_trees, random_state=seed)
        return single if target_dim == 1 else IndependentTargets(single)

    models: dict[str, Callable[[int], Model]] = {
        MDN: network,
        LEAST_SQUARES: lambda seed: LeastSquaresNetwork(network(seed), random_state=seed),
        GAUSSIAN: lambda seed: GaussianNetwork(network(seed), random_state=seed),
        ENSEMBLE: lambda seed: DeepEnsemble(network(seed), n_members=work.pick(5, 2), random_state=seed),
        BOOSTING: trees,
        NEIGHBOURS: lambda seed: NearestNeighbours(random_state=seed),
    }
    return models
