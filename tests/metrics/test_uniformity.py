"""Tests of uniformity and the calibration error: their size, their power and what they say."""

import itertools

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from manymodes._checks import InputError
from manymodes.metrics.calibration import pit
from manymodes.metrics.uniformity import (
    calibration_error,
    distance_from_uniform,
    expected_error,
    simulated_errors,
    uniformity_test,
)

from .simulated import beside_an_atom, bimodal, counts, drawn, normal, shifted, stretched, without_a_mode
from .test_scores import make


def uniform(n: int, times: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, times, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_statistic_is_that_of_normalised_legendre_polynomials():
    u = uniform(30, 2)
    found = uniformity_test(u)
    x = 2 * u.numpy() - 1
    expected = [np.sqrt((2 * j + 1) / 30) * special.eval_legendre(j, x).sum(0) for j in (1, 2, 3, 4)]
    np.testing.assert_allclose(found.coefficients.numpy(), np.stack(expected, -1), rtol=1e-12)
    statistic = np.square(expected).sum(0)
    np.testing.assert_allclose(found.statistic.numpy(), statistic, rtol=1e-12)
    np.testing.assert_allclose(found.p_value.numpy(), stats.chi2(4).sf(statistic), rtol=1e-10)


@pytest.mark.parametrize(("n", "times"), [(5, 20_000), (20, 20_000), (100, 20_000), (1000, 4000), (10_000, 500)])
def test_5_percent_of_uniform_samples_are_called_wrong(n, times):
    # 4 binomial standard errors.
    p = uniformity_test(uniform(n, times, seed=n)).p_value
    assert abs((p < 0.05).double().mean().item() - 0.05) < 4 * (0.05 * 0.95 / times) ** 0.5
    assert abs((p < 0.01).double().mean().item() - 0.01) < 4 * (0.01 * 0.99 / times) ** 0.5 + (
        0.007 if n < 20 else 0.003
    )


WRONG = {
    "too narrow": lambda mixture: stretched(mixture, 1 / 1.3),
    "too wide": lambda mixture: stretched(mixture, 1.3),
    "too high": lambda mixture: shifted(mixture, 0.3),
    "too low": lambda mixture: shifted(mixture, -0.3),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("truth", [normal, bimodal])
def test_of_400_rows_a_scale_wrong_by_1_3_or_a_shift_of_0_3_is_seen_at_1_percent_with_a_power_of_95(truth, name):
    mixture = truth(200 * 400)
    p = uniformity_test(pit(WRONG[name](mixture), drawn(mixture, seed=1)).reshape(200, 400).T).p_value
    assert (p < 0.01).double().mean() > 0.95


def test_of_100_rows_a_forgotten_mode_is_seen_at_1_percent_with_a_power_of_99():
    mixture = bimodal(200 * 100)
    p = uniformity_test(pit(without_a_mode(mixture), drawn(mixture, seed=1)).reshape(200, 100).T).p_value
    assert (p < 0.01).double().mean() > 0.99


@pytest.mark.parametrize("truth", [normal, bimodal, counts, beside_an_atom])
def test_of_true_predictions_5_percent_are_called_wrong(truth):
    # 200 tests: at most 20 with probability .998.
    mixture = truth(200 * 100)
    rows = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))
    values = pit(mixture, drawn(mixture, seed=1))[rows].reshape(200, 100)
    assert (uniformity_test(values.T).p_value < 0.05).sum() <= 20


@pytest.mark.parametrize("name", WRONG)
def test_it_says_which_way_predictions_are_off(name):
    mixture = normal(2000)
    (verdict,) = uniformity_test(pit(WRONG[name](mixture), drawn(mixture, seed=1))).verdicts
    assert verdict.split(" and ")[0] == f"predictions are {name}"


def test_it_says_that_predictions_are_right_or_skewed():
    mixture = normal(2000)
    u = pit(mixture, drawn(mixture, seed=1))
    assert uniformity_test(u).verdicts == ["no sign of miscalibration"]
    # Of exponential targets, which a normal of the same mean and variance takes for symmetric.
    exponential = -torch.log1p(-uniform(2000, 1)) - 1
    (verdict,) = uniformity_test(torch.special.ndtr(exponential)).verdicts
    assert "skewed too far down" in verdict


def test_ranks_by_density_have_words_of_their_own():
    assert (
        uniformity_test(torch.linspace(0.3, 1.0, 200), kind="region")
        .verdicts[0]
        .startswith("predictions are too narrow")
    )
    assert (
        uniformity_test(torch.linspace(0.0, 0.6, 200), kind="region").verdicts[0].startswith("predictions are too wide")
    )


