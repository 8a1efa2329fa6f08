import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import DoubleWell, make_double_well_paths
from manymodes.dynamics import rollout
from manymodes.dynamics.rollouts import advance

ACTIONS = np.zeros((5, 1))


def test_particles_begin_at_the_state_and_take_all_steps(fitted):
    paths = rollout(fitted, [0.5, 0.2], ACTIONS, n_particles=6, random_state=0)
    assert paths.shape == (6, 6, 2)
    torch.testing.assert_close(paths[:, 0], torch.tensor([0.5, 0.2], dtype=torch.float64).expand(6, 2))
    assert len(paths[:, -1, 0].unique()) == 6


def test_one_seed_gives_one_set_of_paths_and_a_generator_moves_on(fitted):
    first, second = (rollout(fitted, [0.5, 0.2], ACTIONS, n_particles=4, random_state=1) for _ in range(2))
    assert torch.equal(first, second)
    generator = torch.Generator().manual_seed(1)
    again, other = (rollout(fitted, [0.5, 0.2], ACTIONS, n_particles=4, random_state=generator) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_particles_of_the_exact_density_end_where_the_system_does():
    # Shares of 1,500 particles and as many paths: four standard errors, a false alarm in one of 15,000 seeds.
    paths = rollout(DoubleWell(), [0.3], np.zeros((20, 1)), n_particles=1500, random_state=0)[..., 0]
    simulated = make_double_well_paths(1500, 20, start=0.3, random_state=1)
    shares = [float((each[:, -1] > 0).mean()) for each in (paths.double().numpy(), simulated)]
    assert abs(shares[0] - shares[1]) < 4 * np.sqrt(2 * 0.25 / 1500)


def _drifting(monkeypatch, fitted):
    from manymodes.distributions import DiagonalNormal, Mixture

    def each(states, actions):
        drift = torch.tensor([-1.0, 1.0], dtype=states.dtype)[:, None, None]
        loc = (states + drift).unsqueeze(-2)
        weights = torch.distributions.Categorical(torch.ones(*states.shape[:2], 1))
        return Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 1e-9)))

    monkeypatch.setattr(fitted, "each", each)
    return fitted


def test_kept_members_are_followed_all_along_and_fresh_ones_are_not(monkeypatch, fitted):
    model = _drifting(monkeypatch, fitted)
    many = np.zeros((40, 1))
    kept = rollout(model, [0.0, 0.0], many, n_particles=20, random_state=0)[:, -1, 0]
    fresh = rollout(model, [0.0, 0.0], many, n_particles=20, members="fresh", random_state=0)[:, -1, 0]
    assert sorted(kept.round().tolist()) == [-40.0] * 10 + [40.0] * 10
    assert fresh.abs().max() < 40
    assert float(fresh.sum()) == pytest.approx(0.0, abs=1e-3)  # in each step half of them follow either member


def test_fresh_members_leave_every_particle_on_its_own_path(monkeypatch, fitted):
    paths = rollout(_drifting(monkeypatch, fitted), [0.0, 0.0], ACTIONS, n_particles=8, members="fresh", random_state=0)
    torch.testing.assert_close(paths.diff(dim=1).abs(), torch.ones(8, 5, 2, dtype=torch.float64))


def test_rows_that_are_alike_are_kicked_together():
    well = DoubleWell(kick_probability=0.5, kick=100.0)
    states, generator = torch.zeros(50, 6, 1), torch.Generator().manual_seed(0)
    together = advance(well, states, torch.zeros(6, 1), generator, alike=3)[..., 0].abs() > 50
    assert torch.equal(together[:, 0:1].expand(50, 3), together[:, :3])
    assert torch.equal(together[:, 3:4].expand(50, 3), together[:, 3:])
    assert not torch.equal(together[:, 0], together[:, 3])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"state": [[0.5, 0.2]]}, "state must have shape (D,) as one state; got (1, 2)."),
        ({"actions": np.zeros(5)}, "actions must have shape (T, A) as a sequence; got (5,)."),
        ({"n_particles": 5}, "n_particles must be a multiple of the model's 2 members; got 5."),
        ({"members": "all"}, "members must be one of 'fresh', 'kept'; got 'all'."),
    ],
)
def test_rollouts_that_cannot_be_are_refused(fitted, arguments, sentence):
    with pytest.raises(InputError) as refusal:
        rollout(fitted, **{"state": [0.5, 0.2], "actions": ACTIONS, "n_particles": 4, **arguments})
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("name", ["state", "actions"])
def test_particles_begin_and_act_with_finite_numbers_only(name):
    given = {"state": [0.0], "actions": [[0.0], [1.0]]}
    given[name] = [float("nan")] if name == "state" else [[0.0], [float("inf")]]
    with pytest.raises(InputError) as caught:
        rollout(DoubleWell(), **given)
    assert str(caught.value) == f"{name} must be finite; got NaN or infinity. Leave those out."
