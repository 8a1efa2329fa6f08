import numpy as np
import pytest

from manymodes._checks import InputError

from .small import long_frame, small, walk


@pytest.fixture(scope="module")
def fitted():
    return small(n_steps=1).fit(walk(80))


@pytest.fixture(scope="module")
def timed():
    return small(n_steps=1).fit(long_frame({"a": walk(80)}))


@pytest.fixture(scope="module")
def informed():
    return small(n_steps=1).fit(walk(80), walk(80, 1)[:, None])


def swapped(frame, one, other):
    order = np.arange(len(frame["y"]))
    order[[one, other]] = other, one
    return {name: values[order] for name, values in frame.items()}


FRAME = long_frame({"a": walk(40), "b": walk(40, 1)})


@pytest.mark.parametrize(
    ("series", "settings", "sentence"),
    [
        (
            swapped(FRAME, 3, 4),
            {},
            "ds must ascend; got 2024-01-01 03:00:00 in row 5 after 2024-01-01 04:00:00 in row 4 of series 'a'; sort "
            "the rows by time, or name the column that tells series apart as id_col.",
        ),
        (
            {name: values[[*range(45), 44, *range(45, 80)]] for name, values in FRAME.items()},
            {},
            "ds must hold each time once; got 2024-01-01 04:00:00 in rows 45 and 46 of series 'b'; drop one of them, "
            "or name the column that tells series apart as id_col.",
        ),
        (
            {name: np.delete(values, [10, 11]) for name, values in FRAME.items()},
            {},
            "ds must have no gaps; got 2024-01-01 09:00:00 in row 10 and then 2024-01-01 12:00:00 in row 11 of series "
            "'a', where a step is 1 hour; add the rows between, or set fill_gaps=True to take their values as missing.",
        ),
        (
            {"id": FRAME["unique_id"], "ds": FRAME["ds"], "y": FRAME["y"]},
            {},
            "ds must ascend; got 2024-01-01 in row 41 after 2024-01-02 15:00:00 in row 40; sort the rows by time, or "
            "name the column that tells series apart as id_col.",
        ),
        (
            {"unique_id": FRAME["unique_id"], "time": FRAME["ds"], "y": FRAME["y"]},
            {},
            "series has no column 'ds'; it begins with 'unique_id', 'time', 'y'.",
        ),
        (
            walk(20),
            {"horizon": 10},
            "horizon must be at most 9 for series of at most 20 steps, so that one is learned from and one held out; "
            "got 10.",
        ),
        (
            walk(20),
            {"horizon": 30},
            "horizon must be at most 9 for series of at most 20 steps, so that one is learned from and one held out; "
            "got 30.",
        ),
        (
            [walk(40), walk(12)],
            {"context": 10},
            "every series must have at least context + horizon = 14 steps; got 12 in series 1; lower context or "
            "horizon, or leave it out.",
        ),
        (
            walk(20),
            {"context": 14},
            "a series must have at least context + 2 horizon = 22 steps, the last of which are held out; got at most "
            "20; lower context or horizon.",
        ),
        (
            [walk(40), walk(4)],
            {"context": None},
            "every series must have at least horizon + 1 = 5 steps to be learned from; got 4 in series 1; lower "
            "horizon, or leave it out.",
        ),
        ([], {}, "series must hold at least 1 series; got none."),
        ({}, {}, "series must hold at least 1 series; got none."),
        (
            np.zeros((2, 3, 4)),
            {},
            "the series must have shape (T,) or (T, D), one row a step; got (2, 3, 4).",
        ),
        ([walk(40), np.full(40, np.nan)], {}, "series 1 must have at least 1 known value; got 40 missing ones."),
        ([walk(40), walk(40, 0, 2)], {}, "every series must have the same number of targets; got [1, 2]."),
        (
            np.where(np.arange(40) == 7, np.inf, 0.0),
            {},
            "the series must be within ±1e+150, or NaN where missing; got another value first in row 8.",
        ),
        (walk(40), {"mode": "recursive"}, "mode must be one of 'autoregressive', 'direct'; got 'recursive'."),
        (walk(40), {"scaling": "robust"}, "scaling must be one of 'panel', 'series', 'window'; got 'robust'."),
        (
            np.concatenate([walk(1), np.full(60, np.nan), walk(1)]),
            {},
            "series must have known values in some context of 6 steps and after it, early and at their ends; got "
            "missing ones alone.",
        ),
        (walk(40), {"horizon": 0}, "horizon must be an integer >= 1; got 0."),
        (FRAME, {"target_cols": ()}, "target_cols must name at least 1 column; got none."),
    ],
)
def test_series_that_cannot_be_learned_from_are_refused(series, settings, sentence):
    with pytest.raises(InputError) as error:
        small(**settings).fit(series)
    assert str(error.value) == sentence


