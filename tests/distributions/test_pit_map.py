"""Maps of probabilities: exact, increasing, accurate in both tails."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manymodes._checks import InputError
from manymodes.distributions import PITMap

BENT = PITMap(torch.tensor([0.0, 0.1, 0.3, 0.7, 1.0]), torch.tensor([3.0, 1.0, 0.5, 0.2, 4.0]))
LEVELS = torch.linspace(0, 1, 1001, dtype=torch.float64)


def test_a_map_goes_from_zero_to_one_and_rises():
    values = BENT.forward(LEVELS)
    assert values[[0, -1]].tolist() == [0.0, 1.0]
    assert bool((values.diff() > 0).all())


def test_values_are_the_integral_of_the_slope():
    steps = torch.linspace(0, 0.83, 200_001, dtype=torch.float64)
    integral = torch.trapezoid(BENT.slope(steps), steps)
    assert BENT.forward(torch.tensor(0.83, dtype=torch.float64)).item() == pytest.approx(integral.item(), abs=1e-9)


@given(st.lists(st.floats(0.02, 50.0), min_size=2, max_size=9))
def test_the_inverse_undoes_the_map(slopes):
    some = PITMap(torch.linspace(0, 1, len(slopes)), torch.tensor(slopes))
    torch.testing.assert_close(some.inverse(some.forward(LEVELS)), LEVELS, rtol=1e-9, atol=1e-12)


def test_tiny_probabilities_keep_their_digits_in_both_tails():
    tiny = torch.tensor([1e-300, 1e-30, 1e-12], dtype=torch.float64)
    for pit_map in (BENT, BENT.mirrored):
        mapped = pit_map.forward(tiny)
        torch.testing.assert_close(mapped, tiny * pit_map.slopes[0], rtol=1e-9, atol=0.0)
        torch.testing.assert_close(pit_map.inverse(mapped), tiny, rtol=1e-9, atol=0.0)


def test_the_mirrored_map_is_what_is_above():
    torch.testing.assert_close(BENT.mirrored.forward(1 - LEVELS), 1 - BENT.forward(LEVELS), rtol=0, atol=1e-14)


def test_the_bend_is_the_derivative_of_the_log_slope():
    u = torch.linspace(0.02, 0.98, 50, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(BENT.slope(u).log().sum(), u)
    torch.testing.assert_close(BENT.bend(u).detach(), slope)


def test_a_secant_is_the_mean_slope_of_wide_and_of_narrow_gaps():
    low = torch.tensor([0.05, 0.5, 0.5], dtype=torch.float64)
    high = torch.tensor([0.9, 0.5 + 1e-9, 0.5], dtype=torch.float64)
    wide = (BENT.forward(high[0]) - BENT.forward(low[0])) / (high[0] - low[0])
    expected = torch.stack([wide, BENT.slope(low[1]), BENT.slope(low[2])])
    torch.testing.assert_close(BENT.secant(low, high), expected, rtol=1e-8, atol=0)


def test_the_identity_changes_nothing():
    assert PITMap.identity().changes_nothing
    assert not BENT.changes_nothing
    torch.testing.assert_close(PITMap.identity().forward(LEVELS), LEVELS)


@pytest.mark.parametrize(
    ("knots", "slopes", "message"),
    [
        ([0.0, 0.5], [1.0, 1.0], "knots must ascend from 0 to 1; got [0.0, 0.5]."),
        ([0.0, 0.6, 0.6, 1.0], [1.0] * 4, "knots must ascend from 0 to 1; got [0.0, 0.6, 0.6, 1.0]."),
        ([0.0, 1.0], [1.0, 0.0], "slopes must be > 0 and finite; got [1.0, 0.0]."),
        ([0.0, 1.0], [1.0], "slopes must have shape (2,) to match the knots; got (1,)."),
    ],
)
def test_what_is_no_increasing_map_is_refused(knots, slopes, message):
    with pytest.raises(InputError) as error:
        PITMap(torch.tensor(knots, dtype=torch.float64), torch.tensor(slopes, dtype=torch.float64))
    assert str(error.value) == message
