"""A collection of nasty tables: each is fitted and says something useful, or is refused in one sentence."""

import numpy as np
import pandas as pd
import pytest

from manymodes._checks import InputError
from manymodes.estimators import MDNRegressor

from . import small

N = 80
SMALL = {**small.SMALL, "n_components": 3, "max_epochs": 30}


def rng():
    return np.random.default_rng(0)


def table(n=N, **columns):
    """Return a frame with one feature that decides the target, and the target."""
    x = rng().normal(size=n)
    return pd.DataFrame({"x": x, **columns}), 2 * x + 0.1 * np.random.default_rng(1).normal(size=n)


def scaled(x_unit, y_unit):
    X, y = table()
    return X * x_unit, y * y_unit


def wide():
    noise = np.random.default_rng(2).normal(size=(N, 999))
    X, y = table()
    return pd.concat([X, pd.DataFrame(noise, columns=[f"n{i}" for i in range(999)])], axis=1), y


def repeated_rows():
    X, y = table()
    return pd.concat([X.iloc[:20]] * 4, ignore_index=True), np.tile(y[:20], 4)


SURVIVED = {
    "tiny features and targets": (lambda: scaled(1e-12, 1e-12), None),
    "huge features and targets": (lambda: scaled(1e12, 1e12), None),
    "tiny features, huge targets": (lambda: scaled(1e-12, 1e12), None),
    "an offset that dwarfs what varies": (lambda: (table()[0] + 1e9, table()[1] - 1e9), None),
    "a constant column": (lambda: table(c=7.0), "Column 'c' is the same in every row: it is not used."),
    "a constant text": (lambda: table(c="red"), "Column 'c' is the same in every row: it is not used."),
    "nothing but a constant column": (
        lambda: (pd.DataFrame({"c": np.ones(N)}), rng().normal(size=N)),
        "Column 'c' is the same in every row: it is not used.",
    ),
    "ten rows": (lambda: table(10), None),
    "two rows": (lambda: table(2), None),
    "a thousand columns": (wide, None),
    "a column that is missing throughout": (
        lambda: table(gone=np.nan),
        "Column 'gone' is missing in every row: it is not used.",
    ),
    "nothing but missing values": (
        lambda: (pd.DataFrame({"gone": np.full(N, np.nan)}), rng().normal(size=N)),
        "Column 'gone' is missing in every row: it is not used.",
    ),
    "a column with a single value that is known": (
        lambda: table(rare=[1.0] + [np.nan] * (N - 1)),
        "Column 'rare' has missing values, which count as such.",
    ),
    "a column twice": (
        lambda: (table()[0].assign(again=table()[0].x), table()[1]),
        "Column 'again' repeats 'x' in every row.",
    ),
    "rows four times": (repeated_rows, None),
    "integers beyond 64 bits": (
        lambda: table(big=[10 ** (30 + i % 3) for i in range(N)]),
        "Column 'big' holds whole numbers beyond 2**53, which are rounded; if they are names, hand them in as text or "
        "under categorical_features.",
    ),
    "the ends of 64-bit integers": (
        lambda: table(low=np.iinfo(np.int64).min, high=np.arange(N, dtype=np.uint64) + np.uint64(2**64 - N)),
        "Columns 'low', 'high' hold whole numbers beyond 2**53, which are rounded; if they are names, hand them in as "
        "text or under categorical_features.",
    ),
    "a gross outlier": (lambda: (table()[0].assign(x=lambda X: X.x.where(X.index > 0, 1e100)), table()[1]), None),
    "a category for nearly every row": (lambda: table(who=[f"name {i}" for i in range(20)] * 4), None),
    "a date throughout": (
        lambda: table(day=pd.Timestamp("2024-02-29")),
        "Column 'day' is the same in every row: it is not used.",
    ),
    "one of two targets in another world": (
        lambda: (table()[0], np.column_stack([table()[1], 1e12 * table()[1] ** 2])),
        None,
    ),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_a_nasty_table_is_survived_and_what_is_odd_is_told(name):
    make, note = SURVIVED[name]
    X, y = make()
    model = MDNRegressor(**SMALL).fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert np.isfinite(model.log_prob(X, y)).all()
    assert model.history_.skipped_batches == 0
    notes = model.feature_notes()
    assert (note in notes) if note else not notes or "repeats" in notes[0]


REFUSED = {
    "an infinite feature": (
        lambda: table(a=[np.inf] + [1.0] * (N - 1)),
        "Column 'a' has 1 infinite or huge value (first: row 1), and a feature may have none; drop those rows or leave "
        "the cells empty.",
    ),
    "an infinite target": (
        lambda: (table()[0], pd.Series(np.where(np.arange(N) == 2, np.inf, table()[1]), name="price")),
        "Column 'price' must be finite and within ±1e+150; got another value first in row 3. Drop those rows, or hand "
        "in a bound as y_lower or y_upper.",
    ),
    "a single distinct target": (
        lambda: (table()[0], np.full(N, 3.0)),
        "column 0 of y must take at least two different values; all 80 rows have 3.",
    ),
    "a missing target": (
        lambda: (table()[0], np.where(np.arange(N) < 2, np.nan, table()[1])),
        "Column 0 of y has 2 missing values (NaN; first: row 1), and a target may have none; drop those rows, or pass "
        "allow_missing_targets=True.",
    ),
    "one row": (lambda: (table(1)[0], np.array([1.0])), "X must have at least 2 rows; got 1 sample."),
    "no column": (
        lambda: (pd.DataFrame(index=range(N)), table()[1]),
        "a table must have at least one feature column; got none.",
    ),
    "a text for every row": (
        lambda: table(who=[f"name {i}" for i in range(N)]),
        "Column 'who' holds 80 different texts in 80 rows, too many for categories; leave it out, turn it into fewer "
        "ones, or name it under categorical_features.",
    ),
    "numbers and text in one column": (
        lambda: table(mix=[1, "one"] * (N // 2)),
        "Column 'mix' mixes 1 in row 1 with 'one' in row 2; a feature must hold numbers alone, or text, or times.",
    ),
    "lists in a column": (
        lambda: table(lists=[[1, 2]] * N),
        "Column 'lists' holds [1, 2] in row 1, and a feature must hold numbers, text or times; leave it out or turn it "
        "into such.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hopeless_table_is_refused_in_one_sentence(name):
    make, sentence = REFUSED[name]
    with pytest.raises(InputError) as caught:
        MDNRegressor(**SMALL).fit(*make())
    assert str(caught.value) == sentence


def test_units_far_apart_change_no_prediction():
    X, y = table()
    expected = MDNRegressor(**SMALL).fit(X, y).predict(X)
    for unit in (1e-12, 1e12):
        own = MDNRegressor(**SMALL).fit(X * unit, y * unit).predict(X * unit)
        np.testing.assert_allclose(own / unit, expected, rtol=1e-4, atol=1e-4)


def test_a_thousand_columns_are_embedded_more_narrowly_than_ten():
    X, y = wide()
    assert MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(X, y).architecture_.embedding_width == 2
    assert MDNRegressor(**{**SMALL, "max_epochs": 1}).fit(X.iloc[:, :10], y).architecture_.embedding_width == 12