def test_what_is_no_series_is_refused():
    sentence = r"^the series must be an array of numbers or a long data frame; got object\.$"
    with pytest.raises(TypeError, match=sentence):
        small().fit(object())


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"horizon": 5},
            "horizon must be at most 4, that of the fit, in direct mode; got 5; fit with a longer one, or with "
            "mode='autoregressive'.",
        ),
        (
            {"series": walk(5)},
            "every series must have at least context = 6 steps to go on from; got 5 in the series.",
        ),
        ({"series": walk(20, n_targets=2)}, "series must have 1 target, as in the fit; got 2."),
        ({"exogenous": np.zeros((4, 1))}, "exogenous must be left out, as in the fit; got some."),
    ],
)
def test_forecasts_that_cannot_be_made_are_refused(fitted, asked, sentence):
    with pytest.raises(InputError) as error:
        fitted.predict_distribution(**asked)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {},
            "exogenous must be known for 4 steps after the series; got no 'x0' for step 1.",
        ),
        (
            {"exogenous": np.zeros((3, 1))},
            "exogenous must be known for 4 steps after the series; got no 'x0' for step 4.",
        ),
        (
            {"exogenous": np.array([[0.0], [np.nan], [0.0], [0.0]])},
            "exogenous must be known for 4 steps after the series; got no 'x0' for step 2.",
        ),
        (
            {"exogenous": np.zeros((4, 2))},
            "exogenous must have as many columns as before (1, as in the fit); got [2].",
        ),
        (
            {"series": walk(20)},
            "exogenous must be handed in, as in the fit, with 'x0'; got none.",
        ),
        (
            {"series": walk(20), "exogenous": np.zeros((20, 1))},
            "exogenous must be known for 4 steps after the series; got no 'x0' for step 1.",
        ),
    ],
)
def test_a_future_of_which_too_little_is_known_is_refused(informed, asked, sentence):
    with pytest.raises(InputError) as error:
        informed.predict_distribution(**asked)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("exogenous", "sentence"),
    [
        (
            np.where(np.arange(40) == 3, np.nan, 1.0)[:, None],
            "exogenous must have no missing values where the series has rows; got no 'x0' in row 4 of it; fill it in.",
        ),
        (
            np.zeros((30, 1)),
            "exogenous must have no missing values where the series has rows; got no 'x0' in row 31 of it; fill it in.",
        ),
        (
            [np.zeros((40, 1)), np.zeros((40, 1))],
            "exogenous must hold one array for each series, as series does; got 2 arrays for 1 series.",
        ),
    ],
)
def test_a_past_of_which_too_little_is_known_is_refused(exogenous, sentence):
    with pytest.raises(InputError) as error:
        small().fit(walk(40), exogenous)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        (walk(20), "series must be a long data frame, as in the fit; got arrays."),
        (
            {"ds": np.arange(20), "y": walk(20)},
            "ds must hold points in time, as that of the series of the fit; got whole numbers.",
        ),
        (
            long_frame({"a": walk(20)}, step="D"),
            "ds must have no gaps; got 2024-01-01 in row 1 and then 2024-01-02 in row 2 of series 'a', where a step is "
            "1 hour; add the rows between, or set fill_gaps=True to take their values as missing.",
        ),
        (
            {"ds": np.datetime64("2024-01-01", "m") + 20 * np.arange(20), "y": walk(20)},
            "ds must follow one regular step; got 2024-01-01 00:20:00 in row 2, which lies between steps of 1 hour; "
            "resample the series to regular times.",
        ),
    ],
)
def test_series_of_another_kind_than_those_of_the_fit_are_refused(timed, series, sentence):
    with pytest.raises(InputError) as error:
        timed.predict(series=series)
    assert str(error.value) == sentence


def test_long_frames_without_a_future_are_told_when_it_is_missing():
    known = {**{name: FRAME[name] for name in ("unique_id", "ds")}, "x": FRAME["y"]}
    model = small(n_steps=1).fit(FRAME, known)
    with pytest.raises(InputError) as error:
        model.predict()
    assert str(error.value) == (
        "exogenous must be known for 4 steps after series 'a'; got no 'x' for step 1, 2024-01-02 16:00:00."
    )


def test_long_frames_must_know_something_of_every_series():
    known = {"unique_id": FRAME["unique_id"][:40], "ds": FRAME["ds"][:40], "x": FRAME["y"][:40]}
    with pytest.raises(InputError, match=r"^exogenous must have rows of every series; got none of series 'b'\.$"):
        small().fit(FRAME, known)


def test_covariates_between_the_steps_of_a_series_are_refused():
    frame = long_frame({"a": walk(60)}, step="W")
    beside = {"unique_id": frame["unique_id"], "ds": frame["ds"] + np.timedelta64(3, "D"), "x": walk(60, 1)}
    with pytest.raises(InputError) as caught:
        small().fit(frame, beside)
    assert str(caught.value) == (
        "ds of series 'a' in exogenous must lie on the steps of series 'a'; got 2023-12-31, between two of them."
    )


def test_one_time_far_away_is_refused_instead_of_filling_everything_between():
    frame = long_frame({"a": walk(60)}, step="s")
    frame["ds"][-1] += np.timedelta64(20_000, "D")
    with pytest.raises(InputError) as caught:
        small(fill_gaps=True).fit(frame)
    assert str(caught.value) == (
        "ds must not leave out nearly everything; got 2024-01-01 00:00:58 in row 59 and then 2078-10-04 00:00:59 in "
        "row 60 of series 'a', where a step is 1 second; drop such rows."
    )


def test_times_are_no_values():
    with pytest.raises(TypeError) as caught:
        small().fit(np.arange(60).astype("datetime64[D]"))
    assert str(caught.value) == "the series must be an array of real numbers; got datetime64[D]."
