import math

import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import Concatenation, DiagonalNormal, Mixture, PointMass, VonMises, medoid


def mixture(weights, loc, scale=0.1):
    loc = torch.tensor(loc, dtype=torch.float64)
    loc = loc.unsqueeze(-1) if loc.dim() == 1 else loc
    components = DiagonalNormal(loc.unsqueeze(0), torch.full_like(loc, scale).unsqueeze(0))
    return Mixture(Categorical(probs=torch.tensor([weights], dtype=torch.float64)), components)


def test_it_is_the_middle_answer_though_another_is_higher():
    density = mixture([0.35, 0.3, 0.35], [-4.0, 1.0, 5.0])
    assert density.mode.item() != pytest.approx(1.0, abs=0.1)
    assert medoid(density).item() == pytest.approx(1.0, abs=1e-6)


def test_it_is_the_heavier_of_two_answers_and_never_between_them():
    assert medoid(mixture([0.4, 0.6], [-2.0, 2.0])).item() == pytest.approx(2.0, abs=1e-6)


def test_a_bump_that_hardly_ever_happens_is_no_answer():
    assert medoid(mixture([0.47, 0.04, 0.49], [-2.0, 0.0, 2.0])).item() == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_one_dimension_do_not_matter(unit):
    loc = [[0.0, 0.0], [1.0, 3.0], [2.0, 0.0], [1.0, 0.9]]
    density = mixture([0.25, 0.25, 0.25, 0.25], loc)
    scaled = medoid(density.affine(0.0, torch.tensor([1.0, unit])))
    torch.testing.assert_close(scaled / torch.tensor([1.0, unit]), medoid(density))


def test_angles_are_near_across_the_cut():
    loc = torch.tensor([[[3.0], [-3.0], [1.5]]], dtype=torch.float64)
    components = VonMises(loc, torch.full_like(loc, 200.0))
    density = Mixture(Categorical(probs=torch.tensor([[0.34, 0.33, 0.33]], dtype=torch.float64)), components)
    assert abs(medoid(density).item()) == pytest.approx(3.0, abs=1e-4)
    assert abs(medoid(density).item() - 1.5) > math.pi / 4


def test_an_atom_may_be_the_answer():
    bulk = DiagonalNormal(torch.tensor([[[5.0], [9.0]]]).double(), torch.ones(1, 2, 1).double())
    components = Concatenation(PointMass(torch.zeros(1, 1, 1).double()), bulk)
    assert medoid(Mixture(Categorical(probs=torch.tensor([[0.8, 0.1, 0.1]]).double()), components)).item() == 0


def test_a_row_does_not_depend_on_the_others():
    first, second = mixture([0.4, 0.6], [-2.0, 2.0]), mixture([0.7, 0.3], [-3.0, 3.0])
    both = Mixture(
        Categorical(probs=torch.cat([first.weights, second.weights])),
        DiagonalNormal(
            torch.cat([first.components.loc, second.components.loc]),
            torch.cat([first.components.scale, second.components.scale]),
        ),
    )
    torch.testing.assert_close(medoid(both), torch.cat([medoid(first), medoid(second)]))
