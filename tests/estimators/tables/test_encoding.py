import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from manymodes._checks import InputError
from manymodes.estimators.tables.columns import Kind, RawTable, raw_table, read_column
from manymodes.estimators.tables.encoding import TableEncoder

N = 60
rng = np.random.default_rng(0)
HOLES = rng.random(N) < 0.2


def with_holes(values):
    return [None if hole else value for value, hole in zip(values, HOLES, strict=True)]


NUMBERS = rng.normal(size=N)
TEXT = rng.choice(["red", "green", "blue"], N)
TIMES = np.datetime64("2021-03-01T05:00", "us") + rng.integers(0, 5000, N).astype("timedelta64[h]")
COLUMNS = {
    "number": NUMBERS,
    "whole": rng.integers(0, 9, N),
    "flag": rng.random(N) > 0.5,
    "text": TEXT,
    "when": TIMES,
    "span": rng.integers(0, 99, N).astype("timedelta64[s]"),
    "gaps": np.where(HOLES, np.nan, NUMBERS[::-1]),
    "text_gaps": np.array(with_holes(TEXT[::-1]), dtype=object),
}


def frames():
    pandas = pd.DataFrame(COLUMNS)
    polars = pl.from_pandas(pandas)
    return {"pandas": pandas, "polars": polars, "pyarrow": polars.to_arrow(), "mapping": COLUMNS}


def encoded(X):
    table = raw_table(X)
    return TableEncoder.learn(table).encode(table)


# --- columns ---


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "mapping"])
def test_a_table_becomes_the_same_numbers_whatever_holds_it(kind):
    np.testing.assert_array_equal(encoded(frames()[kind]), encoded(frames()["pandas"]))


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(with_holes(range(N)), dtype="Int64"),
        pd.Series(with_holes(range(N)), dtype="float64[pyarrow]"),
        pd.Series(with_holes([Decimal(i) for i in range(N)]), dtype=object),
        pd.Series(with_holes(range(N)), dtype=object),
        pl.Series(with_holes(range(N)), dtype=pl.Int8),
        pl.Series(with_holes([Decimal(i) for i in range(N)]), dtype=pl.Decimal(10, 2)),
        pa.chunked_array([with_holes(range(N))]),
        pa.chunked_array([pa.array(with_holes(range(N)), pa.decimal128(10, 2))]),
    ],
    ids=lambda column: (
        f"{type(column).__module__.split('.')[0]} {getattr(column, 'dtype', getattr(column, 'type', ''))}"
    ),
)
def test_numbers_of_any_kind_are_numbers_with_their_gaps(column):
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[type(column).__module__.split(".")[0]]
    (name,), (values,) = (lambda t: (t.names, t.columns))(raw_table(frame({"a": column})))
    read = read_column(name, values)
    assert read.kind is Kind.NUMBER
    np.testing.assert_array_equal(read.values, np.where(HOLES, np.nan, np.arange(N)))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": pd.Series(with_holes(TEXT), dtype="category")}),
        pd.DataFrame({"a": pd.Series(with_holes(TEXT), dtype="string")}),
        pd.DataFrame({"a": pd.Series(with_holes(TEXT), dtype="string[pyarrow]")}),
        pl.DataFrame({"a": pl.Series(with_holes(TEXT), dtype=pl.Categorical)}),
        pl.DataFrame({"a": pl.Series(with_holes(TEXT), dtype=pl.Enum(["red", "green", "blue"]))}),
        pa.table({"a": pa.chunked_array([pa.array(with_holes(TEXT)).dictionary_encode()])}),
        {"a": np.array(with_holes(TEXT), dtype=object)},
    ],
    ids=range(7),
)
def test_text_and_categories_of_any_kind_are_categories(frame):
    table = raw_table(frame)
    encoder = TableEncoder.learn(table)
    assert encoder.columns[0].levels == ("blue", "green", "red")
    wanted = np.where(HOLES, 3, np.searchsorted(["blue", "green", "red"], TEXT))
    np.testing.assert_array_equal(encoder.encode(table)[:, 0], wanted)


