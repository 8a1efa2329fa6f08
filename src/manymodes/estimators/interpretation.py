"""Which features move the density of a fitted model, and how: importance, dependence, components, single rows.

All ask the model for densities only, as any user could, with some cells of a table replaced; tables of every kind go
in, and what is found comes back as a tidy table of that kind. Replacing one feature while the others stay makes rows
that may never occur where features depend on each other; what the model says there is what it learned elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import Incomplete, Mixture, joined, pool
from manymodes.estimators.predictions import as_seed, default_names
from manymodes.estimators.tables import frames
from manymodes.estimators.targets.known import read_targets
from manymodes.training.randomness import seeded

_AT_ONCE = 2**22  # numbers in memory while densities are averaged
_LEVELS = {"q0.05": 0.05, "q0.5": 0.5, "q0.95": 0.95}

Feature = int | str  # a place or a name
Seed = int | np.random.RandomState | None


def permutation_importance(
    model: BaseEstimator,
    X: Any,
    y: Any,
    *,
    n_repeats: int = 5,
    n_rows: int = 2000,
    features: Iterable[Feature] | None = None,
    random_state: Seed = 0,
) -> Any:
    r"""Mean increase of the log score of each feature, in nats, when its values are permuted among the rows.

    .. math:: I_f = \frac1{NR} \sum_{i,r} d_{ir}, \qquad
        d_{ir} = \log p(y_i \mid x_i) - \log p(y_i \mid x_i \text{ with } x_{f} \text{ of row } \pi_r(i))

    A row has a part in it twice, as the one whose feature is lost and as the one whose value is borrowed. With c_i the
    sum of its two averages over repeats, the standard error is sd(c) / sqrt(N), as of a U-statistic of two rows. It
    tells how far other rows would differ, the fitted model being what it is.

    Args:
        model: A fitted regressor that predicts distributions.
        X: Features, (N, F), best of rows that the model was not fitted to.
        y: Their targets, (N,) or (N, D).
        n_repeats: Permutations, R; the same ones for every feature.
        n_rows: Most rows that are used, drawn without replacement.
        features: Names or places of the features; None for all.
        random_state: Seed of the rows and permutations.

    Returns:
        A table with columns feature, importance and standard_error, one line per feature, the largest first.

    References:
        Breiman (2001), Random forests, Machine Learning 45, section 10.
        Fisher, Rudin and Dominici (2019), All models are wrong, but many are useful, JMLR 20(177), section 3.
        Hoeffding (1948), A class of statistics with asymptotically normal distribution, Ann. Math. Statist. 19.
    """
    check_is_fitted(model)
    _checks.integer_at_least("n_repeats", n_repeats, 1)
    _checks.integer_at_least("n_rows", n_rows, 2)
    places, targets = _places(model, X, features), _targets(model, X, y)
    _checks.integer_at_least("the number of rows of X", len(targets), 2)
    generator = np.random.default_rng(as_seed(random_state))
    rows = frames.some_rows(X, n_rows, generator)
    table, y_rows = frames.take_rows(X, rows), targets[rows]
    orders = [generator.permutation(len(rows)) for _ in range(n_repeats)]
    known = model.predict_distribution(table).log_prob(y_rows).numpy()
    importance, error = np.empty(len(places)), np.empty(len(places))
    for f, place in enumerate(places.values()):
        part = np.zeros(len(rows))
        for order in orders:
            permuted = model.predict_distribution(frames.with_rows_of_column(table, place, order))
            lost = known - permuted.log_prob(y_rows).numpy()  # (N,)
            part += lost / n_repeats
            part[order] += lost / n_repeats
        importance[f], error[f] = part.mean() / 2, part.std(ddof=1) / len(rows) ** 0.5
    first = np.argsort(-importance, kind="stable")
    names = np.array(list(places))[first]
    return frames.like(X, {"feature": names, "importance": importance[first], "standard_error": error[first]})


@torch.no_grad()
def partial_dependence(
    model: BaseEstimator,
    X: Any,
    feature: Feature,
    *,
    y: Any = None,
    grid: Sequence[Any] | None = None,
    n_grid: int = 20,
    n_rows: int = 200,
    random_state: Seed = 0,
) -> Any:
    r"""Density averaged over rows of X whose feature is set to the same value, for each value of a grid.

    .. math:: \bar p_v(y) = \frac1N \sum_i p(y \mid x_i \text{ with } x_f = v)

    The average is one mixture of N K components, whose moments and quantiles are exact.

    Args:
        model: A fitted regressor that predicts distributions.
        X: Features, (N, F).
        feature: Name or place of the feature.
        y: Targets of X, (N,) or (N, D), if the log score is wanted, too.
        grid: Values of the feature; None for quantiles of a column of numbers or times (all values, where they are
            few), and for the most frequent values of any other.
        n_grid: Most values of a grid that is not given.
        n_rows: Most rows that are averaged over, drawn without replacement.
        random_state: Seed of the rows.

    Returns:
        A table with one line per value: value, for every target its ``{name}_mean``, ``{name}_sd``, ``{name}_q0.05``,
        ``{name}_q0.5`` and ``{name}_q0.95`` in its own units, and with y log_score, the mean of -log p(y | x) of the
        rows in nats with the feature set to that value.

    References:
        Friedman (2001), Greedy function approximation: a gradient boosting machine, Annals of Statistics 29,
        section 8.2.
    """
    check_is_fitted(model)
    (place,) = _places(model, X, [feature]).values()
    values, rows = _grid(X, place, grid, n_grid), _background(X, n_rows, random_state)
    table = frames.take_rows(X, rows)
    targets = None if y is None else _targets(model, X, y)[rows]
    means, deviations, quantiles, scores = [], [], [], []
    levels = torch.tensor(list(_LEVELS.values()), dtype=torch.float64)[:, None]
    for value in values:
        density: Mixture = model.predict_distribution(frames.with_constant(table, place, value))
        if targets is not None:
            scores.append(-density.log_prob(targets).mean())
        average = density.pooled(0)
        means.append(average.mean)
        deviations.append(average.stddev)
        quantiles.append(average.icdf_around_mean(levels))
    names = _target_names(model, len(means[0]))
    parts = {"mean": torch.stack(means), "sd": torch.stack(deviations)}
    parts |= {name: torch.stack(quantiles)[:, q] for q, name in enumerate(_LEVELS)}  # (G, D) each
    columns = {f"{name}_{key}": part[:, d].numpy() for d, name in enumerate(names) for key, part in parts.items()}
    scored = {"log_score": torch.stack(scores).numpy()} if scores else {}
    return frames.like(X, {"value": values, **columns, **scored})


@torch.no_grad()
def partial_distribution(
    model: BaseEstimator,
    X: Any,
    feature: Feature,
    *,
    grid: Sequence[Any] | None = None,
    n_grid: int = 20,
    n_rows: int = 50,
    random_state: Seed = 0,
) -> tuple[Mixture, list[Any]]:
    """Density averaged over rows of X whose feature is set to each value of a grid: what pictures are drawn of.

    ``plots.density_bands(*partial_distribution(model, X, "hour"))`` shows what one feature of many does.

    Args:
        model: A fitted regressor that predicts distributions.
        X: Features, (N, F).
        feature: Name or place of the feature.
        grid: Values of the feature, as for ``partial_dependence``.
        n_grid: Most values of a grid that is not given.
        n_rows: Most rows that are averaged over, drawn without replacement; the average has so many times K components.
        random_state: Seed of the rows.

    Returns:
        The averages, ``batch_shape`` (G,), and the values, G of them.
    """
    check_is_fitted(model)
    (place,) = _places(model, X, [feature]).values()
    values, rows = _grid(X, place, grid, n_grid), _background(X, n_rows, random_state)
    table = frames.take_rows(X, rows)
    averages = (model.predict_distribution(frames.with_constant(table, place, value)).pooled(0) for value in values)
    return joined([average.expand(torch.Size([1])) for average in averages]), values


@torch.no_grad()
def component_curves(
    model: BaseEstimator,
    X: Any,
    feature: Feature,
    *,
    grid: Sequence[Any] | None = None,
    n_grid: int = 50,
    n_rows: int = 100,
    member: int = 0,
    random_state: Seed = 0,
) -> Any:
    r"""Weight, location and scale of each component of one member along a feature, averaged over rows of X.

    .. math:: w_k = \frac1N \sum_i w_{ik}, \quad m_k = \sum_i r_{ik} m_{ik}, \quad
        s_k^2 = \sum_i r_{ik} \left(s_{ik}^2 + (m_{ik} - m_k)^2\right), \quad r_{ik} = \frac{w_{ik}}{\sum_j w_{jk}}

    where m and s are the mean and standard deviation of a component of a row whose feature is set to the value: those
    of the component's average over rows. Of a model with one feature these are its components themselves. Components
    of different members have nothing to do with each other, so that there is no curve of an ensemble.

    Args:
        model: A fitted ``MDNRegressor``.
        X: Features, (N, F).
        feature: Name or place of the feature.
        grid: Values of the feature; None as in ``partial_dependence``.
        n_grid: Most values of a grid that is not given.
        n_rows: Most rows that are averaged over, drawn without replacement.
        member: Place of the member.
        random_state: Seed of the rows.

    Returns:
        A table with one line per value and component: value, component (counted from 0), weight, and for every target
        ``{name}_location`` and ``{name}_scale`` in its own units.
    """
    check_is_fitted(model)
    _checks.integer_at_least("member", member, 0, (model.network_.n_members or 1) - 1)
    (place,) = _places(model, X, [feature]).values()
    values, table = _grid(X, place, grid, n_grid), frames.take_rows(X, _background(X, n_rows, random_state))
    curves = [_averaged(model.predict_members(frames.with_constant(table, place, value))[member]) for value in values]
    weight, location, scale = (torch.stack(parts).flatten(0, 1).numpy() for parts in zip(*curves, strict=True))
    n_components = len(weight) // len(values)
    columns: dict[str, Any] = {
        "value": [value for value in values for _ in range(n_components)],
        "component": np.tile(np.arange(n_components), len(values)),
        "weight": weight,
    }
    for d, name in enumerate(_target_names(model, location.shape[1])):
        columns |= {f"{name}_location": location[:, d], f"{name}_scale": scale[:, d]}
    return frames.like(X, columns)


@torch.no_grad()
def explain(
    model: BaseEstimator,
    X: Any,
    *,
    background: Any = None,
    n_background: int = 50,
    n_draws: int = 100,
    features: Iterable[Feature] | None = None,
    random_state: Seed = 0,
) -> Any:
    r"""What each feature of each row tells: the information in it, and how far it moves the mean.

    .. math:: \mathrm{KL}\Big(p(\cdot \mid x) \,\Big\|\, \bar p_f\Big), \qquad
        \bar p_f(y) = \frac1B \sum_b p(y \mid x \text{ with } x_f \text{ of background row } b)

    is the log score that is lost on average if the feature is unknown, were p(. | x) true. It is the average of
    log p / p_f over draws from p(. | x), the same ones for all features of a row, and its standard error the standard
    deviation of that ratio over draws, divided by the square root of their number. Nothing is clipped: estimates of
    little information may be below 0. It is exactly 0 where the background has the row's own value only. The average
    density itself, and so the shift of the mean, has no other error than that of the choice of background rows.

    Args:
        model: A fitted regressor that predicts distributions.
        X: Rows to explain, (N, F).
        background: Rows whose values stand in for unknown ones, (B, F) or more, of any kind; None for X.
        n_background: Most rows of the background, drawn without replacement, B.
        n_draws: Draws from each row's density.
        features: Names or places of the features; None for all.
        random_state: Seed of the background and of the draws.

    Returns:
        A table with one line per row and feature: row (counted from 0), feature, value (as text), information in nats
        with its standard_error, and for every target ``{name}_mean_shift``, the mean of p(. | x) minus that of the
        average, in its own units.
    """
    check_is_fitted(model)
    _checks.integer_at_least("n_background", n_background, 1)
    _checks.integer_at_least("n_draws", n_draws, 2)
    places = _places(model, X, features)
    others = places if background is None else _places(model, background, list(places))
    donors = X if background is None else background
    generator = np.random.default_rng(as_seed(random_state))
    if background is None and frames.n_rows(X) < 2:
        raise _checks.InputError(
            "background must be given, whose values stand in for unknown ones, where X is one row."
        )
    donors = frames.take_rows(donors, frames.some_rows(donors, n_background, generator))
    own: Mixture = model.predict_distribution(X)
    draws = own.sample((n_draws,), generator=seeded(int(generator.integers(2**32))))  # (S, N, D)
    lost = [_lost(model, X, place, frames.column(donors, others[name]), own, draws) for name, place in places.items()]
    information, error, shift = (torch.stack(parts, 1).flatten(0, 1).numpy() for parts in zip(*lost, strict=True))
    texts = [[_text(cell) for cell in frames.cells(frames.column(X, place))] for place in places.values()]
    columns: dict[str, Any] = {
        "row": np.repeat(np.arange(len(own.logits)), len(places)),
        "feature": list(places) * len(own.logits),
        "value": [text for row in zip(*texts, strict=True) for text in row],
        "information": information,
        "standard_error": error,
    }
    names = _target_names(model, shift.shape[1])
    return frames.like(X, columns | {f"{name}_mean_shift": shift[:, d] for d, name in enumerate(names)})


# --- densities ---


def _lost(
    model: BaseEstimator, X: Any, place: int, donors: frames.Column, own: Mixture, draws: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the information in a feature of each row and its standard error, (N,), and the mean's shift, (N, D)."""
    keys = frames.keys(donors)
    counts = Counter(keys)  # equal values are asked for once
    different = np.array([keys.index(key) for key in counts])
    at_once = max(1, _AT_ONCE // (len(counts) * own.n_components * draws[:, 0].numel()))
    information, mean = [], []
    for rows in np.split(np.arange(len(own.logits)), range(at_once, len(own.logits), at_once)):
        table = frames.take_rows(X, np.tile(rows, len(counts)))
        table = frames.with_column(table, place, donors[np.repeat(different, len(rows))])
        density = model.predict_distribution(table)
        each = [density[first : first + len(rows)] for first in range(0, len(density.logits), len(rows))]
        average = pool(each, list(counts.values()))
        some = draws[:, rows]  # (S, n, D)
        information.append(own[rows].log_prob(some) - average.log_prob(some))
        mean.append(average.mean)
    told = torch.tensor([set(counts) != {key} for key in frames.keys(frames.column(X, place))])
    shift = own.wrapped(own.mean - torch.cat(mean))
    gain = torch.where(told, torch.cat(information, 1), 0.0)  # (S, N)
    return gain.mean(0), gain.std(0) / len(gain) ** 0.5, torch.where(told[:, None], shift, 0.0)


def _averaged(density: Mixture) -> tuple[Tensor, Tensor, Tensor]:
    """Return weight, (K,), mean and standard deviation, (K, D), of each component averaged over rows."""
    parts = density.components.expand(density.logits.shape)
    if len(parts.groups) > 1:  # rows of atoms beside rows of others cannot be turned around
        share = torch.softmax(density.logits, 0).unsqueeze(-1)  # (N, K, 1)
        location = (share * parts.mean).sum(0)
        variance = (share * (parts.variance + (parts.mean - location) ** 2)).sum(0)
        return density.weights.mean(0), location, variance.sqrt()
    rows = parts.transformed(lambda value: value.transpose(0, 1).contiguous())  # mixtures of rows, one a component
    average = Mixture(Categorical(logits=density.logits.T, validate_args=False), rows, validate_args=False)
    return density.weights.mean(0), average.mean, average.stddev


# --- what the user handed in ---


def _places(model: BaseEstimator, X: Any, features: Iterable[Feature] | None) -> dict[str, int]:
    """Return the places of features, or refuse a model that predicts no densities of a table."""
    if not hasattr(model, "predict_distribution"):
        raise TypeError(f"model must predict densities, as MDNRegressor does; got {type(model).__name__}.")
    if getattr(model, "encoder_", True) is None:
        raise _checks.InputError(
            "X must be a table, whose columns are features; this model takes inputs that are none."
        )
    if not frames.n_rows(X):
        raise _checks.InputError("X must have at least 1 row; got 0.")
    return frames.places(X, features, getattr(model, "feature_names_in_", None))


def _targets(model: BaseEstimator, X: Any, y: Any) -> Tensor | Incomplete:
    """Return the targets of X, (N, D), in the order of the model's where both have names."""
    allow_missing = bool(getattr(model, "allow_missing_targets", False))
    targets = read_targets(model, y, allow_missing=allow_missing).matched(getattr(model, "target_names_", None))
    _checks.same_rows("X", frames.n_rows(X), "y", len(targets))
    return targets.tensor()


def _target_names(model: BaseEstimator, n_targets: int) -> list[str]:
    names: list[str] | None = getattr(model, "target_names_", None)
    return names or default_names(n_targets)


def _background(X: Any, n_rows: int, random_state: Seed) -> frames.Rows:
    _checks.integer_at_least("n_rows", n_rows, 1)
    return frames.some_rows(X, n_rows, np.random.default_rng(as_seed(random_state)))


def _grid(X: Any, place: int, grid: Sequence[Any] | None, n_grid: int) -> list[Any]:
    _checks.integer_at_least("n_grid", n_grid, 1)
    values = frames.typical_values(frames.column(X, place), n_grid) if grid is None else list(grid)
    if not values:
        name = frames.column_names(X)[place]
        raise _checks.InputError(f"grid must hold at least 1 value of {name!r}; got none.")
    return values


def _text(cell: Any) -> str:
    return "missing" if frames.is_missing(cell) else str(cell)
