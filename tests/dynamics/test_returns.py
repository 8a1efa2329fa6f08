import pytest
import torch

from manymodes.decisions import tail_risk
from manymodes.distributions import Mixture, PointMass
from manymodes.dynamics.returns import OBJECTIVES, cvar, mean, quantile

RETURNS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("level", [0.1, 0.25, 0.5])
def test_worst_cases_are_those_of_the_density_with_an_atom_at_each_particle(level):
    weights = torch.distributions.Categorical(torch.full((3, 20), 1 / 20, dtype=torch.float64))
    atoms = Mixture(weights, PointMass(RETURNS.T.unsqueeze(-1)))
    risk = tail_risk(atoms, 1 - level, tail="lower")
    torch.testing.assert_close(quantile(RETURNS, level), risk.value_at_risk[:, 0])
    torch.testing.assert_close(cvar(RETURNS, level), risk.expected_shortfall[:, 0])


def test_a_share_is_rounded_up_to_whole_particles():
    sorted_ = RETURNS.sort(0).values
    torch.testing.assert_close(cvar(RETURNS, 0.01), sorted_[0])
    torch.testing.assert_close(cvar(RETURNS, 0.11), sorted_[:3].mean(0))
    torch.testing.assert_close(cvar(RETURNS, 0.15), sorted_[:3].mean(0))  # 0.15 * 20 is a little more than 3


def test_caution_orders_objectives():
    assert (cvar(RETURNS, 0.2) <= quantile(RETURNS, 0.2)).all()
    assert (quantile(RETURNS, 0.2) <= mean(RETURNS, 0.2)).all()


def test_all_objectives_return_one_number_a_plan():
    assert {name: objective(RETURNS, 0.1).shape for name, objective in OBJECTIVES.items()} == dict.fromkeys(
        ("mean", "quantile", "cvar", "mean_state"), (3,)
    )
