import numpy as np
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, FullNormal, Mixture
from manymodes.estimators.forecasting.dependence import Dependence, normal_scores, paths_at
from manymodes.estimators.forecasting.fewer import fewer


def correlated(n_rows, horizon, decay, seed=0):
    steps = torch.arange(horizon, dtype=torch.float64)
    truth = decay ** (steps[:, None] - steps).abs()
    noise = torch.randn(n_rows, horizon, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return truth, (noise @ torch.linalg.cholesky(truth).mT).unsqueeze(-1)


def halves(n_rows):
    return torch.arange(n_rows) >= n_rows // 2


def two_targets(n_rows, horizon):
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(n_rows, horizon, 3, 2, generator=generator, dtype=torch.float64)
    lower = torch.eye(2, dtype=torch.float64) + torch.tensor([[0.0, 0.0], [0.7, 0.0]], dtype=torch.float64)
    return Mixture(Categorical(torch.ones(n_rows, horizon, 3)), FullNormal(loc, lower.expand(n_rows, horizon, 3, 2, 2)))


def test_the_correlation_of_scores_is_found():
    truth, scores = correlated(200, 12, 0.8)
    found = Dependence.of(scores, halves(200)).correlation
    assert float((found - truth).abs().mean()) < 0.06


def test_few_scores_are_shrunk_to_something_better_than_their_own_correlation():
    truth, scores = correlated(24, 12, 0.8)
    found = Dependence.of(scores, halves(24)).correlation
    own = torch.from_numpy(np.corrcoef(scores[..., 0].numpy().T))
    assert float((found - truth).square().mean()) < float((own - truth).square().mean())


def test_scores_that_do_not_hang_together_give_no_dependence_worth_mentioning():
    _, scores = correlated(60, 8, 0.0)
    found = Dependence.of(scores, halves(60)).correlation
    assert float((found - torch.eye(8)).abs().max()) < 0.1


def test_missing_scores_are_left_out():
    truth, scores = correlated(400, 6, 0.7)
    scores[torch.rand(scores.shape, generator=torch.Generator().manual_seed(1)) < 0.2] = torch.nan
    found = Dependence.of(scores, halves(400)).correlation
    assert float((found - truth).abs().mean()) < 0.07


def test_few_rows_tell_of_distances_alone():
    _, scores = correlated(10, 4, 0.9)
    found = Dependence.of(scores, halves(10)).correlation
    for lag in range(1, 4):
        same = found.diagonal(lag)
        torch.testing.assert_close(same, same[:1].expand_as(same))
        assert 0.1 < float(same[0]) < 0.9
    assert torch.equal(Dependence.of(scores[:0], halves(0)).correlation, torch.eye(4, dtype=torch.float64))


def test_targets_of_one_step_stay_as_the_prediction_has_them():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(300, 5, 2, generator=generator, dtype=torch.float64)
    scores[..., 1] = 0.6 * scores[..., 0] + 0.8 * scores[..., 1]
    scores[:, 1:] = 0.5 * scores[:, 1:] + 0.75**0.5 * scores[:, :-1]
    found = Dependence.of(scores, halves(300)).correlation.unflatten(0, (5, 2)).unflatten(-1, (5, 2))
    for step in range(5):
        torch.testing.assert_close(found[step, :, step], torch.eye(2, dtype=torch.float64), atol=1e-9, rtol=0)
    assert float(found[0, 0, 1, 0]) > 0.3


def test_scores_and_paths_undo_each_other():
    mixture = two_targets(4, 3)
    y = mixture.sample(generator=torch.Generator().manual_seed(1))
    scores = normal_scores(mixture, y)
    torch.testing.assert_close(paths_at(mixture, scores[None])[0], y, atol=1e-6, rtol=0)


def test_paths_of_many_rows_are_those_of_each(monkeypatch):
    mixture = two_targets(5, 3)
    scores = torch.randn(4, 5, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = paths_at(mixture, scores)
    monkeypatch.setattr("manymodes.estimators.forecasting.dependence._NUMBERS", 1)
    torch.testing.assert_close(paths_at(mixture, scores), whole)


def test_a_missing_target_has_no_score_and_those_after_it_in_the_step_have_none_either():
    mixture = two_targets(2, 2)
    y = mixture.sample(generator=torch.Generator().manual_seed(1))
    y[0, 0, 0] = torch.nan
    y[1, 1, 1] = torch.nan
    assert normal_scores(mixture, y).isnan().tolist() == [
        [[True, True], [False, False]],
        [[False, False], [False, True]],
    ]


def test_every_step_of_paths_has_the_distribution_that_was_predicted():
    loc = torch.tensor([[[[-2.0], [2.0]]]], dtype=torch.float64).expand(1, 6, 2, 1)
    mixture = Mixture(Categorical(torch.tensor([0.3, 0.7]).expand(1, 6, 2)), DiagonalNormal(loc, 0.5 + 0 * loc))
    truth, _ = correlated(1, 6, 0.9)
    scores = Dependence(truth, 1).draw(4000, 1, 6, torch.Generator().manual_seed(0))
    right = (paths_at(mixture, scores)[:, 0, :, 0] > 0).double().mean(0)
    # Standard error 0.0073; five of them are exceeded less than once in a million runs.
    assert float((right - 0.7).abs().max()) < 0.037


def test_fewer_components_keep_mean_and_covariance():
    generator = torch.Generator().manual_seed(0)
    for n_components, dim in ((301, 1), (200, 2)):
        loc = 3 * torch.randn(2, n_components, dim, generator=generator, dtype=torch.float64)
        lower = torch.eye(dim, dtype=torch.float64).expand(2, n_components, dim, dim) * 0.3
        weights = Categorical(torch.rand(2, n_components, generator=generator, dtype=torch.float64))
        whole = Mixture(weights, FullNormal(loc, lower))
        small = fewer(whole, 32)
        assert small.n_components == 32
        torch.testing.assert_close(small.mean, whole.mean)
        torch.testing.assert_close(small.variance, whole.variance)


def test_fewer_components_are_nearly_the_same_distribution():
    generator = torch.Generator().manual_seed(0)
    loc = torch.cat(
        [torch.randn(1, 500, 1, generator=generator) - 3, torch.randn(1, 500, 1, generator=generator) + 3], 1
    )
    whole = Mixture(Categorical(torch.ones(1, 1000)), DiagonalNormal(loc.double(), torch.full_like(loc, 0.2).double()))
    small = fewer(whole, 64)
    at = torch.linspace(-6, 6, 200, dtype=torch.float64)[:, None, None]
    assert float((small.cdf(at) - whole.cdf(at)).abs().max()) < 0.005
