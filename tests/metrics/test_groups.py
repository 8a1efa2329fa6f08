"""Calibration of groups: wrong rows are found, and right ones are not accused."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, StudentT
from manymodes.metrics.calibration import coverage, pit
from manymodes.metrics.groups import calibration_by, holm

from .simulated import drawn, normal
from .test_scores import make


def wrong_where_x_is_large(n: int = 1000) -> tuple[Mixture, torch.Tensor, torch.Tensor]:
    """Return predictions that are too narrow by half for the largest fifth of x, targets and x."""
    truth = normal(n)
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    factor = torch.where(x > 0.8, 0.5, 1.0).reshape(n, 1, 1)
    parts = truth.components
    return truth.with_components(DiagonalNormal(parts.loc, factor * parts.scale)), drawn(truth, seed=1), x


def test_the_wrong_bin_comes_first_and_is_the_only_one_accused():
    mixture, y, x = wrong_where_x_is_large()
    found = calibration_by(mixture, y, x).groups
    assert len(found) == 5
    assert found[0].group == "0.8008 to 1"
    assert found[0].verdict.startswith("predictions are too narrow")
    assert found[0].adjusted_p_value < 1e-6
    assert found[0].coverage < found[0].coverage_low
    assert all(group.adjusted_p_value > 0.05 for group in found[1:])
    assert [group.p_value for group in found] == sorted(group.p_value for group in found)


def test_the_figures_of_a_group_are_those_of_its_rows_alone():
    mixture, y, x = wrong_where_x_is_large()
    (group,) = [group for group in calibration_by(mixture, y, x).groups if group.group.startswith("0 to")]
    rows = x <= torch.quantile(x, 0.2)
    assert group.n_rows == 200
    assert group.coverage == pytest.approx(coverage(mixture, y)[rows].mean().item())
    assert group.mean_pit == pytest.approx(pit(mixture, y)[rows].mean().item())
    low, high = stats.binom(200, 0.9).interval(0.95)
    assert (group.coverage_low, group.coverage_high) == pytest.approx((low / 200, high / 200))
    assert group.noise_floor == pytest.approx(0.3133 / 200**0.5, rel=0.05)


def test_the_predicted_spread_makes_groups_where_nothing_else_does():
    truth = normal(1000)
    width = truth.components.scale
    mixture = truth.with_components(DiagonalNormal(truth.components.loc, torch.where(width < 0.75, 0.5, 1.0) * width))
    found = calibration_by(mixture, drawn(truth, seed=2), n_bins=4)
    assert found.by == "predicted spread"
    assert float(found.groups[0].group.split(" to ")[1]) < 0.76 * 1.349  # the middle half of a standard normal
    assert found.groups[0].adjusted_p_value < 1e-6


@pytest.mark.parametrize("labels", [np.array(["a", "b"] * 500), torch.tensor([0, 1] * 500), np.array([0.0, 1.5] * 500)])
def test_labels_and_numbers_of_few_values_make_groups_of_their_own(labels):
    truth = normal(1000)
    found = calibration_by(truth, drawn(truth, seed=3), labels)
    assert {group.n_rows for group in found.groups} == {500}
    names = {"a", "b"} if labels.dtype == np.array(["a"]).dtype else {"0", "1", "1.5"}
    assert {group.group for group in found.groups} <= names


def test_numbers_with_many_ties_make_fewer_bins():
    truth = normal(400)
    by = torch.cat([torch.zeros(300), torch.arange(1, 101)])
    found = calibration_by(truth, drawn(truth, seed=4), by)
    assert sum(group.n_rows for group in found.groups) == 400
    assert "0 to 0" in {group.group for group in found.groups}


def test_each_target_dimension_is_judged_by_itself_and_ranks_all_together():
    mixture, _ = make(n=200, d=2)
    y = drawn(mixture, seed=1)
    assert {group.dim for group in calibration_by(mixture, y, n_bins=2).groups} == {0, 1}
    assert {group.dim for group in calibration_by(mixture, y, n_bins=2, kind="region").groups} == {0}


def test_holm_adjusts_as_he_wrote():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9]) == [0.9]
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_of_true_predictions_one_case_in_twenty_has_an_accused_group():
    # 200 cases: at most 20 with probability .998.
    accused = 0
    for seed in range(200):
        truth = normal(100, seed)
        found = calibration_by(truth, drawn(truth, seed=500 + seed), n_bins=5)
        accused += any(group.adjusted_p_value < 0.05 for group in found.groups)
    assert accused <= 20


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_groups_are_a_table_and_print_the_worst_first(backend):
    mixture, y, x = wrong_where_x_is_large()
    found = calibration_by(mixture, y, x)
    frame = found.to_frame(backend)
    assert list(frame.columns)[:4] == ["group", "dim", "n_rows", "coverage"]
    assert len(frame) == 5
    lines = repr(found).splitlines()
    assert lines[0] == "CalibrationBy(by, level=0.9, the worst first)"
    assert lines[1].startswith("  0.8008 to 1: n=200, coverage 0.")


def test_only_what_the_adjusted_test_finds_is_put_into_words():
    # 100 true predictions, each with a group in words with probability .05: more than 18 with probability 3e-7.
    in_words = 0
    for seed in range(100):
        truth = normal(300)
        found = calibration_by(truth, drawn(truth, seed=seed), torch.arange(300.0), n_bins=10)
        assert all(
            (group.verdict == "no sign of miscalibration") == (group.adjusted_p_value >= 0.05) for group in found.groups
        )
        in_words += any(group.adjusted_p_value < 0.05 for group in found.groups)
    assert in_words <= 18


def test_widths_of_few_rows_join_the_next():
    scale = torch.ones(60, 1, 1)
    scale[:2] = 2.0
    truth = Mixture(Categorical(torch.ones(60, 1)), DiagonalNormal(torch.zeros(60, 1, 1), scale))
    found = calibration_by(truth, drawn(truth))
    assert [(group.group, group.n_rows) for group in found.groups] == [("1.34898 to 2.69796", 60)]


def test_groups_that_cannot_be_made_are_refused():
    truth = normal(30)
    y = drawn(truth)
    with pytest.raises(InputError) as caught:
        calibration_by(truth, y)
    assert str(caught.value) == "y must have at least 100 rows for 5 bins of at least 20; got 30."
    with pytest.raises(InputError, match=r"^y must have at least 5 rows for calibration in groups; got 3\.$"):
        calibration_by(truth[:3], y[:3])
    with pytest.raises(InputError, match=r"^y must have at least 5 rows for group 'b'; got 2\.$"):
        calibration_by(truth, y, ["a"] * 28 + ["b"] * 2)
    with pytest.raises(InputError, match=r"^by must have shape \(30,\) with one for each row; got \(3,\)\.$"):
        calibration_by(truth, y, [1, 2, 3])
    with pytest.raises(InputError, match=r"^by must have no missing values; got nan in row 30\.$"):
        calibration_by(truth, y, [1.0] * 29 + [float("nan")])
    with pytest.raises(InputError, match=r"^by must hold finite numbers; got inf in row 30\.$"):
        calibration_by(truth, y, [1.0] * 29 + [float("inf")])
    with pytest.raises(InputError, match=r"^by must have no missing values; got None in row 1\.$"):
        calibration_by(truth, y, [None] + ["a"] * 29)


def test_the_predicted_spread_makes_groups_where_variances_are_infinite():
    truth = normal(200)
    heavy = Mixture(
        Categorical(torch.ones(200, 1).double()),
        StudentT(torch.full((200, 1, 1), 1.5).double(), truth.components.loc, truth.components.scale),
    )
    found = calibration_by(heavy, drawn(heavy), n_bins=2).groups
    assert {group.n_rows for group in found} == {100}


def test_names_of_bins_have_as_many_digits_as_tell_them_apart():
    truth = normal(200)
    by = 20_260_000 + np.arange(200)
    names = {group.group for group in calibration_by(truth, drawn(truth), by, n_bins=2).groups}
    assert names == {"20260000 to 20260099", "20260100 to 20260199"}


def test_numbers_of_few_values_have_different_names():
    truth = normal(200)
    by = np.array([1_000_000.25, 1_000_000.5] * 100)
    found = calibration_by(truth, drawn(truth), by).groups
    assert {group.group for group in found} == {"1000000.25", "1000000.5"}


def test_the_band_of_the_coverage_is_as_wide_as_asked():
    truth = normal(200)
    found = calibration_by(truth, drawn(truth), np.arange(200), n_bins=2, band=0.5)
    low, high = stats.binom(100, 0.9).interval(0.5)
    assert (found.groups[0].coverage_low, found.groups[0].coverage_high) == pytest.approx((low / 100, high / 100))
    assert found.band == 0.5
