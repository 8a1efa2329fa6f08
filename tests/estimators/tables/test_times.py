import numpy as np
import pandas as pd

from manymodes.estimators.tables.times import varying_parts
from manymodes.runtime import time_parts


def seconds(*texts):
    return (np.array(texts, dtype="datetime64[s]") - np.datetime64(0, "s")).astype(float)


def test_parts_are_those_of_a_calendar():
    times = pd.date_range("1965-12-28 00:30", periods=500, freq="163h")
    parts = time_parts(seconds(*times.values), ("of_year", "weekday", "of_day"))
    assert parts[:, 3].tolist() == times.day_of_week.tolist()
    day = np.where(times.is_leap_year, 366, 365)
    of_day = (times.hour + times.minute / 60) / 24
    turns = 2 * np.pi * (times.day_of_year - 1 + of_day) / day
    np.testing.assert_allclose(parts[:, 1:3], np.column_stack([np.sin(turns), np.cos(turns)]), atol=1e-9)
    np.testing.assert_allclose(parts[:, 5], np.cos(2 * np.pi * of_day), atol=1e-9)


def test_new_year_is_near_the_last_day_of_december():
    parts = time_parts(seconds("2023-12-31T23:00", "2024-01-01T01:00"), ("of_year",))
    assert np.linalg.norm(parts[0, 1:] - parts[1, 1:]) < 0.01


def test_only_parts_that_vary_are_kept():
    assert varying_parts(seconds("2024-01-01", "2024-01-02", "2024-01-09")) == ("weekday",)
    assert varying_parts(seconds("2024-01-01", "2024-01-08")) == ()
    assert varying_parts(seconds("2024-01-01T03:00", "2024-01-01T04:00")) == ("of_day",)
    assert varying_parts(seconds("2020-01-06", "2024-01-08")) == ("of_year",)


def test_a_missing_time_is_missing_once_and_in_the_middle_otherwise():
    parts = time_parts(np.array([np.nan, 0.0]), ("of_year", "weekday", "of_day"))
    assert np.isnan(parts).sum() == 1
    assert parts[0, 1:].tolist() == [0, 0, 3, 0, 0]
