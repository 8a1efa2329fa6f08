import copy
import datetime

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from manymodes._checks import InputError
from manymodes.estimators.tables import frames

DAYS = [datetime.datetime(2024, 1, day) for day in (3, 1, 2, 1)]
COLUMNS = {
    "size": [1.5, 2.5, np.nan, 4.5],
    "rooms": [3, 1, 2, 1],
    "town": ["Bern", None, "Ulm", "Bern"],
    "built": DAYS,
    "sold": [True, False, True, True],
}


def pandas_frame() -> pd.DataFrame:
    frame = pd.DataFrame(COLUMNS, index=[7, 7, 9, 7])
    frame["grade"] = pd.Categorical(["b", "a", "b", "b"], categories=["a", "b", "c"], ordered=True)
    frame["colour"] = pd.Categorical(["red", "blue", "red", None], categories=["blue", "green", "red"])
    frame["floors"] = pd.array([2, None, 1, 2], dtype="Int64")
    frame["note"] = pd.Series(["x", None, "y", "x"], dtype=object, index=frame.index)
    return frame


def polars_frame() -> pl.DataFrame:
    return pl.DataFrame(COLUMNS).with_columns(
        pl.Series("grade", ["b", "a", "b", "b"], dtype=pl.Enum(["a", "b", "c"])),
        pl.Series("colour", ["red", "blue", "red", None], dtype=pl.Categorical),
        pl.Series("floors", [2, None, 1, 2]),
    )


def arrow_table() -> pa.Table:
    return pa.Table.from_pandas(pandas_frame().drop(columns="note"), preserve_index=False)


def mapping() -> dict[str, object]:
    return {name: np.asarray(values) for name, values in COLUMNS.items()} | {"grade": polars_frame()["grade"]}


TABLES = {"pandas": pandas_frame, "polars": polars_frame, "pyarrow": arrow_table, "mapping": mapping}
KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table, "mapping": dict}
by_kind = pytest.mark.parametrize("kind", list(TABLES))


def types(X) -> list[object]:
    columns = (frames.column(X, place) for place in range(len(frames.column_names(X))))
    natives = [column.to_native() if isinstance(column, nw.Series) else column for column in columns]
    return [native.type if isinstance(native, pa.ChunkedArray) else native.dtype for native in natives]


def held(X) -> list[list[object]]:
    return [frames.keys(frames.column(X, place)) for place in range(len(frames.column_names(X)))]


# --- what a table holds ---


@by_kind
def test_a_table_tells_its_rows_and_columns(kind):
    X = TABLES[kind]()
    assert frames.n_rows(X) == 4
    assert frames.has_names(X)
    assert frames.column_names(X)[:6] == [*COLUMNS, "grade"]
    assert frames.cells(frames.column(X, 1)) == [3, 1, 2, 1]
    assert frames.cells(frames.column(X, 3)) == DAYS
    assert [frames.is_missing(cell) for cell in frames.cells(frames.column(X, 2))] == [False, True, False, False]


@pytest.mark.parametrize(
    "X", [np.eye(3)[:2], torch.eye(3)[:2], np.eye(3)[:2].tolist()], ids=["array", "tensor", "list"]
)
def test_an_array_has_places_for_names(X):
    assert frames.n_rows(X) == 2
    assert not frames.has_names(X)
    assert frames.column_names(X) == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(frames.column(X, 1), [0.0, 1.0])
    np.testing.assert_array_equal(frames.take_rows(X, np.array([1, 1, 0])), np.eye(3)[[1, 1, 0]])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, np.float64("nan"), np.datetime64("NaT")])
def test_what_does_not_equal_itself_is_missing(missing):
    assert frames.is_missing(missing)
    assert not any(frames.is_missing(cell) for cell in (0, "", np.float64(0), np.False_, False, DAYS[0]))


def test_a_lazy_frame_and_what_is_no_table_are_refused():
    with pytest.raises(TypeError, match=r"^a lazy frame holds no rows yet; hand in frame.collect\(\)\.$"):
        frames.n_rows(pl.LazyFrame({"a": [1]}))
    with pytest.raises(InputError, match=r"^X must have shape \(N, F\) as a table; got \(3,\)\.$"):
        frames.column_names(np.zeros(3))


# --- places ---


