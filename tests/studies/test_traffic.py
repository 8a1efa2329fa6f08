import math

import numpy as np
import pytest

from manymodes.studies.frame.along import Fork
from manymodes.studies.frame.comparison import Comparison, Problem
from manymodes.studies.frame.models import MDN
from manymodes.studies.traffic import Judged, of_splits, of_the_minute_before, two_speeds

Y = np.full(100, 60.0)
Y[30:34] = 20.0


def compared(*log_scores, slow=()):
    slow = slow or [math.nan] * len(log_scores)
    records = [{"log_score": score, "slow": each} for score, each in zip(log_scores, slow, strict=True)]
    return Comparison(Problem("p", lambda seed: None, {}), {MDN: records})


def judged(rows=(-2.5, -2.6), blocks=(-3.0, -3.1), aware=(-2.0, -2.2), stretches=(-9.0, -2.4), slow=(-40.0, math.nan)):
    of_stretches = compared(*stretches, slow=slow)
    return Judged(compared(*rows), compared(*blocks), of_stretches, compared(*aware))


def test_blocks_that_are_clearly_harder_than_rows_are_said_to_be():
    harder, _ = of_splits(judged(), Y)
    assert "part of what it rewards is memory" in harder


def test_blocks_that_differ_more_from_draw_to_draw_are_not_called_harder():
    first, _ = of_splits(judged(blocks=(-2.2, -3.2)), Y)
    assert "from draw to draw blocks differ 10 times as much" in first
    assert "memory" not in first


def test_the_jam_is_told_with_what_slow_readings_lose():
    _, jam = of_splits(judged(), Y)
    assert jam.startswith("All 4 readings below 45 mph fall within 0.0 hours.")
    assert "the mixture reaches -9, and -40 on the slow readings alone" in jam


def test_no_jam_is_told_where_no_stretch_with_one_judged():
    assert len(of_splits(judged(slow=(math.nan, math.nan)), Y)) == 1


def test_slow_readings_in_several_stretches_are_no_single_jam():
    spread = Y.copy()
    spread[90] = 20.0
    assert len(of_splits(judged(), spread)) == 1


@pytest.mark.parametrize(("aware", "words"), [((-2.0, -2.2), "was missing"), ((-4.0, -4.0), "does not help")])
def test_the_minute_before_is_praised_only_where_it_helps(aware, words):
    assert words in of_the_minute_before(judged(aware=aware))


def test_two_speeds_are_told_where_they_are():
    fork = Fork(1000.0, 1600.0, 1300.0, [(30.0, 0.1), (60.0, 0.9)])
    assert "At flows from 1000 to 1600" in two_speeds(fork)
    assert "30 mph (10%) and 60 mph (90%)" in two_speeds(fork)
    assert "no stretch" in two_speeds(None)
