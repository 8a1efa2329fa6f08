"""Densities known by a formula, beside SciPy's and beside closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from manymodes._checks import InputError
from manymodes.datasets import make_skew_normal
from manymodes.datasets.known_density import known_density
from manymodes.distributions import Mixture

X = np.linspace(-2, 2, 7)[:, None]
LEVELS = torch.tensor([1e-13, 1e-6, 0.01, 0.3, 0.5, 0.8, 0.999], dtype=torch.float64).reshape(-1, 1, 1)


def skew_normals():
    """Return skew-normal truths and SciPy's."""
    x = X[:, 0]
    shape = -4 + 4 / (1 + np.exp(-x))
    reference = stats.skewnorm(shape, loc=0.1 * x, scale=0.05 + 0.1 * x**2)
    return make_skew_normal(1, return_density=True)[2](X), reference


def arcsines(n: int = 2) -> Mixture:
    """Return densities with two poles, 1 / (pi sqrt(c^2 - y^2)), for c = 1, 2, ..."""
    reach = torch.arange(1, n + 1, dtype=torch.float64).unsqueeze(-1)
    places = torch.linspace(-1, 1, 9, dtype=torch.float64) * reach
    return known_density(lambda y, c: -0.5 * (c - y).log() - 0.5 * (c + y).log(), reach, places)


def boxes() -> Mixture:
    """Return densities constant on two intervals: (0, 1), and twice as high on (2, 3)."""
    places = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64)

    def log_density(y, _):
        return torch.where(y <= 1, 1.0 + 0 * y, torch.where(y >= 2, 2.0, 0.0 * y)).log()

    return known_density(log_density, places[:, :1], places)


def test_skew_normals_agree_with_scipy():
    truth, reference = skew_normals()
    y = torch.from_numpy(reference.ppf(np.linspace(0.01, 0.99, 9)[:, None])).unsqueeze(-1)  # (9, 7, 1)
    np.testing.assert_allclose(truth.log_prob(y), reference.logpdf(y[..., 0].numpy()), rtol=1e-12)
    np.testing.assert_allclose(truth.cdf(y)[..., 0], reference.cdf(y[..., 0].numpy()), atol=1e-12)
    np.testing.assert_allclose(truth.sf(y)[..., 0], reference.sf(y[..., 0].numpy()), atol=1e-12)
    mean, variance, skewness, _ = reference.stats("mvsk")
    np.testing.assert_allclose(truth.mean[:, 0], mean, rtol=1e-10)
    np.testing.assert_allclose(truth.variance[:, 0], variance, rtol=1e-10)
    np.testing.assert_allclose(truth.skewness[:, 0], skewness, rtol=1e-8)


def test_quantiles_invert_the_cdf_in_both_tails():
    truth = skew_normals()[0]
    levels = LEVELS.expand(-1, 7, 1)
    torch.testing.assert_close(truth.cdf(truth.icdf(LEVELS)), levels, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(truth.sf(truth.isf(LEVELS)), levels, rtol=1e-9, atol=1e-14)


def test_quantiles_beside_a_pole_are_as_near_as_numbers_are():
    truth = arcsines()
    torch.testing.assert_close(truth.cdf(truth.icdf(LEVELS)), LEVELS.expand(-1, 2, 1), rtol=0, atol=3e-8)
    torch.testing.assert_close(truth.sf(truth.isf(LEVELS)), LEVELS.expand(-1, 2, 1), rtol=0, atol=3e-8)


def test_the_ends_are_the_quantiles_of_nothing_and_all():
    truth = arcsines()
    ends = truth.icdf(torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1))
    torch.testing.assert_close(ends[..., 0], torch.tensor([[-1.0, -2.0], [1.0, 2.0]], dtype=torch.float64))
    assert truth.cdf(torch.tensor([[-5.0], [5.0]], dtype=torch.float64)).flatten().tolist() == [0.0, 1.0]
    assert truth.log_prob(torch.tensor([[-5.0], [5.0]], dtype=torch.float64)).tolist() == [-math.inf, -math.inf]


