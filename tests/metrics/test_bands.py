"""Histograms and distribution functions of PITs, and the bands that hold all of them at once."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from manymodes._checks import InputError
from manymodes.distributions import Mixture
from manymodes.metrics import bands, calibration_by, calibration_error, coverage_curve
from manymodes.metrics.bands import pit_ecdf, pit_histogram, pointwise_band, simultaneous_band
from manymodes.metrics.calibration import pit

from .simulated import bimodal, drawn, normal, shifted, stretched, without_a_mode
from .test_scores import make


def inside(counts: np.ndarray, band: tuple[torch.Tensor, torch.Tensor]) -> float:
    low, high = (end.numpy() for end in band)
    return ((counts >= low) & (counts <= high)).all(-1).mean()


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("n_rows", [100, 1000, 10**6])
def test_other_histograms_lie_in_the_band_with_its_level(n_rows, level):
    # 20,000 histograms of another seed beside the 4,000 of the band: 4 standard errors. Few counts are coarse: the band
    # of few rows may hold more.
    counts = np.random.default_rng(1).multinomial(n_rows, [0.05] * 20, size=20_000)
    held = inside(counts, simultaneous_band(n_rows, (0.05,) * 20, level))
    error = (level * (1 - level) * (1 / 4000 + 1 / 20_000)) ** 0.5
    assert held > level - 4 * error
    assert n_rows < 10**6 or held < level + 4 * error


@pytest.mark.parametrize("n_rows", [50, 1000])
def test_other_distribution_functions_lie_in_the_band_with_its_level(n_rows):
    u = np.random.default_rng(2).random((5000, n_rows))
    counts = np.stack([(u <= place).sum(-1) for place in np.arange(1, 50) / 50], -1)
    held = inside(counts, simultaneous_band(n_rows, (0.02,) * 50, 0.95, cumulative=True))
    assert 0.935 < held < 0.975


def test_a_pointwise_band_is_the_binomial_interval():
    share = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    low, high = pointwise_band(200, share, 0.95)
    expected = stats.binom(200, share.numpy()).interval(0.95)
    np.testing.assert_allclose(low * 200, expected[0])
    np.testing.assert_allclose(high * 200, expected[1])


def test_a_simultaneous_band_is_wider_than_a_pointwise_one():
    low, high = simultaneous_band(1000, (0.05,) * 20, 0.95)
    one_low, one_high = pointwise_band(1000, torch.tensor([0.05], dtype=torch.float64), 0.95)
    assert (low < 1000 * one_low).all()
    assert (high > 1000 * one_high).all()


def test_a_histogram_counts_the_pits():
    mixture = normal(500)
    y = drawn(mixture, seed=1)
    histogram = pit_histogram(mixture, y, n_bins=10)
    expected, _ = np.histogram(pit(mixture, y)[:, 0].numpy(), bins=10, range=(0, 1))
    assert histogram.count.tolist() == [expected.tolist()]
    assert histogram.n_rows == 500
    assert histogram.edges.tolist() == pytest.approx([i / 10 for i in range(11)])
    assert repr(histogram) == "PITHistogram(n_rows=500, 0 of 10 bins outside the band that holds all in 0.95)"


def test_a_distribution_function_is_the_share_of_lower_pits():
    mixture = bimodal(300)
    y = drawn(mixture, seed=1)
    found = pit_ecdf(mixture, y)
    u = pit(mixture, y)[:, 0]
    assert found.share[0].tolist() == pytest.approx([(u <= place).double().mean().item() for place in found.level])
    assert found.n_rows == 300
    assert repr(found) == "Reliability(n_rows=300, 0 of 49 shares outside the band that holds all in 0.95)"


WRONG = {
    "too narrow": lambda mixture: stretched(mixture, 1 / 1.3),
    "too wide": lambda mixture: stretched(mixture, 1.3),
    "too high": lambda mixture: shifted(mixture, 0.3),
    "without a mode": without_a_mode,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("of_kind", [pit_histogram, pit_ecdf])
def test_1000_rows_show_that_predictions_are_wrong(of_kind, name):
    truth = bimodal(1000)
    assert of_kind(WRONG[name](truth), drawn(truth, seed=6)).outside.any()


@pytest.mark.parametrize("kind", ["central", "region"])
def test_calibrated_predictions_leave_the_band_in_one_case_of_twenty(kind):
    # 100 cases of 200 rows: binomial, at most 13 with probability .9995.
    left = []
    for seed in range(100):
        mixture = normal(200, seed)
        histogram = pit_histogram(mixture, drawn(mixture, seed=1000 + seed), kind=kind, n_bins=20)
        left.append(bool(histogram.outside.any()))
    assert sum(left) <= 13


def test_bins_become_fewer_with_rows_and_places_at_the_ends_belong_to_them():
    mixture = normal(25)
    assert pit_histogram(mixture, drawn(mixture)).count.shape == (1, 2)
    far = torch.full((25, 1), 1e9, dtype=torch.float64)
    assert pit_histogram(mixture, far, n_bins=5).count.tolist() == [[0, 0, 0, 0, 25]]
    assert pit_histogram(mixture, -far, n_bins=5).count.tolist() == [[25, 0, 0, 0, 0]]


def test_a_band_cannot_be_changed_from_outside():
    mixture = normal(50)
    y = drawn(mixture)
    first = pit_histogram(mixture, y)
    before = first.low.clone()
    first.low.fill_(-1)
    assert torch.equal(pit_histogram(mixture, y).low, before)


def test_one_simulation_serves_all_calls(monkeypatch):
    simultaneous_band(77, (0.5, 0.5), 0.9)
    monkeypatch.setattr(bands, "_tail", None)
    simultaneous_band(77, (0.5, 0.5), 0.9)


def test_too_few_rows_are_refused_and_the_number_needed_is_said():
    mixture = normal(8)
    y = drawn(mixture)
    with pytest.raises(InputError, match=r"^y must have at least 20 rows for 20 bins; got 8\.$"):
        pit_histogram(mixture, y, n_bins=20)
    with pytest.raises(InputError, match=r"^y must have at least 2 rows for a histogram; got 0\.$"):
        pit_histogram(mixture[:0], y[:0])
    with pytest.raises(InputError, match=r"^y must have at least 2 rows for a distribution function; got 1\.$"):
        pit_ecdf(mixture[:1], y[:1])
    with pytest.raises(InputError, match=r"^band must be a number > 0 and < 1; got 1\.0\.$"):
        pit_ecdf(mixture, y, band=1.0)


def test_histograms_and_distribution_functions_are_long_tables():
    mixture, _ = make(n=50, d=2)
    y = drawn(mixture)
    frame, histogram = pit_histogram(mixture, y, n_bins=5).to_frame(), pit_histogram(mixture, y, n_bins=5)
    assert list(frame.columns) == ["dim", "start", "end", "count", "low", "high"]
    assert frame["count"].tolist() == histogram.count.flatten().tolist()
    assert frame["dim"].tolist() == [0] * 5 + [1] * 5
    frame, found = pit_ecdf(mixture, y).to_frame(), pit_ecdf(mixture, y)
    assert list(frame.columns) == ["dim", "level", "share", "low", "high"]
    assert frame["share"].tolist() == found.share.flatten().tolist()


@pytest.mark.parametrize(
    "found", [pit_histogram, pit_ecdf, coverage_curve, calibration_error, partial(calibration_by, n_bins=2)]
)
def test_ranks_by_density_are_taken_among_as_many_samples_as_asked(found, monkeypatch):
    mixture, _ = make(n=60, d=2)
    asked = []
    sample = Mixture.sample
    y = drawn(mixture)
    monkeypatch.setattr(Mixture, "sample", lambda self, shape=(), **k: asked.append(shape) or sample(self, shape, **k))
    found(mixture, y, kind="region", n_samples=30)
    assert {shape[0] for shape in asked} == {30}
