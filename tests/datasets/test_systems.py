"""Both systems under control: the density that they state is the one that they draw from."""

import numpy as np
import pytest
import torch
from scipy import stats

from manymodes._checks import InputError
from manymodes.datasets import DoubleWell, SlippingCart, make_double_well, make_slipping_cart

SYSTEMS = {"double well": (DoubleWell(), make_double_well), "cart": (SlippingCart(), make_slipping_cart)}
every_system = pytest.mark.parametrize(("system", "make"), SYSTEMS.values(), ids=SYSTEMS)


@every_system
def test_logged_transitions_are_reproducible_and_within_their_ranges(system, make):
    states, actions, next_states = make(50, random_state=3)
    assert states.shape == next_states.shape == (50, len(system.state_names))
    assert actions.shape == (50, len(system.action_names))
    assert ((states >= system.state_range[0]) & (states <= system.state_range[1])).all()
    assert (np.abs(actions) <= 1).all()
    for part, again in zip((states, actions, next_states), make(50, random_state=3), strict=True):
        np.testing.assert_array_equal(part, again)


@every_system
def test_next_states_are_uniform_under_the_stated_cdf(system, make):
    # False alarm in one of 1,000 seeds for each dimension; this seed is fixed.
    states, actions, next_states = make(4000, random_state=0)
    density = system.predict_distribution(states, actions)
    y = torch.from_numpy(next_states)
    for dim in range(y.shape[-1]):
        level = density.marginal(dim).cdf(y[:, [dim]])[:, 0].numpy()
        assert stats.kstest(level, "uniform").pvalue > 1e-3


@every_system
def test_the_truth_takes_states_and_actions_side_by_side(system, make):
    states, actions, next_states, truth = make(20, return_density=True, random_state=0)
    y = torch.from_numpy(next_states)
    stated = system.predict_distribution(states, actions).log_prob(y)
    torch.testing.assert_close(truth(np.hstack([states, actions])).log_prob(y), stated)


@every_system
def test_a_step_moves_every_row_by_its_own_chance(system, make):
    rng = np.random.default_rng(0)
    state = np.repeat(system.start(1, rng), 500, 0)
    after = system.step(state, np.zeros((500, 1)), rng)
    assert after.shape == state.shape
    assert len(np.unique(after[:, 0])) == 500


@every_system
def test_a_reward_is_lower_where_the_system_has_failed(system, make):
    low, high = (torch.full((1, len(system.state_names)), at) for at in (-3.0, 3.5))
    beyond, short = (low, high) if isinstance(system, DoubleWell) else (high, low)
    zero = torch.zeros(1, 1)
    assert system.failed(beyond).item()
    assert not system.failed(short).item()
    near = torch.zeros_like(low) + system.goal
    assert system.reward(near, zero, near) > system.reward(near, zero, beyond) + system.loss


def test_single_precision_questions_get_single_precision_answers():
    density = SlippingCart().predict_distribution(torch.zeros(3, 2), torch.zeros(3, 1))
    assert density.log_prob(torch.zeros(3, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("states", "actions", "sentence"),
    [
        (np.zeros(3), np.zeros((3, 1)), "states must have shape (N, 1) as states of the system; got (3,)."),
        (
            np.zeros((3, 1)),
            np.zeros((3, 2)),
            "actions must have shape (N, 1) as actions on the system; got (3, 2).",
        ),
        (
            np.zeros((3, 1)),
            np.zeros((2, 1)),
            "states and actions must have the same number of rows; got 3 and 2.",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(states, actions, sentence):
    with pytest.raises(InputError) as refusal:
        DoubleWell().predict_distribution(states, actions)
    assert str(refusal.value) == sentence


def test_no_rows_are_refused():
    with pytest.raises(InputError, match=r"^n_rows must be an integer >= 1; got 0\.$"):
        make_double_well(0)