def test_columns_are_found_by_name_and_by_place_among_the_names_of_a_model():
    X = {"b": [1], "other": [2], "a": [3]}
    assert frames.places(X) == {"b": 0, "other": 1, "a": 2}
    assert frames.places(X, names=["a", "b"]) == {"a": 2, "b": 0}
    assert frames.places(X, [0, "b"], ["a", "b"]) == {"a": 2, "b": 0}
    assert frames.places(np.zeros((2, 2)), ["size"], ["size", "age"]) == {"size": 0}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["siez"], "X has no column 'siez'; the nearest is 'size'."),
        ([2], "feature must be an integer from 0 to 1; got 2."),
        ([], "features must name at least 1 feature; got none."),
        ("size", "features must be a list of column names or places, say ['age']; got 'size'."),
    ],
)
def test_a_feature_that_is_not_there_is_refused(wanted, sentence):
    with pytest.raises(InputError) as caught:
        frames.places({"size": [1.0], "rooms": [2]}, wanted)
    assert str(caught.value) == sentence


def test_an_array_of_other_width_than_a_models_is_refused():
    with pytest.raises(InputError, match=r"^X must have shape \(N, 2\) as the model was fitted with; got \(4, 3\)\.$"):
        frames.places(np.zeros((4, 3)), names=["a", "b"])


# --- rows and columns ---


@by_kind
def test_rows_come_in_the_order_of_their_places_with_their_types(kind):
    X = TABLES[kind]()
    some = frames.take_rows(X, np.array([2, 2, 0]))
    assert type(some) is KINDS[kind]
    assert types(some) == types(X)
    assert held(some) == [[column[2], column[2], column[0]] for column in held(X)]


def test_rows_of_a_pandas_frame_keep_their_labels_and_are_taken_by_place():
    assert frames.take_rows(pandas_frame(), np.array([2, 0])).index.tolist() == [9, 7]


@by_kind
def test_a_column_taken_from_other_rows_keeps_its_type_and_leaves_the_table_alone(kind):
    X, before = TABLES[kind](), held(TABLES[kind]())
    for place in range(len(before)):
        changed = frames.with_rows_of_column(X, place, np.array([3, 0, 1, 1]))
        assert type(changed) is KINDS[kind]
        assert types(changed) == types(X)
        expected = copy.copy(before)
        expected[place] = [before[place][row] for row in (3, 0, 1, 1)]
        assert held(changed) == expected
        assert frames.column_names(changed) == frames.column_names(X)
    assert held(X) == before


@by_kind
def test_a_constant_that_a_column_can_hold_keeps_its_type(kind):
    X, before = TABLES[kind](), held(TABLES[kind]())
    seen = {"size": 2.5, "rooms": 2, "town": "Ulm", "built": DAYS[1], "sold": False, "grade": "a"}
    unseen = {"size": 7.25, "rooms": 9, "built": datetime.datetime(2025, 5, 5), "grade": "c"}
    more = {} if kind == "mapping" else {"colour": "green", "floors": 5}
    for name, value in [*seen.items(), *unseen.items(), *more.items(), ("town", "Zug")]:
        place = frames.column_names(X).index(name)
        changed = frames.with_constant(X, place, value)
        assert type(changed) is KINDS[kind]
        assert frames.keys(frames.column(changed, place)) == [value] * 4
        assert frames.column(changed, place).dtype == frames.column(X, place).dtype
    assert held(X) == before


def test_a_pandas_constant_keeps_nullable_types_and_all_categories():
    X = pandas_frame()
    for name, value in {"floors": 5, "grade": "c", "colour": "green"}.items():
        changed = frames.with_constant(X, list(X.columns).index(name), value)
        assert changed[name].dtype == X[name].dtype
        assert changed.index.equals(X.index)


@by_kind
def test_a_constant_of_another_type_brings_its_own(kind):
    X = TABLES[kind]()
    names = frames.column_names(X)
    for name, value in {"rooms": 2.5, "grade": "z", "town": 3, "sold": "maybe"}.items():
        changed = frames.with_constant(X, names.index(name), value)
        assert frames.keys(frames.column(changed, names.index(name))) == [value] * 4


@by_kind
@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_a_missing_constant_empties_a_column_of_any_type(kind, nothing):
    X = TABLES[kind]()
    for place in range(len(frames.column_names(X))):
        changed = frames.with_constant(X, place, nothing)
        assert all(map(frames.is_missing, frames.cells(frames.column(changed, place))))


def test_constants_of_numpy_are_constants():
    for value in (np.float32(0.5), np.int64(4), np.str_("Ulm"), np.datetime64("2025-05-05"), np.bool_(True)):
        for X in (pandas_frame(), polars_frame(), arrow_table(), mapping()):
            place = {"f": 0, "i": 1, "U": 2, "M": 3, "b": 4}[value.dtype.kind]
            constant = frames.cells(frames.column(frames.with_constant(X, place, value), place))[0]
            assert constant == (datetime.datetime(2025, 5, 5) if place == 3 else value)