def test_a_test_prints_what_it_found():
    assert repr(uniformity_test(torch.linspace(0.01, 0.99, 50))) == (
        "UniformityTest(n_rows=50; p=1: no sign of miscalibration)"
    )


def test_numbers_that_cannot_be_tested_are_refused():
    with pytest.raises(InputError, match=r"^y must have at least 5 rows for a test of uniformity; got 4\.$"):
        uniformity_test(torch.rand(4))
    with pytest.raises(InputError, match=r"^u must hold numbers from 0 to 1; got 1\.5\.$"):
        uniformity_test(torch.tensor([0.1, 0.2, 0.3, 0.4, 1.5]))
    with pytest.raises(InputError, match=r"^u must hold numbers from 0 to 1; got nan\.$"):
        uniformity_test(torch.tensor([0.1, 0.2, 0.3, 0.4, torch.nan]))
    with pytest.raises(InputError, match=r"^u must have shape \(N,\) or \(N, C\); got \(5, 1, 1\)\.$"):
        uniformity_test(torch.rand(5, 1, 1))
    with pytest.raises(TypeError, match=r"^u must be a Tensor; got list\.$"):
        uniformity_test([0.5] * 10)


# --- the calibration error ---


def test_the_error_is_the_area_between_the_distribution_function_and_the_diagonal():
    u = np.random.default_rng(0).random((3, 40)) ** 2
    for row, area in zip(u, distance_from_uniform(u), strict=True):
        ends = np.unique(np.r_[0, row, 1, np.arange(41) / 40])
        expected = sum(
            integrate.quad(lambda t, row=row: abs((row <= t).mean() - t), a, b)[0] for a, b in itertools.pairwise(ends)
        )
        assert area == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 20, 300, 5000])
def test_the_noise_floor_is_the_mean_deviation_of_binomial_shares(n):
    # De Moivre's formula, integrated; 2,000 simulations: 4 standard errors.
    t = (np.arange(4000) + 0.5) / 4000
    most = np.floor(n * t) + 1
    mean = (2 * most * (1 - t) * stats.binom.pmf(most, n, t) / n).mean()
    assert expected_error(n) == pytest.approx(mean, rel=4 * 0.4 / 2000**0.5)
    if n > 10:
        assert mean == pytest.approx(0.3133 / n**0.5, rel=0.01)


@pytest.mark.parametrize("n", [30, 3000])
def test_the_p_value_of_true_predictions_is_uniform(n):
    # Kolmogorov-Smirnov at 1e-4: a false alarm in 1 of 10,000 seeds.
    mixture, times = normal(200 * n), 200
    u = pit(mixture, drawn(mixture, seed=1)).reshape(times, n)
    errors = distance_from_uniform(u.numpy())
    p = (simulated_errors(n)[:, None] >= errors).mean(0)
    assert stats.kstest(p, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("name", WRONG)
def test_the_error_of_wrong_predictions_stands_above_the_noise_floor(name):
    mixture = bimodal(1000)
    y = drawn(mixture, seed=1)
    found = calibration_error(WRONG[name](mixture), y)
    assert found.error > 3 * found.noise_floor
    assert found.p_value == pytest.approx(1 / 2001)
    right = calibration_error(mixture, y)
    assert right.error < 2 * right.noise_floor
    assert right.p_value > 0.01


def test_the_error_of_the_joint_density_is_that_of_ranks():
    mixture = bimodal(1000)
    y = drawn(mixture, seed=1)
    assert calibration_error(mixture, y, kind="region").p_value > 0.01
    assert calibration_error(without_a_mode(mixture), y, kind="region").p_value < 0.001


def test_the_error_is_averaged_over_target_dimensions_and_the_p_value_allows_for_them():
    mixture, _ = make(n=500, d=2)
    y = drawn(mixture, seed=1)
    y[:, 1] += 1.0
    found = calibration_error(mixture, y)
    one, two = (calibration_error(mixture.marginal(d), y[:, [d]]) for d in (0, 1))
    assert found.per_dimension.tolist() == pytest.approx([one.error, two.error])
    assert found.error == pytest.approx(0.5 * (one.error + two.error))
    assert found.p_value == pytest.approx(2 * min(one.p_value, two.p_value))


def test_an_error_prints_its_noise_floor():
    mixture = normal(1)
    text = repr(calibration_error(mixture, drawn(mixture)))
    assert text.startswith("CalibrationError(0.")
    assert "noise_floor=0." in text
    assert text.endswith("n_rows=1)")


def test_an_empty_set_has_no_calibration_error():
    with pytest.raises(InputError, match=r"^y must have at least 1 row for a calibration error; got 0\.$"):
        calibration_error(normal(3)[:0], torch.zeros(0, 1).double())
