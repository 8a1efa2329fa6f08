"""Coverage and reliability of quantiles at many levels."""

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import FullNormal, Mixture
from manymodes.metrics.calibration import coverage
from manymodes.metrics.reliability import coverage_curve, quantile_reliability

from .simulated import beside_an_atom, bimodal, counts, drawn, normal, shifted, stretched, without_a_mode


def test_central_coverage_is_the_share_inside_the_central_intervals():
    mixture = bimodal(400)
    y = drawn(mixture, seed=1)
    curve = coverage_curve(mixture, y, [0.3, 0.9, 0.5])
    assert curve.level.tolist() == [0.3, 0.5, 0.9]
    expected = [coverage(mixture, y, level).mean().item() for level in (0.3, 0.5, 0.9)]
    assert curve.share[0].tolist() == pytest.approx(expected)


def test_coverage_of_regions_is_the_share_inside_the_regions():
    mixture = bimodal(400)
    y = drawn(mixture, seed=1)
    curve = coverage_curve(mixture, y, [0.3, 0.5, 0.9], kind="region")
    inside = [mixture.highest_density_region(level).contains(y).double().mean() for level in (0.3, 0.5, 0.9)]
    assert curve.share[0].tolist() == pytest.approx([share.item() for share in inside], abs=1e-9)


def test_quantile_reliability_is_the_share_below_the_quantiles():
    mixture = bimodal(400)
    y = drawn(mixture, seed=1)
    curve = quantile_reliability(mixture, y, [0.1, 0.5, 0.9])
    below = [(y <= mixture.icdf(level)).double().mean().item() for level in (0.1, 0.5, 0.9)]
    assert curve.share[0].tolist() == pytest.approx(below)


def test_bands_are_pointwise_binomial_intervals():
    mixture = normal(200)
    curve = coverage_curve(mixture, drawn(mixture), [0.5, 0.9], band=0.8)
    low, high = stats.binom(200, [0.5, 0.9]).interval(0.8)
    assert (200 * curve.low).tolist() == pytest.approx(low.tolist())
    assert (200 * curve.high).tolist() == pytest.approx(high.tolist())


@pytest.mark.parametrize("truth", [normal, bimodal, counts, beside_an_atom])
@pytest.mark.parametrize("kind", ["central", "region"])
def test_true_predictions_cover_each_level_within_its_band(truth, kind):
    # Bands of .9999 for three levels: a false alarm in fewer than 1 of 3,000 seeds for each.
    mixture = truth(2000)
    curve = coverage_curve(mixture, drawn(mixture, seed=2), [0.2, 0.5, 0.9], kind=kind, band=0.9999)
    assert not curve.outside.any()


@pytest.mark.parametrize("kind", ["central", "region"])
def test_of_1000_rows_wrong_predictions_leave_the_band(kind):
    mixture = bimodal(1000)
    y = drawn(mixture, seed=2)
    for wrong in (stretched(mixture, 1 / 1.3), stretched(mixture, 1.3), without_a_mode(mixture)):
        assert coverage_curve(wrong, y, kind=kind).outside.any()
    assert quantile_reliability(shifted(mixture, 0.3), y).outside.double().mean() > 0.5


def test_a_joint_region_sees_a_correlation_that_marginal_intervals_do_not():
    scale_tril = torch.tensor([[1.0, 0.0], [0.9, 0.19**0.5]], dtype=torch.float64)
    loc, weights = torch.zeros(300, 1, 2).double(), Categorical(torch.ones(300, 1).double())
    mixture = Mixture(weights, FullNormal(loc, scale_tril.expand(300, 1, 2, 2)))
    other = Mixture(weights, FullNormal(loc, torch.eye(2).double().expand(300, 1, 2, 2)))
    y = drawn(mixture, seed=3)
    assert coverage_curve(other, y).outside.sum() <= 8  # of 38
    assert coverage_curve(other, y, kind="region").outside.double().mean() > 0.4
    assert coverage_curve(mixture, y, kind="region").outside.sum() <= 4  # of 19
    assert coverage_curve(other, y).share.shape == (2, 19)


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_a_curve_is_a_table(backend):
    mixture = normal(40)
    curve = coverage_curve(mixture, drawn(mixture), [0.5, 0.9])
    table = curve.to_dict()
    assert table["dim"] == [0, 0]
    assert table["level"] == [0.5, 0.9]
    frame = curve.to_frame(backend)
    assert list(frame.columns) == ["dim", "level", "share", "low", "high"]
    assert repr(curve) == "Reliability(n_rows=40, 0 of 2 shares outside their 0.95 band)"


def test_too_few_rows_for_a_level_are_refused_and_the_number_needed_is_said():
    mixture = normal(40)
    y = drawn(mixture)
    with pytest.raises(InputError) as caught:
        coverage_curve(mixture, y, [0.5, 0.99])
    assert str(caught.value) == "y must have at least 100 rows for a level of 0.99; got 40."
    with pytest.raises(InputError, match=r"^y must have at least 1000 rows for a level of 0\.001; got 40\.$"):
        quantile_reliability(mixture, y, [0.5, 0.001])
    with pytest.raises(InputError, match=r"^y must have at least 20 rows for a level of 0\.05; got 0\.$"):
        coverage_curve(mixture[:0], y[:0])
    coverage_curve(mixture[:20], y[:20])


def test_one_level_is_a_curve_of_one_place():
    mixture = normal(40)
    y = drawn(mixture)
    assert coverage_curve(mixture, y, 0.8).share.item() == coverage_curve(mixture, y, [0.8]).share.item()


def test_levels_that_are_none_are_refused():
    mixture = normal(40)
    y = drawn(mixture)
    with pytest.raises(InputError, match=r"^levels must be a number > 0 and < 1; got 1\.0\.$"):
        coverage_curve(mixture, y, [0.5, 1.0])
    with pytest.raises(InputError, match=r"^levels must hold at least 1 level; got none\.$"):
        quantile_reliability(mixture, y, [])
    with pytest.raises(InputError, match=r"^kind must be one of 'central', 'region'; got 'hpd'\.$"):
        coverage_curve(mixture, y, kind="hpd")
    with pytest.raises(InputError, match=r"^y must have shape \(\.\.\., 40, 1\) to match"):
        coverage_curve(mixture, y[:, 0])
