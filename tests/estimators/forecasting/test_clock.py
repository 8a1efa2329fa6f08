import numpy as np
import pytest

from manymodes._checks import InputError
from manymodes.estimators.forecasting.calendar import calendar, cycles_of
from manymodes.estimators.forecasting.clock import Times, find_clock, places, read_times


def times_of(texts, label=""):
    raw, _ = read_times("ds", np.asarray(texts, dtype="datetime64[us]"))
    return Times(raw, np.arange(len(raw)), label)


def span(first, last, step):
    return np.arange(np.datetime64(first, "us"), np.datetime64(last, "us"), step)


def clock_of(texts):
    return find_clock("ds", [times_of(texts)], are_points=True)


MONTH_ENDS = np.arange("2023-02", "2025-02", dtype="datetime64[M]").astype("datetime64[D]") - 1


@pytest.mark.parametrize(
    ("texts", "words", "seasons"),
    [
        (span("2024-01-01", "2024-01-05", np.timedelta64(1, "h")), "1 hour", (24, 168)),
        (span("2024-01-01", "2024-01-03", np.timedelta64(15, "m")), "15 minutes", (96, 672)),
        (span("2024-01-01", "2024-03-01", np.timedelta64(1, "D")), "1 day", (7, 14)),
        (span("2024-01-01", "2026-01-01", np.timedelta64(7, "D")), "1 week", (52, 104)),
        (np.arange("2020-01", "2024-01", dtype="datetime64[M]"), "1 month", (12, 24)),
        (np.arange("2020-01", "2024-01", 3, dtype="datetime64[M]"), "3 months", (4, 8)),
        (np.arange("2000", "2024", dtype="datetime64[Y]"), "12 months", (1, 2)),
        (MONTH_ENDS, "1 month", (12, 24)),
    ],
)
def test_the_step_and_the_seasons_of_regular_times_are_found(texts, words, seasons):
    clock = clock_of(texts)
    assert (clock.step_text, clock.seasons) == (words, seasons)


@pytest.mark.parametrize(
    "texts",
    [
        MONTH_ENDS,
        np.arange("2020-01", "2024-01", 3, dtype="datetime64[M]"),
        span("2024-01-01T06:00", "2024-01-05", np.timedelta64(1, "h")),
        [day for day in np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]") if np.is_busday(day)],
    ],
)
def test_times_on_a_grid_are_found_again_and_go_on_after_it(texts):
    known = np.asarray(texts, dtype="datetime64[us]")
    clock = clock_of(known[:-3])
    start, place = places("ds", clock, times_of(known[:-3]), fill_gaps=False)
    assert place.tolist() == list(range(len(known) - 3))
    counts = start + np.arange(len(known)) * clock.step
    assert clock.times(counts).tolist() == known.tolist()


def test_working_days_have_no_gaps_at_weekends():
    days = [day for day in np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]") if np.is_busday(day)]
    assert clock_of(days).step_text == "1 working day"


def test_whole_numbers_are_times_too():
    raw, are_points = read_times("ds", np.array([10, 20, 30]))
    clock = find_clock("ds", [Times(raw, np.arange(3), "")], are_points=are_points)
    assert clock.step == 10
    assert clock.times(np.array([40])).tolist() == [40]


def test_text_that_spells_dates_is_read_as_times():
    raw, are_points = read_times("ds", np.array(["2024-01-01", "2024-01-02 06:00:00"], dtype=object))
    assert are_points
    assert raw[1] - raw[0] == 30 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            ["2024-01-02", "2024-01-01"],
            "ds must ascend; got 2024-01-01 in row 2 after 2024-01-02 in row 1 of series 'a'; sort the rows by time, "
            "or name the column that tells series apart as id_col.",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-02"],
            "ds must hold each time once; got 2024-01-02 in rows 2 and 3 of series 'a'; drop one of them, or name the "
            "column that tells series apart as id_col.",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-06"],
            "ds must have no gaps; got 2024-01-03 in row 3 and then 2024-01-06 in row 4 of series 'a', where a step is "
            "1 day; add the rows between, or set fill_gaps=True to take their values as missing.",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04T06:30"],
            "ds must follow one regular step; got 2024-01-04 06:30:00 in row 4 of series 'a', which lies between "
            "steps of 1 day; resample the series to regular times.",
        ),
    ],
)
def test_times_out_of_order_or_off_the_grid_are_refused(texts, sentence):
    times = times_of(texts, " of series 'a'")
    with pytest.raises(InputError) as error:
        places("ds", find_clock("ds", [times], are_points=True), times, fill_gaps=False)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            np.array(["soon", "later"], dtype=object),
            "ds must hold times or whole numbers; got text that is no date, first 'soon'. Write times as 2024-01-31 or "
            "2024-01-31T18:00, or turn them into times.",
        ),
        (
            np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
            "ds must have a time in every row; got none in row 2.",
        ),
        (np.array([1.5, 2.0]), "ds must hold times or whole numbers; got 1.5 in row 1."),
    ],
)
def test_what_is_no_time_is_refused(values, sentence):
    with pytest.raises(InputError) as error:
        read_times("ds", values)
    assert str(error.value) == sentence


def test_a_history_tells_of_the_cycles_that_it_covers_twice_and_its_step_resolves():
    hours = times_of(span("2024-01-01", "2024-01-10", np.timedelta64(1, "h"))).raw
    days = times_of(span("2020-01-01", "2024-01-01", np.timedelta64(1, "D"))).raw
    for raw, cycles in ((hours, ("day",)), (days, ("week", "year"))):
        clock = find_clock("ds", [Times(raw, np.arange(len(raw)), "")], are_points=True)
        assert cycles_of(clock, raw[0], raw[-1]) == cycles


def test_clock_hands_come_back_after_a_cycle():
    hours = times_of(span("2024-01-01", "2024-01-10", np.timedelta64(1, "h"))).raw
    hands = calendar(clock_of(span("2024-01-01", "2024-01-10", np.timedelta64(1, "h"))), hours, ("day",))
    np.testing.assert_allclose(hands[24:48], hands[:24], atol=1e-9)
    assert np.linalg.norm(hands[:24] - hands[6], axis=1).argmin() == 6
