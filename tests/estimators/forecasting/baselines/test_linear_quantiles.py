import numpy as np
import pytest
import torch
from sklearn.linear_model import QuantileRegressor

from manymodes.estimators.forecasting.baselines import LinearQuantileRegression
from manymodes.estimators.forecasting.baselines.base import around_quantiles, mid_levels
from manymodes.estimators.forecasting.baselines.linear_quantiles import pinball

RNG = np.random.default_rng(0)


def series(n_steps, seed=0):
    """Return an autoregressive series."""
    rng, out = np.random.default_rng(seed), [0.0]
    for shock in rng.normal(size=n_steps - 1):
        out.append(0.8 * out[-1] + shock)
    return np.array(out)


def test_the_loss_is_that_of_a_plain_loop():
    x, y, weights, levels = (torch.from_numpy(RNG.normal(size=shape)) for shape in ((5, 3), (5, 2), (3, 8), (4,)))
    levels = mid_levels(4)
    losses = []
    for n in range(5):
        for h in range(2):
            for k in range(4):
                error = float(y[n, h] - x[n] @ weights[:, 4 * h + k])
                losses.append(max(levels[k] * error, (levels[k] - 1) * error))
    assert float(pinball(x, y, weights, levels)) == pytest.approx(float(np.mean(losses)))


def test_the_fit_is_nearly_as_good_as_the_linear_programme():
    values = series(600)
    model = LinearQuantileRegression(1, context=3, n_levels=3, batch_size=256, n_steps=400, lr=2e-2).fit(values)
    panel = model._read(values)
    rows = model._rows(panel, np.arange(3, 541))
    levels = mid_levels(3)
    own = float(pinball(*rows, model.weights_, levels))
    x, y = (part.numpy().astype(float) for part in rows)
    exact = []
    for level in levels.tolist():
        predicted = (
            QuantileRegressor(quantile=level, alpha=0.0, solver="highs").fit(x[:, :-1], y[:, 0]).predict(x[:, :-1])
        )
        error = y[:, 0] - predicted
        exact.append(np.maximum(level * error, (level - 1) * error).mean())
    assert np.mean(exact) <= own * (1 + 1e-6)
    assert own < 1.02 * np.mean(exact)


def test_intervals_hold_what_they_promise():
    values = series(2400)
    seen = (
        LinearQuantileRegression(4, context=5, n_levels=9, n_steps=150, batch_size=128, lr=2e-2)
        .fit(values[:1200])
        .backtest(values, stride=3)
    )
    inside = seen.scores(0.8)["coverage"]
    assert inside.mean() == pytest.approx(0.8, abs=0.06)  # about 5 standard errors of 400 forecasts


def test_paths_have_the_dependence_of_the_series():
    values = series(2400)
    seen = (
        LinearQuantileRegression(4, context=5, n_levels=9, n_steps=150, batch_size=128, lr=2e-2)
        .fit(values[:2000])
        .backtest(values, n_paths=60)
    )
    steps = seen.paths[:, :, 1:3, 0] - seen.distribution.mean[:, 1:3, 0].numpy()
    correlation = np.corrcoef(steps.reshape(-1, 2).T)[0, 1]
    assert correlation == pytest.approx(
        0.81, abs=0.15
    )  # of errors 2 and 3 steps ahead: (.8 + .8^3) / sqrt(1.64 x 2.05)


def test_the_mixture_around_quantiles_has_them():
    levels = mid_levels(39)
    quantiles = torch.special.ndtri(levels).expand(2, 3, 39)
    found = around_quantiles(quantiles[..., torch.randperm(39, generator=torch.Generator().manual_seed(0))])
    inner = torch.tensor([0.1, 0.25, 0.5, 0.9], dtype=torch.float64)
    at = found.icdf(inner[:, None, None, None])[..., 0]
    torch.testing.assert_close(at, torch.special.ndtri(inner)[:, None, None].expand(4, 2, 3), atol=0.05, rtol=0.0)


def test_the_same_seed_fits_alike():
    values = series(300)
    one, two = (LinearQuantileRegression(2, context=4, n_steps=30).fit(values).weights_ for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0.0, atol=0.0)
