import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import DoubleWell
from manymodes.dynamics import CrossEntropyPlanner, run_episodes

WELL = DoubleWell()


def planner(**settings) -> CrossEntropyPlanner:
    settings = {"horizon": 3, "n_candidates": 12, "n_elites": 3, "n_rounds": 2, "n_particles": 4, **settings}
    return CrossEntropyPlanner(WELL, WELL.reward, *WELL.action_range, **settings)


def test_episodes_hold_states_actions_and_rewards_of_all_steps():
    happened = run_episodes(planner(), WELL, n_episodes=3, n_steps=5, random_state=0)
    assert happened.states.shape == (3, 6, 1)
    assert happened.actions.shape == (3, 5, 1)
    after = torch.from_numpy(happened.states[:, 1:])
    expected = WELL.reward(after, torch.from_numpy(happened.actions), after)
    np.testing.assert_allclose(happened.rewards, expected.numpy())
    np.testing.assert_allclose(happened.returns, happened.rewards.sum(1))


def test_one_seed_gives_one_course_of_events():
    first, second = (run_episodes(planner(), WELL, n_episodes=2, n_steps=3, random_state=4) for _ in range(2))
    np.testing.assert_array_equal(first.states, second.states)


def test_planners_that_do_the_same_meet_the_same_luck():
    still = {"low": (-1e-9,), "high": (1e-9,)}
    paths = [
        run_episodes(
            CrossEntropyPlanner(WELL, WELL.reward, **still, horizon=2, objective=objective, n_particles=4),
            WELL,
            n_episodes=2,
            n_steps=4,
            random_state=0,
        ).states
        for objective in ("mean", "mean_state")
    ]
    np.testing.assert_allclose(*paths, atol=1e-7)


def test_a_planner_holds_the_particle_nearer_to_its_goal_than_nobody_does():
    held = run_episodes(planner(horizon=6, n_candidates=32), WELL, n_episodes=10, n_steps=15, random_state=0)
    calm = np.abs(held.states[:, 8:, 0] - 0.6)
    assert np.median(calm) < 0.35  # left alone it would lie at 1, and doubt drives it a little up from 0.4


def test_no_episodes_are_refused():
    with pytest.raises(InputError, match=r"^n_episodes must be an integer >= 1; got 0\.$"):
        run_episodes(planner(), WELL, n_episodes=0)