def test_poles_at_ends_cost_no_digits():
    truth, reference = arcsines(1), stats.arcsine(loc=-1, scale=2)
    y = torch.linspace(-0.99, 0.99, 12, dtype=torch.float64).reshape(-1, 1, 1)
    np.testing.assert_allclose(truth.log_prob(y).flatten(), reference.logpdf(y.flatten().numpy()), rtol=1e-9)
    np.testing.assert_allclose(truth.cdf(y).flatten(), reference.cdf(y.flatten().numpy()), atol=1e-10)
    np.testing.assert_allclose(truth.variance, 0.5, rtol=1e-9)


def test_means_of_tails_add_up_to_those_of_the_parts():
    truth = boxes()
    at = torch.tensor([[2.5]], dtype=torch.float64)
    lower, upper = (f(at.unsqueeze(-2)).squeeze() for f in (truth.components.lower_mean, truth.components.upper_mean))
    assert lower.item() == pytest.approx((0.5 + 2 * 0.5 * 2.25) / 3, rel=1e-12)
    assert upper.item() == pytest.approx(2 * 0.5 * 2.75 / 3, rel=1e-12)
    assert truth.expected_shortfall(5 / 6).item() == pytest.approx(2.875, rel=1e-9)  # the upper quarter of the box


def test_gaps_hold_nothing_and_flat_tops_have_their_mode_in_the_middle():
    truth = boxes()
    assert truth.probability(0.9, 2.1).item() == pytest.approx(0.1, rel=1e-9)
    modes = truth.modes()
    assert modes.location[0, :, 0].tolist() == pytest.approx([2.5, 0.5], rel=1e-9)
    assert modes.mass[0].tolist() == pytest.approx([2 / 3, 1 / 3], rel=1e-9)


def test_samples_follow_the_density():
    # A false alarm for one seed in 10,000.
    truth, _ = skew_normals()
    samples = truth.sample((500,), generator=torch.Generator().manual_seed(0))
    assert samples.shape == (500, 7, 1)
    assert stats.kstest(truth.cdf(samples).flatten(), "uniform").pvalue > 1e-4


def test_the_score_is_the_derivative_of_the_log_density():
    truth, _ = skew_normals()
    y = truth.median.unsqueeze(-2)
    step = 1e-6
    slope = (truth.components.marginal_log_prob(y + step) - truth.components.marginal_log_prob(y - step)) / (2 * step)
    torch.testing.assert_close(truth.components.score(y), slope, rtol=1e-6, atol=1e-6)
    assert truth.components.score(torch.full_like(y, 1e3)).abs().max() == 0


def test_a_known_density_moves_like_any_mixture():
    truth, _ = skew_normals()
    moved = truth.affine(1.0, 3.0)
    torch.testing.assert_close(moved.mean, 1 + 3 * truth.mean)
    torch.testing.assert_close(moved.icdf(0.2), 1 + 3 * truth.icdf(0.2))
    torch.testing.assert_close(moved.log_prob(1 + 3 * truth.median), truth.log_prob(truth.median) - math.log(3))
    torch.testing.assert_close(truth[2:4].mean, truth.mean[2:4])
    torch.testing.assert_close(
        truth.to(torch.float32).cdf(truth.median.float()), torch.full((7, 1), 0.5), atol=1e-5, rtol=0
    )
    assert truth[:0].cdf(torch.empty(0, 1)).shape == (0, 1)
    assert truth[:0].icdf(0.5).shape == (0, 1)
    assert truth.marginal(0).mean.shape == (7, 1)


def test_a_row_whose_density_is_nowhere_is_refused():
    places = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    with pytest.raises(InputError, match=r"^X must hold inputs that can occur; row 2 cannot\.$"):
        known_density(lambda y, c: (c + 0 * y).log(), torch.tensor([[1.0], [0.0]], dtype=torch.float64), places)
