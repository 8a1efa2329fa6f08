import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import Table
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.frame.comparison import Comparison, Problem
from manymodes.studies.frame.models import GAUSSIAN, MDN
from manymodes.studies.frame.work import Work
from manymodes.studies.rain import RAW, ZERO_GAMMA, ZERO_NORMAL, families, of_spikes, of_zero, year_of
from manymodes.studies.rain.scores import binned, chance_error, chance_floor, common_scores, ensemble_scores

RNG = np.random.default_rng(0)


def compared(reading=None, **log_scores):
    days = {"chance": np.full(20, 0.5), "happened": np.arange(20) % 2 == 0, "below": 0.2}
    records = {
        name: [{"reading": (reading or log_scores)[name], "log_score": value, **days}]
        for name, value in log_scores.items()
    }
    return Comparison(Problem("p", lambda seed: None, {}), records)


def test_the_crps_of_plain_numbers_is_its_definition():
    members, y = RNG.gamma(1.0, 2.0, (6, 11)), RNG.gamma(1.0, 2.0, 6)
    expected = [
        np.abs(row - fell).mean() - 0.5 * np.abs(row[:, None] - row).mean()
        for row, fell in zip(members, y, strict=True)
    ]
    assert ensemble_scores(members, y)["crps"] == pytest.approx(np.mean(expected))


def test_the_brier_score_of_plain_numbers_is_of_their_share():
    members, y = np.array([[0.0, 0.0, 0.2, 12.0], [0.0, 0.0, 0.0, 0.0]]), np.array([5.0, 0.0])
    found = ensemble_scores(members, y)
    assert found["rain"] == pytest.approx(0.5 * 0.5**2)
    assert found["heavy"] == pytest.approx(0.5 * 0.25**2)


def test_right_chances_have_a_small_error_and_wrong_ones_theirs():
    chance = RNG.random(20_000)
    happened = RNG.random(20_000) < chance
    assert chance_error(chance, happened) < 0.015  # of ten bins: sd of each below .012
    assert chance_error(np.full(1000, 0.9), np.arange(1000) % 2 == 0) == pytest.approx(0.4)


def test_the_floor_is_the_error_of_right_chances():
    chance = RNG.random(500)
    errors = [chance_error(chance, RNG.random(500) < chance) for _ in range(200)]
    assert chance_floor(chance) == pytest.approx(np.mean(errors), rel=0.1)  # sd of each mean about 2 %


def test_equal_chances_share_a_bin():
    chance = np.r_[np.zeros(50), np.ones(50)]
    said, seen, count = binned(chance, chance > 0)
    assert said.tolist() == seen.tolist() == [0.0, 1.0]
    assert count.tolist() == [50.0, 50.0]


def test_negative_amounts_are_read_as_no_rain():
    loc = torch.tensor([[[-5.0], [5.0]]]).double().expand(2, 2, 1)
    prediction = Mixture(
        Categorical(torch.tensor([[0.3, 0.7]]).double().expand(2, 2)), DiagonalNormal(loc, 0 * loc + 0.5)
    )
    found = common_scores(prediction, np.array([0.0, 5.0]))
    np.testing.assert_allclose(found["chance"], 0.7, atol=1e-6)
    assert found["below"] == pytest.approx(0.3, abs=1e-6)
    wet = math.log(0.7 * math.erf(0.1 / 2**0.5))
    assert found["reading"] == pytest.approx(0.5 * (math.log(0.3) + wet), abs=1e-6)
    assert found["happened"].tolist() == [False, True]


def test_a_year_is_judged_by_what_was_learned_before_it():
    dates = np.arange("2007-01-01", "2015-01-01", dtype="datetime64[D]").astype(str)
    members = RNG.gamma(1.0, 5.0, (len(dates), 11))
    data = Table(members, np.arange(len(dates), dtype=float), (), (), (), {"date": dates})
    year = year_of(Work("rain"), data, seed=6)  # they come round: the second of five
    assert {str(day)[:4] for day in year.dates} == {"2010"}
    assert year.part.y.max() < year.part.y_test.min()
    np.testing.assert_array_equal(year.part.y_test[year.order], np.flatnonzero([day[:4] == "2010" for day in dates]))
    np.testing.assert_allclose(year.part.X_test[:, :11] ** 2, np.sort(year.members, 1))


def test_what_a_point_mass_is_worth_is_explained_only_where_it_helps():
    helps = compared(**{ZERO_GAMMA: -4.4, MDN: -4.5, GAUSSIAN: -5.6, RAW: math.nan})
    assert "pay for it" in of_zero(helps)[0]
    assert "pay for it" not in of_zero(compared(**{ZERO_GAMMA: -4.6, MDN: -4.5, GAUSSIAN: -5.6, RAW: math.nan}))[0]


def test_spikes_at_zero_are_told_where_likelihood_and_readings_disagree():
    names = (MDN, GAUSSIAN)
    scores = dict(zip(names, (-2.4, -3.0), strict=True))
    assert "too." in of_spikes(compared(**scores), names)
    other = dict(zip(names, (-5.0, -4.7), strict=True))
    told = of_spikes(compared(other, **scores), names)
    assert f"the {MDN} is the most likely, but the {GAUSSIAN}" in told


def test_the_most_likely_family_is_named_with_its_distance():
    told = families(compared(**{ZERO_GAMMA: -3.2, ZERO_NORMAL: -3.1}))
    assert told == (
        f"Beside the point mass, the {ZERO_NORMAL} is the most likely; the difference is 0.1 nats to the {ZERO_GAMMA}."
    )
