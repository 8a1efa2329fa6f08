import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import Table
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.forecast import words
from manymodes.studies.forecast.electricity import (
    GAUSSIAN,
    LINEAR,
    MDN,
    Case,
    Judged,
    averaged,
    scores_table,
    series_of,
)
from manymodes.studies.forecast.returns import ALWAYS_ONE, DIAGONAL, Returns
from manymodes.studies.forecast.wells import EDGES, Wells, histogram, shares, training_paths

CASE = Case("load", "HUFL", "units", 24)
WEEK = np.repeat(np.arange(4), 8)  # of forecasts every 23 hours, 32 of them


def judged(case=CASE, **crps):
    """Return a case whose models have a CRPS of their own, which changes from week to week by as much for all."""
    names = {"mdn": MDN, "gaussian": GAUSSIAN, "linear": LINEAR}
    records = {
        names[name]: {
            "crps": value + WEEK,
            "coverage": np.full(len(WEEK), 0.88),
            "energy_score": 10 * value + WEEK,
        }
        for name, value in crps.items()
    }
    return Judged(case, records, np.zeros((3, 48)))


def wells(shift=0.0):
    """Return forecasts from two starts, of which the mixture has put some probability into the other well."""
    truth = np.zeros((2, len(EDGES) + 1))
    truth[:, 8], truth[:, 28] = (0.5, 0.25), (0.5, 0.75)
    moved = truth + shift * np.eye(len(EDGES) + 1)[8] - shift * np.eye(len(EDGES) + 1)[28]
    one = np.zeros_like(truth)
    one[:, 18] = 1.0
    return Wells(truth, {MDN: {"shares": moved}, GAUSSIAN: {"shares": one}})


def returns(mixture=-4.0):
    """Return two months of scores and a remainder that does not count."""
    score = {MDN: mixture, DIAGONAL: -4.5, ALWAYS_ONE: -4.75}
    return Returns({name: {"log_score": np.r_[np.full(20, v), np.full(20, v + 1), 99.0]} for name, v in score.items()})


def test_scores_are_means_over_weeks():
    value = judged(mdn=2.0, linear=2.5).value(MDN, "crps")
    assert value.mean == pytest.approx(3.5)
    assert value.error == pytest.approx(np.std([0, 1, 2, 3], ddof=1) / 2)


def test_scores_are_averaged_over_seeds_and_pictures_are_of_the_first():
    scores = ("crps", "coverage", "energy_score", "crps_by_step")
    one, two = ({name: np.full(3, value) for name in scores} | {"quantiles": value} for value in (1.0, 2.0))
    found = averaged([one, two])
    assert found["crps"].tolist() == [1.5, 1.5, 1.5]
    assert found["quantiles"] == 1.0


def test_differences_are_of_the_same_weeks():
    gap = judged(mdn=2.0, linear=2.5).difference(MDN, LINEAR, "crps")
    assert (gap.mean, gap.error) == (pytest.approx(-0.5), pytest.approx(0.0))


def test_the_table_has_all_horizons_side_by_side():
    later = Case("load", "HUFL", "units", 96)
    table = scores_table([judged(mdn=2.0, linear=2.5), judged(later, mdn=3.0, linear=2.0)])
    assert table.columns[1:4] == ["CRPS, 24\u00a0h", "inside 90\u00a0%, 24\u00a0h", "energy score, 24\u00a0h"]
    marks = table.marked()
    assert 1 in marks[0]
    assert 4 in marks[1]


def test_a_column_of_the_table_becomes_a_series():
    times = np.array(["2016-07-01T00", "2016-07-01T01"], "datetime64[s]")
    data = Table(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0]), ("HUFL", "x"), ("OT",), (), {"date": times})
    assert series_of(data, "HUFL")["y"].tolist() == [1.0, 3.0]
    assert series_of(data, "OT")["y"].tolist() == [5.0, 6.0]


def test_words_say_where_the_mixture_is_ahead_and_by_how_much():
    other = Case("oil temperature", "OT", "degrees", 24)
    overall, said = words.of_crps([judged(mdn=2.0, linear=2.5, gaussian=3.0), judged(other, mdn=2.1, linear=2.0)])
    assert overall.startswith("By CRPS the mixture forecaster is ahead of every other model in 1 of 2 cases")
    assert "Load, 24 hours: 12.5% lower than the best other, linear quantile regression." in said
    assert "Oil temperature, 24 hours: 2.9% higher than the best other, linear quantile regression." in said


def test_words_say_how_many_intervals_hold():
    assert words.of_coverage([judged(mdn=2.0)]).endswith(
        "in all 1 cases the share is within 3 points of that: 88.0% for the load, 24 hours."
    )


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.03, "found with the right probabilities"), (0.06, "not found to the precision asked for")],
)
def test_words_say_whether_both_futures_are_found(shift, verdict):
    found = wells(shift)
    assert found.distance(MDN, 0) == pytest.approx(shift)
    assert verdict in words.of_wells(found)
    assert f"{0.5 - shift:.0%} for the right well from 0 (truth 50%)" in words.of_wells(found)


def test_words_say_what_correlations_are_worth():
    said = words.of_returns(returns())
    assert "correlations within the components are worth 0.5 nats a day" in said
    assert f"Against {ALWAYS_ONE} the mixture differs by 0.75 nats" in said


def test_a_last_part_of_a_month_is_left_out():
    assert returns().monthly(MDN, "log_score").tolist() == [-4.0, -3.0]


def test_shares_of_a_density_are_those_of_its_samples():
    loc = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    weights = Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64))
    density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.4)))
    drawn = density.sample((100_000,), generator=torch.Generator().manual_seed(0))[:, 0].numpy()
    assert shares(density).sum() == pytest.approx(1.0)
    # 38 bins, standard error at most .0008 each: five of them
    np.testing.assert_allclose(histogram(drawn), shares(density), atol=0.004)


def test_bins_hold_what_lies_beyond_the_outermost_edges():
    share = histogram(np.array([-5.0, -1.85, 0.01, 1.85]))
    assert (share[0], share[-1], share.sum()) == (0.5, 0.25, 1.0)


def test_the_right_well_begins_at_the_barrier():
    found = histogram(np.array([-0.01, 0.01, 0.02, 1.0]))
    assert Wells(found[None], {}).right(0) == 0.75


def test_training_paths_begin_all_over_the_landscape():
    paths = np.stack(training_paths(60, 5, seed=3))
    assert paths.shape == (60, 6)
    assert paths[:, 0].min() < -1.2
    assert paths[:, 0].max() > 1.2
    assert math.isfinite(paths.sum())
