"""CRPS of angles: against its definition by distances around the circle, and in its limits."""

import math

import pytest
import scoringrules
import torch
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    Mixture,
    PointMass,
    VonMises,
)
from manymodes.metrics import circular

from .references import DOUBLE, at, column, mixed


def test_crps_of_angles_matches_its_definition_by_distances_around_the_circle():
    generator = torch.Generator().manual_seed(0)
    loc = 6 * torch.rand(6, 3, 1, generator=generator, **DOUBLE) - 3
    mixture = Mixture(Categorical(torch.rand(6, 3, generator=generator, **DOUBLE)), VonMises(loc, 5 * loc.abs() + 0.2))
    y = torch.tensor([-3.1, -1.0, 0.0, 0.5, 3.0, 9.0], **DOUBLE)[:, None]
    n = 1200  # the distance has a corner, which costs about 2 / n^2
    places = (torch.arange(n, **DOUBLE) / n - 0.5) * 2 * math.pi
    mass = mixture.log_prob(places.reshape(-1, 1, 1).expand(-1, 6, 1)).exp().T * 2 * math.pi / n
    distance = (torch.remainder(places - places[:, None] + math.pi, 2 * math.pi) - math.pi).abs()
    to_target = (torch.remainder(places - y + math.pi, 2 * math.pi) - math.pi).abs()
    expected = (mass * to_target).sum(-1) - 0.5 * torch.einsum("ni,nj,ij->n", mass, mass, distance)
    torch.testing.assert_close(metrics.crps(mixture, y), expected, rtol=0, atol=1e-5)


def test_series_and_integral_agree_for_angles(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    loc = 6 * torch.rand(40, 4, 1, generator=generator, **DOUBLE) - 3
    concentration = 10 ** (10 * torch.rand(40, 4, 1, generator=generator, **DOUBLE) - 5)
    mixture = Mixture(
        Categorical(torch.rand(40, 4, generator=generator, **DOUBLE)),
        Concatenation(VonMises(loc[:, :1], concentration[:, :1]), VonMises(loc[:, 1:], concentration[:, 1:])),
    )
    y = mixture.sample(generator=generator)
    series = metrics.crps(mixture, y)
    monkeypatch.setattr(circular, "_NARROW", 0.0)
    torch.testing.assert_close(metrics.crps(mixture, y), series, rtol=1e-9, atol=0)
    monkeypatch.setattr(circular, "_NARROW", 10.0)
    torch.testing.assert_close(metrics.crps(mixture, y), series, rtol=1e-9, atol=0)


def test_atoms_beside_angles_count():
    components = Concatenation(PointMass(column(2.0)), VonMises(column(-1.0), column(1e-9)))
    got = metrics.crps(mixed(components, 0.25, 0.75), at(2.0 - math.pi)).item()
    # Distances from the target: pi to the atom, pi / 2 on average to what is even; those of pairs are 0 or pi / 2.
    expected = 0.25 * math.pi + 0.75 * math.pi / 2 - 0.5 * (1 - 0.25**2) * math.pi / 2
    assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("concentration", [1e3, 1e5, 1e8])
@pytest.mark.parametrize("loc", [0.3, 3.1415, -3.0])
def test_crps_of_a_narrow_angle_is_that_of_a_normal(concentration, loc):
    width = concentration**-0.5
    got = metrics.crps(mixed(VonMises(column(loc), column(concentration))), at(loc + 0.7 * width))
    expected = scoringrules.crps_normal(0.7 * width, 0.0, width)
    assert got.item() == pytest.approx(expected, rel=0.5 / concentration)


def test_crps_of_a_uniform_angle_is_a_quarter_of_pi():
    got = metrics.crps(mixed(VonMises(column(1.0), column(1e-9))), at(2.0))
    assert got.item() == pytest.approx(math.pi / 4, rel=1e-9)


def test_turning_the_circle_changes_no_crps():
    loc, concentration = column(0.3, -2.0), column(3.0, 40.0)
    expected = metrics.crps(mixed(VonMises(loc, concentration), 0.4, 0.6), at(1.0))
    for turn in (0.5, 2.0, 3.0, -2.5):
        turned = mixed(VonMises(loc + turn, concentration), 0.4, 0.6)
        torch.testing.assert_close(metrics.crps(turned, at(1.0 + turn)), expected)


def test_an_infinite_angle_is_refused():
    with pytest.raises(InputError, match=r"^y must be finite where a target is an angle\.$"):
        metrics.crps(mixed(VonMises(column(0.0), column(1.0))), at(torch.inf))
