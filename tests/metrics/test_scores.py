import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Incomplete, Laplace, Mixture, SphericalNormal, VonMises
from manymodes.distributions.families import FullNormal, LowRankNormal

SETTINGS = ("variogram_score", "quantile_weighted_crps", "pinball_loss")  # need more than targets, or of them


def make(n=6, k=4, d=1, scale=1.0, seed=0) -> tuple[Mixture, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    loc = scale * 3 * torch.randn(n, k, d, generator=generator, dtype=torch.float64)
    width = scale * (torch.rand(n, k, d, generator=generator, dtype=torch.float64) + 0.05)
    weights = torch.rand(n, k, generator=generator, dtype=torch.float64) + 0.1
    y = scale * 3 * torch.randn(n, d, generator=generator, dtype=torch.float64)
    return Mixture(Categorical(weights), DiagonalNormal(loc, width)), y


def pieces(mixture: Mixture, row: int):
    parts = mixture.components
    return mixture.weights[row].numpy(), parts.loc[row, :, 0].numpy(), parts.scale[row, :, 0].numpy()


def crps_by_quadrature(weights, loc, scale, y) -> float:
    """Integrate (F(t) - 1{t >= y})^2 by Gauss-Legendre panels one scale wide around every component."""
    nodes, node_weights = np.polynomial.legendre.leggauss(20)
    low, high = (loc - 40 * scale).min(), (loc + 40 * scale).max()
    total = 0.0
    for tail, a, b in ((stats.norm.cdf, min(low, y), y), (stats.norm.sf, y, max(high, y))):
        ends = np.unique(np.clip(np.concatenate([[a, b], *(loc + j * scale for j in range(-12, 13))]), a, b))
        half = np.diff(ends)[:, None] / 2
        t = ends[:-1, None] + half * (1 + nodes)  # (panels, nodes)
        share = (weights * tail(t[..., None], loc, scale)).sum(-1)
        total += (half * node_weights * share**2).sum()
    return total


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_crps_matches_numerical_integration(scale):
    mixture, y = make(scale=scale)
    got = metrics.crps(mixture, y)
    for row in range(len(y)):
        expected = crps_by_quadrature(*pieces(mixture, row), y[row].item())
        assert got[row].item() == pytest.approx(expected, rel=1e-9)


def test_crps_matches_an_independent_library():
    mixture, y = make(n=200)
    parts = mixture.components
    expected = scoringrules.crps_mixnorm(
        y[:, 0].numpy(), parts.loc[..., 0].numpy(), parts.scale[..., 0].numpy(), mixture.weights.numpy()
    )
    np.testing.assert_allclose(metrics.crps(mixture, y).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("width", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("gap", [1e3, 1e6])
def test_crps_survives_narrow_components_far_apart(width, gap):
    # Nearly all weight on one component: naive differences of terms the size of the gap lose every digit.
    weights = torch.tensor([[1 - 1e-9, 1e-9]], dtype=torch.float64)
    loc = torch.tensor([[[0.0], [gap]]], dtype=torch.float64)
    mixture = Mixture(Categorical(weights), DiagonalNormal(loc, torch.full_like(loc, width)))
    y = torch.tensor([[0.3 * width]], dtype=torch.float64)
    expected = crps_by_quadrature(*pieces(mixture, 0), y.item())
    assert metrics.crps(mixture, y).item() == pytest.approx(expected, rel=1e-8)


def test_crps_in_single_precision_keeps_single_precision():
    mixture, y = make(n=500)
    expected = metrics.crps(mixture, y)
    torch.testing.assert_close(metrics.crps(mixture.to(torch.float32), y.float()).double(), expected, rtol=2e-5, atol=0)


def test_crps_sums_over_dimensions_and_knows_shared_scales():
    mixture, y = make(d=3)
    alone = sum(metrics.crps(mixture.marginal(d), y[:, [d]]) for d in range(3))
    torch.testing.assert_close(metrics.crps(mixture, y), alone)
    loc, scale = torch.randn(5, 2, 3).double(), torch.rand(5, 2, 1).double() + 0.1
    weights = Categorical(torch.ones(5, 2).double())
    shared = Mixture(weights, SphericalNormal(loc, scale))
    own = Mixture(weights, DiagonalNormal(loc, scale.expand(5, 2, 3)))
    torch.testing.assert_close(metrics.crps(shared, y[:5]), metrics.crps(own, y[:5]))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_crps_of_correlated_components_is_that_of_their_marginals(scale):
    mixture, y = make(d=2, scale=scale)
    width = mixture.components.scale
    lower = torch.diag_embed(0.8 * width) + torch.diag_embed(0.6 * width[..., 1:], -1)
    lower[..., 0, 0] = width[..., 0]
    factor = 0.6 * width.unsqueeze(-1)
    for parts in (
        FullNormal(mixture.components.loc, lower),
        LowRankNormal(mixture.components.loc, factor, 0.8 * width),
    ):
        got = metrics.crps(mixture.with_components(parts), y)
        torch.testing.assert_close(got, metrics.crps(mixture, y), rtol=1e-12, atol=0)


def test_crps_is_lowest_on_average_for_the_true_density():
    # 20,000 draws; the paired differences exceed 5 standard errors, so a false alarm is rarer than 1 in 10^6 seeds.
    mixture, _ = make(n=1)
    y = mixture.sample((20_000,), generator=torch.Generator().manual_seed(11))
    true = metrics.crps(mixture, y)
    for wrong in (mixture.affine(0.3, 1.0), mixture.affine(0.0, 1.3), mixture.affine(0.0, 0.7)):
        difference = metrics.crps(wrong, y) - true
        assert difference.mean() > 5 * difference.std() / len(difference) ** 0.5


def test_the_gradient_of_crps_is_right():
    mixture, y = make(n=2, k=3)
    parts = [mixture.logits.clone(), mixture.components.loc.clone(), mixture.components.scale.clone()]

    def score(logits, loc, scale):
        return metrics.crps(Mixture(Categorical(logits=logits), DiagonalNormal(loc, scale)), y)

    assert torch.autograd.gradcheck(score, [part.requires_grad_() for part in parts])


def test_the_gradient_of_crps_is_right_where_a_target_meets_a_location():
    loc = torch.tensor([[[0.0], [10.0]]], dtype=torch.float64)
    y = torch.tensor([[0.0]], dtype=torch.float64)

    def score(loc):
        return metrics.crps(
            Mixture(Categorical(torch.tensor([[0.5, 0.5]])), DiagonalNormal(loc, torch.ones(1, 2, 1))), y
        )

    step = 1e-4 * torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    expected = (score(loc + step) - score(loc - step)).item() / 2e-4
    assert expected == pytest.approx(0.25, abs=1e-4)
    loc.requires_grad_()
    score(loc).sum().backward()
    assert loc.grad[0, 0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_crps_of_samples_of_targets_is_that_of_each():
    mixture, y = make(d=2)
    targets = torch.stack([y, y + 1, 2 * y])
    expected = torch.stack([metrics.crps(mixture, target) for target in targets])
    torch.testing.assert_close(metrics.crps(mixture, targets), expected)


def test_crps_of_an_infinite_target_is_infinite():
    mixture, y = make(n=2)
    y[0], y[1] = torch.inf, -torch.inf
    assert (metrics.crps(mixture, y) == torch.inf).all()


def test_log_score_is_the_negative_log_likelihood():
    mixture, y = make(d=2)
    torch.testing.assert_close(metrics.log_score(mixture, y), -mixture.log_prob(y))


PLAIN = [score.function for name, score in metrics.SCORES.items() if name not in SETTINGS]
OTHERS = [metrics.pit, metrics.coverage, metrics.point_error, metrics.rmse, metrics.mae, metrics.score_table]


@pytest.mark.parametrize("score", [*PLAIN, *OTHERS], ids=lambda score: score.__name__)
def test_targets_of_another_shape_are_refused(score):
    mixture, y = make()
    with pytest.raises(InputError, match=r"^y must have shape \(\.\.\., 6, 1\)"):
        score(mixture, y[:, 0])


def test_the_log_score_of_incomplete_targets_is_that_of_what_is_known():
    mixture, y = make(d=2)
    y[0, 1] = torch.nan
    score = metrics.log_score(mixture, Incomplete.missing(y))
    torch.testing.assert_close(score[0], metrics.log_score(mixture.marginal(0), y[:, :1])[0])
    torch.testing.assert_close(score[1:], metrics.log_score(mixture[1:], y[1:]))


@pytest.mark.parametrize("metric", [*PLAIN[1:], *OTHERS], ids=lambda metric: metric.__name__)
def test_metrics_of_exact_targets_refuse_incomplete_ones(metric):
    mixture, y = make()
    with pytest.raises(TypeError) as caught:
        metric(mixture, Incomplete.rounded(y, 0.5))
    name = metric.__name__
    assert (
        str(caught.value) == f"y must be a tensor of exact targets for {name}; got Incomplete, which log_score takes."
    )


def test_the_crps_of_angles_is_not_strictly_proper_and_nobody_says_it_is():
    loc = torch.tensor([[[0.0], [torch.pi - 1e-12]]], dtype=torch.float64)
    two = Mixture(Categorical(torch.ones(1, 2)), VonMises(loc, torch.full_like(loc, 20.0)))
    even = Mixture(Categorical(torch.ones(1, 1)), VonMises(loc[:, :1], torch.full_like(loc[:, :1], 1e-12)))
    y = two.sample((4000,), generator=torch.Generator().manual_seed(0)).reshape(-1, 1)
    own, other = (metrics.crps(density.expand((4000,)), y).mean().item() for density in (two, even))
    assert own == pytest.approx(other, abs=1e-3)
    table = metrics.score_table(two.expand((5,)), y[:5])
    marks = dict(zip(table.score, table.strictly_proper, strict=True))
    assert marks["log_score"]
    assert not marks["crps"]


def test_an_event_at_its_end_happened_in_any_precision():
    density = Mixture(Categorical(torch.ones(1, 1)), DiagonalNormal(*torch.ones(2, 1, 1, 1, dtype=torch.float64)))
    y = torch.tensor([[0.1]], dtype=torch.float64)
    expected = (1 - density.exceedance(y)).square()
    torch.testing.assert_close(metrics.brier_score(density, y, low=0.1), expected)


def test_targets_that_are_missing_have_no_score_of_an_event_and_no_coverage():
    density = Mixture(Categorical(torch.ones(1, 1)), DiagonalNormal(*torch.ones(2, 1, 1, 1)), validate_args=False)
    y = torch.tensor([[torch.nan]])
    assert bool(metrics.brier_score(density, y, low=0.0).isnan().all())
    assert bool(metrics.coverage(density, y).isnan().all())


MISSING = {
    "crps": metrics.marginal_crps,
    "weighted": metrics.threshold_weighted_crps,
    "interval": metrics.interval_score,
    "pinball": lambda density, y: metrics.pinball_loss(density, y, 0.3),
    "squared": metrics.squared_error,
    "pit": metrics.pit,
    "rank": lambda density, y: metrics.hpd_rank(density, y)[:, None],
}


@pytest.mark.parametrize("family", [DiagonalNormal, Laplace])
@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_has_no_score(name, family):
    both = Mixture(Categorical(torch.ones(2, 1)), family(*torch.ones(2, 2, 1, 1)), validate_args=False)
    scores = MISSING[name](both, torch.tensor([[torch.nan], [0.5]]))
    assert scores.isnan().tolist() == [[True], [False]]


def test_a_missing_angle_has_no_crps():
    density = Mixture(Categorical(torch.ones(1, 1)), VonMises(*torch.ones(2, 1, 1, 1)), validate_args=False)
    assert bool(metrics.crps(density, torch.tensor([[torch.nan]])).isnan())
