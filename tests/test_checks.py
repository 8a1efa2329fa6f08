import numpy as np
import pytest

from manymodes import _checks


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: _checks.integer_at_least("n_components", 0, 1), "n_components must be an integer >= 1; got 0."),
        (
            lambda: _checks.matches_shape("y", (128, 3), ("N", 2), "to match the head's target_dim=2"),
            "y must have shape (N, 2) to match the head's target_dim=2; got (128, 3).",
        ),
        (
            lambda: _checks.one_of("covariance_type", "diagonal", {"spherical": 1, "diag": 2}),
            "covariance_type must be one of 'diag', 'spherical'; got 'diagonal'.",
        ),
        (lambda: _checks.positive("lr", float("nan")), "lr must be a number > 0; got nan."),
        (
            lambda: _checks.number_between("dropout", 1.0, 0, 1, including=(0,)),
            "dropout must be a number >= 0 and < 1; got 1.0.",
        ),
        (
            lambda: _checks.known_columns(["prize"], ["size", "Price", "rooms"], "'houses.csv'"),
            "'houses.csv' has no column 'prize'; the nearest are 'size', 'Price'.",
        ),
        (
            lambda: _checks.known_columns(["qqq"], ["size", "rooms"], "'houses.csv'"),
            "'houses.csv' has no column 'qqq'; it begins with 'size', 'rooms'.",
        ),
        (
            lambda: _checks.same_rows("x", 3, "y", 4),
            "x and y must have the same number of rows; got 3 and 4.",
        ),
    ],
)
def test_a_refused_value_is_named_with_rule_and_remedy(call, sentence):
    with pytest.raises(_checks.InputError) as caught:
        call()
    assert str(caught.value) == sentence


@pytest.mark.parametrize("value", ["3", 2.0, None, True])
def test_a_value_of_the_wrong_type_is_a_type_error(value):
    with pytest.raises(TypeError, match="n_components must be an integer >= 1"):
        _checks.integer_at_least("n_components", value, 1)


def test_numpy_numbers_are_accepted():
    assert _checks.integer_at_least("n", np.int32(4), 1) == 4
    assert _checks.number_between("level", np.float32(0.5), 0, 1) == 0.5


@pytest.mark.parametrize("shape", [(4,), (4, 4), (3, 1), (2, 3, 2), ()])
def test_a_shape_that_torch_would_broadcast_is_refused(shape):
    with pytest.raises(_checks.InputError, match=r"y must have shape \(\.\.\., 4, 1\) to fit"):
        _checks.ends_with_shape("y", shape, (4, 1), "to fit")


@pytest.mark.parametrize("shape", [(4, 1), (7, 4, 1), (7, 1, 1), (1, 1)])
def test_sample_dimensions_and_explicit_ones_are_accepted(shape):
    _checks.ends_with_shape("y", shape, (4, 1), "to fit")
