import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator

from manymodes._checks import InputError
from manymodes.distributions import Incomplete
from manymodes.estimators.targets.known import read_targets, refuse_unvaried

INF, NAN = np.inf, np.nan
Y = np.array([1.0, 2.0, 3.0])


def read(*ends, **options):
    return read_targets(BaseEstimator(), *ends, **options)


def test_exact_targets_are_a_tensor():
    assert torch.equal(read(Y).tensor(), torch.tensor(Y)[:, None])
    assert read(Y).ndim == 1
    named = read(pd.DataFrame({"a": Y, "b": -Y}))
    assert named.names == ["a", "b"]
    assert named.ndim == 2


def test_bounds_take_the_place_of_values():
    targets = read([1.0, NAN, 3.0], [NAN, 1.5, NAN], [NAN, NAN, 4.0])
    assert targets.low[:, 0].tolist() == [1, 1.5, -INF]
    assert targets.high[:, 0].tolist() == [1, INF, 4]
    np.testing.assert_array_equal(targets.values[:, 0], [1, NAN, NAN])
    assert isinstance(targets.tensor(), Incomplete)


def test_rounding_widens_what_is_exact_and_nothing_else():
    cells = read(Y, [NAN, NAN, 2.5]).tensor(rounding=0.2)
    torch.testing.assert_close(cells.low[:, 0], torch.tensor([0.9, 1.9, 2.5], dtype=torch.float64))
    torch.testing.assert_close(cells.high[:, 0], torch.tensor([1.1, 2.1, INF], dtype=torch.float64))


def test_a_missing_target_is_no_target_where_that_is_allowed():
    y = np.array([[1.0, NAN], [2.0, 5.0]])
    low = read(y, allow_missing=True).tensor().low
    assert low.tolist() == [[1, -INF], [2, 5]]
    with pytest.raises(InputError) as caught:
        read(pd.DataFrame(y, columns=["a", "b"]))
    assert str(caught.value) == (
        "Column 'b' has 1 missing value (NaN; first: row 1), and a target may have none; drop those rows, or pass "
        "allow_missing_targets=True."
    )


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (
            (Y, [4, NAN, NAN], [3, NAN, NAN]),
            "y_lower must be <= y_upper; got y=1, y_lower=4 and y_upper=3 first in row 1.",
        ),
        (
            (Y, [NAN, 2.5, NAN]),
            "y must lie between y_lower and y_upper where it is given; got y=2, y_lower=2.5 and y_upper=inf first in "
            "row 2.",
        ),
        ((Y, [1.0, 2.0]), r"y_lower must have shape (3,) to match y; got (2,)."),
        ((Y, None, [[1.0], [2.0]]), r"y_upper must have shape (3,) to match y; got (2, 1)."),
        ((None,), "BaseEstimator requires y to be passed, but the target y is None."),
        ((np.ones((2, 2, 2)),), "y must have shape (N,) or (N, D); got (2, 2, 2)."),
    ],
)
def test_what_contradicts_itself_is_refused(ends, sentence):
    with pytest.raises(ValueError, match=".") as caught:
        read(*ends)
    assert str(caught.value).startswith(sentence) or "dim 3" in str(caught.value)


def test_a_target_that_nobody_knows_or_that_never_changes_is_refused():
    with pytest.raises(InputError, match=r"^column 0 of y must be known in some rows; got none\.$"):
        refuse_unvaried(read([NAN, NAN], allow_missing=True))
    with pytest.raises(InputError, match=r"^target 'a' must take at least two different values; all 3 rows have 2\.$"):
        refuse_unvaried(read(pd.Series([2.0, 2.0, NAN], name="a"), allow_missing=True))
    refuse_unvaried(read([NAN, 2.0], [1.0, NAN]))


def test_columns_are_matched_by_name():
    targets = read(pd.DataFrame({"b": Y, "a": -Y}))
    assert targets.matched(["a", "b"]).values[0].tolist() == [-1, 1]
    with pytest.raises(InputError, match="^y has no column 'c'"):
        targets.matched(["a", "c"])
