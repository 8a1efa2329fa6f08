"""Blueprints: every kind of family that a head can be asked for, with targets that suit it.

``CASES`` is what the tests of heads and networks run over, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Blueprint,
    Component,
    Concatenation,
    Declared,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Log,
    Logistic,
    Logit,
    LogNormal,
    LowRankNormal,
    NegativeBinomial,
    PointMass,
    Poisson,
    Product,
    SphericalNormal,
    StudentT,
    Transformed,
    Truncated,
    VonMises,
    YeoJohnson,
    given,
)
from manymodes.distributions.blueprints import FamilyBlueprint, Units, as_blueprint
from manymodes.distributions.constraints import Scaling

Simulate = Callable[[Tensor, torch.Generator], Tensor]  # from a signal (N, D) in about [-2, 2] to targets (N, D)


@dataclass(frozen=True, eq=False)
class Case:
    """A family, as a head is asked for it.

    Attributes:
        name: What it is called in reports.
        make: Makes it for targets in other units: what is given in the units of y is multiplied.
        simulate: Draws targets of the right kind.
        target_dim: Number of target dimensions.
        n_components: Number of components.
    """

    name: str
    make: Callable[[float], type[Declared] | Blueprint]
    simulate: Simulate
    target_dim: int = 2
    n_components: int = 3

    @property
    def family(self) -> type[Declared] | Blueprint:
        return self.make(1.0)

    @property
    def scalings(self) -> tuple[Scaling, ...]:
        return as_blueprint(self.family).scalings(self.target_dim)

    def data(self, n: int = 200, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Return inputs (N, 2) and targets (N, D)."""
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        signal = (x[:, :1] + 0.3 * torch.arange(self.target_dim)).clamp(-2, 2)
        return x.to(dtype), self.simulate(signal, generator).to(dtype)


