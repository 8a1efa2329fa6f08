import math

import pytest
import torch

from manymodes.distributions.integrals import integral

DOUBLE = {"dtype": torch.float64}

ENDS = torch.tensor([[0.0], [1.0]], **DOUBLE)
NOWHERE = torch.empty(0, 1, **DOUBLE)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (torch.ones_like, 1.0),
        (lambda z: z**14, 1 / 15),
        (lambda z: z.sqrt(), 2 / 3),
        (lambda z: z**-0.7, 1 / 0.3),
        (lambda z: (50 * z).sin(), (1 - math.cos(50)) / 50),
        (lambda z: (z - 0.3141).abs(), (0.3141**2 + 0.6859**2) / 2),
        (lambda z: (z > 0.123456).double(), 1 - 0.123456),
        (lambda z: torch.special.ndtr((z - 0.7) / 1e-6), 0.3),
        (lambda z: torch.special.ndtr(-z / 1e-4), 1e-4 / math.sqrt(2 * math.pi)),  # all of it next to an end
        (lambda z: 1 / (1 + (1e9 * z) ** 3), 1e-9 * 2 * math.pi / 3**1.5),
    ],
)
def test_hard_integrands_are_integrated(f, expected):
    assert integral(lambda z, row: f(z), NOWHERE, ENDS).item() == pytest.approx(expected, rel=1e-9)


def test_every_row_has_its_own_integrand_ends_and_places():
    power = torch.tensor([1.0, 2.0, 3.0], **DOUBLE)
    ends = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 4.0]], **DOUBLE)
    places = torch.tensor([[0.5, torch.nan, 3.0], [torch.inf, 1.0, 2.0]], **DOUBLE)
    got = integral(lambda z, row: z ** power[row], places, ends)
    torch.testing.assert_close(got, torch.tensor([0.5, 0.0, 60.0], **DOUBLE))


def test_jumps_at_known_places_cost_nothing():
    places, calls = torch.linspace(0, 1, 14, **DOUBLE)[:, None], []

    def steps(z, row):
        calls.append(z.shape[1])
        return (13 * z).floor()

    assert integral(steps, places, ENDS).item() == pytest.approx(6.0, rel=1e-14)
    assert sum(calls) <= 20


def test_half_of_a_narrow_step_at_the_end_of_a_panel_is_seen():
    # It lies between the last node of a panel and its end, where no node but the guards looks.
    centre, width = 0.5, 1e-4
    places = torch.tensor([[centre]], **DOUBLE)

    def f(z, row):
        return 1 + 1e-3 * torch.special.ndtr((z - centre) / width)

    assert integral(f, places, ENDS).item() == pytest.approx(1.0005, rel=1e-11)


def test_the_gradient_is_that_of_the_integral():
    rate = torch.tensor([1.0, 30.0], **DOUBLE, requires_grad=True)
    ends = ENDS.expand(2, 2)
    got = integral(lambda z, row: (-rate[row] * z).exp(), NOWHERE.expand(0, 2), ends)
    torch.testing.assert_close(got, -torch.expm1(-rate) / rate)
    (slope,) = torch.autograd.grad(got.sum(), rate)
    expected = ((1 + rate) * (-rate).exp() - 1) / rate**2
    torch.testing.assert_close(slope, expected.detach())


def test_integrals_that_vanish_end_soon_and_are_as_good_as_zero():
    calls = []

    def f(z, row):
        calls.append(z.numel())
        return torch.where(row == 0, z - 0.5, (2 * math.pi * z).sin() * 1e6)

    ends = ENDS.expand(2, 2).contiguous()
    got = integral(f, torch.empty(0, 2, **DOUBLE), ends)
    assert (got.abs() < torch.tensor([1e-12, 1e-6], **DOUBLE)).all()
    assert sum(calls) < 17 * 200
