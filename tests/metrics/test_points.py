import torch

from manymodes import metrics

from .test_scores import make


def test_errors_are_those_of_the_mean_and_the_median():
    mixture, y = make(n=50, d=2)
    mean = (mixture.weights.unsqueeze(-1) * mixture.components.loc).sum(1)
    torch.testing.assert_close(metrics.rmse(mixture, y), (y - mean).square().mean(0).sqrt())
    torch.testing.assert_close(metrics.mae(mixture, y), (y - mixture.icdf(0.5)).abs().mean(0))


def test_the_median_beats_the_mean_in_absolute_error_on_draws_of_the_prediction():
    mixture, _ = make(n=20_000)
    y = mixture.sample(generator=torch.Generator().manual_seed(11))
    assert metrics.mae(mixture, y).item() < (y - mixture.mean).abs().mean().item()