def _noise(signal: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(signal.shape, generator=generator, dtype=signal.dtype)


def real(signal: Tensor, generator: torch.Generator) -> Tensor:
    common = _noise(signal[:, :1], generator)
    return 5 + 2 * signal + common + 0.5 * _noise(signal, generator)


def positive(signal: Tensor, generator: torch.Generator) -> Tensor:
    return (signal + 0.5 * _noise(signal, generator)).exp()


def count(signal: Tensor, generator: torch.Generator) -> Tensor:
    return torch.poisson((1 + 0.7 * signal).exp(), generator=generator)


def angle(signal: Tensor, generator: torch.Generator) -> Tensor:
    return torch.remainder(signal + 0.4 * _noise(signal, generator) + math.pi, 2 * math.pi) - math.pi


def within(high: float) -> Simulate:
    return lambda signal, generator: high * torch.sigmoid(signal + 0.5 * _noise(signal, generator))


def zero(signal: Tensor, generator: torch.Generator) -> Tensor:
    return torch.zeros_like(signal)


def zero_or_positive(signal: Tensor, generator: torch.Generator) -> Tensor:
    return positive(signal, generator) * (torch.rand(signal.shape, generator=generator) < 0.6)


def half_line(signal: Tensor, generator: torch.Generator) -> Tensor:
    return (signal + 0.5 * _noise(signal, generator)).clamp_min(0.0)


def columns(*parts: Simulate) -> Simulate:
    return lambda signal, generator: torch.cat([part(signal[:, [i]], generator) for i, part in enumerate(parts)], -1)


def correlated_and_angle(signal: Tensor, generator: torch.Generator) -> Tensor:
    return torch.cat([real(signal[:, :2], generator), angle(signal[:, 2:], generator)], -1)


CASES = [
    Case("DiagonalNormal", lambda unit: DiagonalNormal, real),
    Case("SphericalNormal", lambda unit: SphericalNormal, real),
    Case("FullNormal", lambda unit: FullNormal, real),
    Case("LowRankNormal", lambda unit: LowRankNormal, real, target_dim=3),
    Case("LowRankNormal of rank 3", lambda unit: given(LowRankNormal, rank=3), real, target_dim=4),
    Case("StudentT", lambda unit: StudentT, real),
    Case("Laplace", lambda unit: Laplace, real),
    Case("Logistic", lambda unit: Logistic, real),
    Case("LogNormal", lambda unit: LogNormal, positive),
    Case("Gamma", lambda unit: Gamma, positive),
    Case("Beta", lambda unit: given(Beta, low=0, high=10 * unit), within(10)),
    Case("VonMises", lambda unit: VonMises, angle),
    Case("Poisson", lambda unit: Poisson, count),
    Case("NegativeBinomial", lambda unit: NegativeBinomial, count),
    Case("PointMass", lambda unit: given(PointMass, value=0.0), zero),
    Case(
        "Product",
        lambda unit: Product.of(DiagonalNormal, VonMises, Poisson),
        columns(real, angle, count),
        target_dim=3,
    ),
    Case(
        "Product with a block of two",
        lambda unit: Product.of((FullNormal, 2), VonMises),
        correlated_and_angle,
        target_dim=3,
    ),
    Case(
        "Product with atoms",
        lambda unit: Concatenation.of((Product.of(VonMises, PointMass), 1), (Product.of(VonMises, Gamma), 2)),
        columns(angle, zero_or_positive),
    ),
    Case(
        "Concatenation",
        lambda unit: Concatenation.of((PointMass, 1), (LogNormal, 3)),
        zero_or_positive,
        target_dim=1,
        n_components=4,
    ),
    Case("Truncated", lambda unit: Truncated.of(DiagonalNormal, low=0.0), half_line),
    Case("Log", lambda unit: Transformed.of(DiagonalNormal, Log()), positive),
    Case("Log of FullNormal", lambda unit: Transformed.of(FullNormal, Log()), positive),
    Case("Logit", lambda unit: Transformed.of(DiagonalNormal, Logit.on(0, 100 * unit)), within(100)),
    Case("YeoJohnson", lambda unit: Transformed.of(DiagonalNormal, YeoJohnson(power=0.5)), real),
]


def over(*chosen: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


every_case = over(*CASES)
learning = over(*(case for case in CASES if case.name != "PointMass"))  # nothing can be learned of one atom
scalable = over(*(case for case in CASES if any(scaling is not Scaling.NONE for scaling in case.scalings)))


def leaves(components: Component) -> list[Declared]:
    """Return the declared families that components are made of."""
    if isinstance(components, Declared):
        return [components]
    if isinstance(components, Product):
        return [leaf for block in components.blocks for leaf in leaves(block)]
    if isinstance(components, Concatenation):
        return [leaf for group in components.groups for leaf in leaves(group)]
    return leaves(components.base)


# --- blueprints themselves ---


@every_case
def test_slots_tell_all_that_a_family_is_built_of(case):
    blueprint = as_blueprint(case.family)
    values = {
        name: torch.eye(slot.shape[0]).expand(slot.n_components, *slot.shape)
        if len(slot.shape) == 2 and slot.shape[0] == slot.shape[1]
        else torch.full((slot.n_components, *slot.shape), 1.5)
        for name, slot in blueprint.slots(case.n_components, case.target_dim).items()
    }
    values = {name: value.expand(7, *value.shape) for name, value in values.items()}
    components = blueprint.build(values, torch.Size([7, case.n_components]), case.target_dim, Units())
    assert components.batch_shape == (7, case.n_components)
    assert components.event_shape == (case.target_dim,)
    for leaf in leaves(components):
        type(leaf)(**{name: getattr(leaf, name) for name in leaf.parameters}, validate_args=True)


def test_given_values_are_carried_into_scaled_units_and_back_exactly():
    blueprint = given(Beta, low=0.1, high=[0.7, 1e6 + 0.1])
    units = Units(torch.tensor([3.0, 1e5]).double(), torch.tensor([0.3, 7.0]).double())
    values = {name: torch.ones(1, 2, 2) for name in ("concentration1", "concentration0")}
    scaled = blueprint.build(values, torch.Size([1, 2]), 2, units)
    torch.testing.assert_close(scaled.low[0, 0].double(), (0.1 - units.shift) / units.scale, rtol=1e-6, atol=0)
    settled = blueprint.settled(scaled.transformed(torch.Tensor.double).affine(*units))
    assert settled.low.unique().tolist() == [0.1]
    assert settled.high[0, 0].tolist() == [0.7, 1e6 + 0.1]


def test_a_rank_is_that_of_the_factor():
    assert given(LowRankNormal, rank=3).slots(2, 5)["factor"].shape == (5, 3)
    assert FamilyBlueprint(LowRankNormal).slots(2, 5)["factor"].shape == (5, 2)
    assert FamilyBlueprint(LowRankNormal).slots(2, 1)["factor"].shape == (1, 1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: given(Beta, loc=1.0),
            "a given parameter of Beta must be one of 'high', 'low'; got 'loc'.",
        ),
        (lambda: given(DiagonalNormal, low=1.0), "DiagonalNormal has no parameter that can be given; got 'low'."),
        (lambda: given(LowRankNormal, rank=0), "rank must be an integer >= 1; got 0."),
        (lambda: given(DiagonalNormal, rank=2), "rank is a setting of LowRankNormal; DiagonalNormal has none."),
        (lambda: given(Beta, high=math.inf), "high must be finite for Beta; got inf."),
        (lambda: given(PointMass, value=[0.0, math.nan]), "value must be finite for PointMass; got [0.0, nan]."),
    ],
)
def test_what_cannot_be_given_is_refused(make, sentence):
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == sentence


def test_given_values_must_be_one_number_or_one_per_dimension():
    with pytest.raises(InputError) as caught:
        given(Beta, high=[1.0, 2.0]).slots(3, 3)
    assert str(caught.value) == "high must be a number or 3 numbers, one per target dimension; got [1.0, 2.0]."


def test_what_is_no_family_is_refused():
    for wrong in ("normal", torch.nn.Linear, Product):
        with pytest.raises(TypeError, match=r"^family must be a class of components or a blueprint, say"):
            as_blueprint(wrong)