def test_an_array_takes_a_type_that_holds_the_new_column():
    X = np.arange(6).reshape(3, 2)
    assert frames.with_constant(X, 0, 7).dtype == X.dtype
    np.testing.assert_array_equal(frames.with_constant(X, 0, 2.5), [[2.5, 1], [2.5, 3], [2.5, 5]])
    assert frames.with_constant(X, 1, "red")[:, 1].tolist() == ["red"] * 3
    assert frames.with_constant(X, 1, "red")[:, 0].tolist() == [0, 2, 4]
    assert np.isnan(frames.with_constant(X, 1, None)[:, 1]).all()
    np.testing.assert_array_equal(X, np.arange(6).reshape(3, 2))


@by_kind
@pytest.mark.parametrize("donor", ["array", *TABLES])
def test_a_column_of_a_table_of_another_kind_is_taken_in(kind, donor):
    values = frames.column(TABLES[donor](), 1) if donor != "array" else np.array([3, 1, 2, 1])
    changed = frames.with_column(TABLES[kind](), 0, values)
    assert type(changed) is KINDS[kind]
    assert frames.cells(frames.column(changed, 0)) == [3, 1, 2, 1]
    np.testing.assert_array_equal(frames.with_column(np.zeros((4, 2)), 0, values)[:, 0], [3, 1, 2, 1])


# --- typical values ---


def test_few_numbers_and_times_are_all_typical_and_many_are_spread_by_rank():
    assert frames.typical_values(np.array([3, 1, 1, 2]), 3) == [1, 2, 3]
    assert frames.typical_values(np.arange(101.0) ** 2, 5) == [0, 25**2, 50**2, 75**2, 100**2]
    assert frames.typical_values(np.array([0.0] * 90 + [1.0, 2, 3, 4, 5]), 4) == [0.0, 5.0]
    for X in (pandas_frame(), polars_frame(), arrow_table(), mapping()):
        assert frames.typical_values(frames.column(X, 3), 9) == sorted(set(DAYS))
        assert frames.typical_values(frames.column(X, 0), 9) == [1.5, 2.5, 4.5]


def test_the_most_frequent_levels_of_text_categories_and_booleans_are_typical():
    for X in (pandas_frame(), polars_frame(), arrow_table(), mapping()):
        assert frames.typical_values(frames.column(X, 2), 9) == ["Bern", "Ulm"]
        assert frames.typical_values(frames.column(X, 2), 1) == ["Bern"]
        assert frames.typical_values(frames.column(X, 4), 9) == [True, False]
        assert frames.typical_values(frames.column(X, 5), 9) == ["b", "a"]
    codes = nw.from_native(pd.Series([5, 1, 5], dtype="category"), series_only=True)
    assert frames.typical_values(codes, 9) == [5, 1]


def test_dates_in_nanoseconds_stay_dates():
    days = np.array(["2024-01-03", "2024-01-01"], dtype="datetime64[ns]")
    assert frames.typical_values(days, 9) == [DAYS[1], DAYS[0]]


def test_rows_are_drawn_without_replacement_and_all_are_kept_where_few():
    generator = np.random.default_rng(0)
    assert frames.some_rows(np.zeros((5, 1)), 5, generator).tolist() == [0, 1, 2, 3, 4]
    drawn = frames.some_rows(np.zeros((50, 1)), 40, generator)
    assert len(set(drawn.tolist())) == 40
    assert (np.diff(drawn) > 0).all()


# --- new tables ---


@by_kind
def test_a_new_table_is_of_the_kind_of_the_old_one(kind):
    columns = {"a": np.array([1.5, 2.5]), "b": ["x", None], "c": DAYS[:2], "d": [1, 2.5], "e": np.array(["u", "v"])}
    new = frames.like(TABLES[kind](), columns)
    assert type(new) is KINDS[kind]
    assert frames.column_names(new) == list(columns)
    assert frames.cells(frames.column(new, 3)) == [1, 2.5]
    assert frames.cells(frames.column(new, 2)) == DAYS[:2]


def test_an_array_and_a_tensor_give_a_dict_of_arrays():
    for X in (np.zeros((2, 2)), torch.zeros(2, 2), [[0.0]]):
        new = frames.like(X, {"a": [1, 2], "b": ["x", "y"]})
        assert {name: type(values) for name, values in new.items()} == {"a": np.ndarray, "b": np.ndarray}


def test_a_pandas_index_is_handed_on_where_asked_for():
    X = pandas_frame()
    assert frames.like(X, {"a": [1, 2, 3, 4]}, index_of=X).index.tolist() == [7, 7, 9, 7]
    assert frames.like(X, {"a": [1, 2, 3, 4]}).index.tolist() == [0, 1, 2, 3]