@pytest.mark.parametrize(
    ("frame", "levels"),
    [
        (pd.DataFrame({"a": pd.Categorical(with_holes([7, 8] * (N // 2)))}), (7.0, 8.0)),
        (pd.DataFrame({"a": pd.Categorical(with_holes(["7", "8"] * (N // 2)))}), ("7", "8")),
        (pl.DataFrame({"a": pl.Series(with_holes(["7", "8"] * (N // 2)), dtype=pl.Categorical)}), ("7", "8")),
    ],
    ids=range(3),
)
def test_categories_that_look_like_numbers_are_categories(frame, levels):
    table = raw_table(frame)
    encoder = TableEncoder.learn(table)
    assert encoder.columns[0].levels == levels
    for same in ([7, 8], [7.0, 8.0], ["7", "8"]):
        assert encoder.encode(raw_table({"a": same}))[:, 0].tolist() == [0, 1]
    np.testing.assert_array_equal(encoder.encode(table)[:, 0], np.where(HOLES, 2, np.arange(N) % 2))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": TIMES}),
        pd.DataFrame({"a": pd.Series(TIMES).dt.tz_localize("Asia/Tokyo")}),
        pl.DataFrame({"a": TIMES}),
        pl.DataFrame({"a": TIMES}).with_columns(pl.col("a").dt.replace_time_zone("Asia/Tokyo")),
        pa.table({"a": TIMES}),
        {"a": [value.item() for value in TIMES]},
        {"a": [value.item().replace(tzinfo=datetime.UTC) for value in TIMES]},
    ],
    ids=range(7),
)
def test_points_in_time_of_any_kind_are_what_clocks_show(frame):
    (values,) = raw_table(frame).columns
    read = read_column("a", values)
    assert read.kind is Kind.TIME
    np.testing.assert_array_equal(read.values, (TIMES - np.datetime64(0, "us")) / np.timedelta64(1, "s"))


def test_text_that_spells_numbers_is_numbers_unless_it_is_named_a_category():
    table = RawTable(["a"], [np.array(["7", "1e3", None], dtype=object)])
    assert TableEncoder.learn(table).columns[0].kind == "number"
    assert TableEncoder.learn(table, [0]).columns[0].levels == ("1e3", "7")


@pytest.mark.parametrize("names", [[2**60 + 1, 2**60, None], [str(2**60 + 1), str(2**60), None]])
def test_names_that_double_precision_would_round_are_told_apart(names):
    names = [2**60 if name is None and isinstance(names[0], int) else name for name in names]
    table = raw_table({"a": names})
    categorical = [0] if isinstance(names[0], int) else []
    encoder = TableEncoder.learn(table, categorical)
    assert encoder.columns[0].levels == (str(2**60), str(2**60 + 1))
    assert encoder.encode(table)[:2, 0].tolist() == [1, 0]


def test_lists_are_judged_value_by_value_as_frames_are():
    assert TableEncoder.learn(raw_table({"a": [np.nan, "x", "y"]})).columns[0].has_missing
    with pytest.raises(InputError, match="^Column 'a' mixes True in row 1 with 'oops' in row 2"):
        TableEncoder.learn(raw_table({"a": [True, "oops"]}))
    spans = [datetime.timedelta(seconds=i) for i in range(5)]
    expected = encoded({"a": np.arange(5).astype("timedelta64[s]")})
    for column in (spans, pd.Series(spans, dtype=object), pl.Series(spans)):
        np.testing.assert_array_equal(encoded({"a": column}), expected)
    masked = np.ma.masked_array(np.arange(5.0), mask=[0, 0, 1, 0, 0])
    assert np.isnan(encoded({"a": masked})[2, 0])


def test_points_in_time_stay_in_their_zone():
    here = pd.DataFrame({"a": pd.Series(TIMES).dt.tz_localize("Asia/Tokyo")})
    encoder = TableEncoder.learn(raw_table(here))
    with pytest.raises(InputError) as caught:
        encoder.encode(raw_table(pd.DataFrame({"a": here.a.dt.tz_convert("UTC")})))
    assert str(caught.value) == (
        "Column 'a' is in the time zone UTC, and was in Asia/Tokyo in the fit; convert it to that."
    )
    with pytest.raises(InputError, match="^Column 'a' has no time zone, and was in Asia/Tokyo in the fit"):
        encoder.encode(raw_table(pd.DataFrame({"a": TIMES})))
    mixed = [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)]
    with pytest.raises(InputError, match=r"^Column 'a' must be in one time zone; got '', 'UTC'\. Convert it\.$"):
        TableEncoder.learn(raw_table({"a": mixed}))


def test_text_takes_no_numbers_that_it_did_not_spell_and_no_gaps():
    encoder = TableEncoder.learn(raw_table({"a": ["x", "y"]}))
    for other, got in (([1.5, 2.5], "numbers"), (TIMES[:2], "points in time")):
        with pytest.raises(InputError, match=f"^Column 'a' holds {got}, and text in the fit"):
            encoder.encode(raw_table({"a": other}))
    with pytest.raises(InputError, match="^Column 'a' has 1 missing value"):
        encoder.encode(raw_table({"a": ["x", None]}))


def test_numbers_too_large_for_anything_are_refused():
    with pytest.raises(InputError, match="^Column 'a' has 1 infinite or huge value"):
        TableEncoder.learn(raw_table({"a": [10**400, 1]}))


@pytest.mark.parametrize("frame", [pd.DataFrame([[1, 2]], columns=["a", "a"]), pa.table([[1], [2]], names=["a", "a"])])
def test_two_columns_of_one_name_are_refused(frame):
    with pytest.raises(InputError, match=r"^column names must differ; got 'a' more than once\.$"):
        raw_table(frame)


# --- encoding ---


def test_the_order_of_columns_and_units_change_nothing_but_numbers_scale():
    names = list(COLUMNS)
    turned = {name: COLUMNS[name] for name in rng.permutation(names)}
    np.testing.assert_array_equal(encoded(turned), encoded(COLUMNS))
    numbers = {f"x{i}": rng.normal(size=N) for i in range(12)}
    other = {name: 1e-7 * column + 3 for name, column in reversed(numbers.items())}
    np.testing.assert_allclose(encoded(other), 1e-7 * encoded(numbers) + 3)


def test_a_level_that_the_fit_did_not_have_is_told_apart_from_all_others():
    encoder = TableEncoder.learn(RawTable(["a"], [np.array(["b", "a", "b"], dtype=object)]))
    new = RawTable(["a"], [np.array(["c", "b", "a"], dtype=object)])
    assert encoder.encode(new)[:, 0].tolist() == [-1, 1, 0]


def test_an_encoder_survives_json_and_a_category_may_be_missing():
    import json

    table = raw_table(COLUMNS)
    encoder = TableEncoder.learn(table, [1])
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(table), encoder.encode(table))
    n_levels = {code.name: code.n_levels for code in encoder.columns if code.kind == "category"}
    assert n_levels == {"whole": 9, "text": 3, "text_gaps": 4}
    assert len(encoder.categories) == 3
    assert len(encoder.gaps) == 1


def test_what_was_never_missing_may_not_be_missing_later_and_kinds_may_not_change():
    encoder = TableEncoder.learn(raw_table(COLUMNS))
    holes = {**COLUMNS, "number": np.where(np.arange(N) == 4, np.nan, NUMBERS)}
    with pytest.raises(InputError) as caught:
        encoder.encode(raw_table(holes, first_row=10))
    assert str(caught.value) == (
        "Column 'number' has 1 missing value (first: row 15), and none was missing in the fit, so nothing is known of "
        "what a missing one means; fill them in, or fit the model to a table that has some."
    )
    for name, column, kind in (
        ("number", TEXT, "text"),
        ("when", NUMBERS, "numbers"),
        ("flag", TIMES, "points in time"),
    ):
        with pytest.raises(
            InputError, match=f"^Column '{name}' holds {kind}, and .* in the fit; hand in what the model"
        ):
            encoder.encode(raw_table({**COLUMNS, name: column}))


def test_rows_are_encoded_alike_in_any_portion():
    table = raw_table(COLUMNS)
    encoder = TableEncoder.learn(table)
    parts = [encoder.encode(table.rows(first, first + 7)) for first in range(0, N, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), encoder.encode(table))


def test_columns_of_other_lengths_or_shapes_are_refused():
    with pytest.raises(InputError, match="^Column 'a' and column 'b' must have the same number of rows; got 2 and 3"):
        raw_table({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(InputError, match="^Column 'a' must be one value for each row; got an array of 2 axes"):
        read_column("a", np.zeros((3, 2)))


def test_a_level_has_one_number_whatever_stands_beside_it():
    ids = [2**53 - 3, 2**53 - 1, 2**60]
    encoder = TableEncoder.learn(raw_table({"a": ids}), [0])
    whole = encoder.encode(raw_table({"a": ids}))[:, 0]
    alone = [encoder.encode(raw_table({"a": np.array([name])}))[0, 0] for name in ids]
    assert whole.tolist() == alone
    assert sorted(alone) == [0, 1, 2]
    holes = pd.DataFrame({"a": pd.array([2**60 + 1, 2**60 + 2, None], dtype="Int64")})
    assert len(TableEncoder.learn(raw_table(holes), [0]).columns[0].levels) == 2


def test_text_that_a_reader_took_for_numbers_is_still_known():
    encoder = TableEncoder.learn(raw_table({"zip": ["01234", "90210", "A1"]}))
    assert encoder.encode(raw_table({"zip": np.array([1234.0, 90210.0, 5.0])}))[:, 0].tolist() == [0, 1, -1]


def test_a_column_that_never_varied_says_nothing_whatever_its_kind():
    for column in (["x"] * 4, [7.0] * 4, [np.nan] * 4):
        encoder = TableEncoder.learn(raw_table({"a": column}))
        assert encoder.encode(raw_table({"a": ["anything"] * 2})).tolist() == [[0], [0]]
        assert encoder.categories == encoder.gaps == ()


def test_columns_that_differ_by_their_gaps_alone_have_an_order_too():
    first, second = np.where(HOLES, np.nan, 1.0), np.where(HOLES[::-1], np.nan, 1.0)
    np.testing.assert_array_equal(encoded({"a": first, "b": second}), encoded({"b": second, "a": first}))


def test_points_in_time_are_no_categories_and_declared_ones_may_be_many():
    with pytest.raises(InputError, match="^Column 'a' holds points in time, which are no categories"):
        TableEncoder.learn(raw_table({"a": TIMES}), [0])
    names = [f"name {i}" for i in range(N)]
    assert TableEncoder.learn(raw_table({"a": names}), [0]).columns[0].n_levels == N
    assert TableEncoder.learn(raw_table(pd.DataFrame({"a": pd.Categorical(names)}))).columns[0].n_levels == N


def test_names_that_are_the_same_as_text_are_refused():
    with pytest.raises(InputError, match=r"^column names must differ; got '1' more than once\.$"):
        raw_table({1: [1.0], "1": [2.0]})
