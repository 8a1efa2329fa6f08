import math

import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import DoubleWell, SlippingCart
from manymodes.dynamics import CrossEntropyPlanner

CALM = DoubleWell(noise=1e-3, kick_probability=0.0)
BOUNDS = DoubleWell.action_range


def to_the_right(states, actions, next_states):
    return next_states[..., 0]


def planner(model=CALM, reward=to_the_right, low=BOUNDS[0], high=BOUNDS[1], **settings) -> CrossEntropyPlanner:
    settings = {"horizon": 4, "n_candidates": 40, "n_particles": 8, **settings}
    return CrossEntropyPlanner(model, reward, low, high, **settings)


@pytest.mark.parametrize("objective", ["mean", "quantile", "cvar", "mean_state"])
def test_every_objective_finds_the_obvious_plan(objective):
    plan = planner(objective=objective).plan([[0.0], [0.5]], random_state=0)
    assert plan.actions.shape == (2, 4, 1)
    assert plan.value.shape == (2,)
    assert plan.actions[:, :3].min() > 0.8
    assert plan.actions.max() <= 1.0


def test_each_state_gets_the_plan_for_itself():
    def hold(states, actions, next_states):
        return -(next_states[..., 0] - 0.5).square()

    plan = planner(reward=hold).plan([[0.2], [0.8]], random_state=0)
    assert plan.actions[0, 0] > 0.5
    assert plan.actions[1, 0] < -0.5


def test_one_seed_gives_one_plan():
    first, second = (planner().plan([[0.3]], random_state=3).actions for _ in range(2))
    assert torch.equal(first, second)


def test_a_plan_goes_on_from_the_one_before():
    once = planner(n_rounds=1, n_candidates=8, n_elites=1)
    good = torch.ones(1, 4, 1)
    torch.testing.assert_close(once.plan([[0.0]], before=good, random_state=0).actions, good)


def test_a_shifted_plan_drops_its_first_step_and_repeats_its_last():
    plan = planner().plan([[0.0]], random_state=0)
    torch.testing.assert_close(plan.shifted()[:, :-1], plan.actions[:, 1:])
    torch.testing.assert_close(plan.shifted()[:, -1], plan.actions[:, -1])


def test_the_mean_state_does_not_see_kicks_and_the_worst_cases_do():
    well = DoubleWell(kick_probability=0.3)
    settings = {"model": well, "reward": well.reward, "horizon": 6, "n_particles": 40}
    certain, careful = (
        planner(**settings, objective=objective).plan([[0.4]], random_state=0).actions[0].sum()
        for objective in ("mean_state", "cvar")
    )
    assert careful > certain + 1.0  # pushed away from the barrier


def test_a_penalty_keeps_plans_away_from_what_members_doubt(fitted, monkeypatch):
    monkeypatch.setattr(fitted, "disagreement", lambda states, actions: actions[:, 0].clamp_min(0.0))
    free, bound = (
        planner(fitted, to_the_right, penalty=penalty).plan([[0.0, 0.0]], random_state=0) for penalty in (0.0, 50.0)
    )
    assert free.actions[0, 0] > 0.5
    assert bound.actions.max() < 0.3
    assert bound.value < free.value


def test_learned_models_are_planned_with_in_every_way(fitted):
    cart = SlippingCart()
    for settings in ({"objective": "mean_state"}, {"members": "fresh"}, {"penalty": 1.0}):
        plan = planner(fitted, cart.reward, **settings).plan([[0.0, 0.0]], random_state=0)
        assert plan.actions.shape == (1, 4, 1)
        assert bool(plan.value.isfinite().all())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"horizon": 0}, "horizon must be an integer >= 1; got 0."),
        ({"n_candidates": 1}, "n_candidates must be an integer >= 2; got 1."),
        ({"n_elites": 41}, "n_elites must be an integer from 1 to 40; got 41."),
        ({"objective": "median"}, "objective must be one of 'cvar', 'mean', 'mean_state', 'quantile'; got 'median'."),
        ({"level": 1.0}, "level must be a number > 0 and < 1; got 1.0."),
        ({"penalty": -1.0}, "penalty must be a number >= 0; got -1.0."),
        ({"penalty": 1.0}, "penalty must be 0 for a model without members; take a TransitionModel."),
        ({"members": "all"}, "members must be one of 'fresh', 'kept'; got 'all'."),
        ({"high": (1.0, 1.0)}, "high must have shape (1,) to match low; got (2,)."),
        (
            {"high": (-1.0,)},
            "low must hold a finite number below that of high for each part of an action.",
        ),
        (
            {"high": (math.inf,)},
            "low must hold a finite number below that of high for each part of an action.",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, sentence):
    with pytest.raises(InputError) as refusal:
        planner(**settings)
    assert str(refusal.value) == sentence


def test_states_and_beginnings_of_another_shape_are_refused():
    with pytest.raises(InputError) as refusal:
        planner().plan([0.0])
    assert str(refusal.value) == "states must have shape (N, D) with one row for each copy of the system; got (1,)."
    with pytest.raises(InputError) as refusal:
        planner().plan([[0.0]], before=torch.zeros(1, 3, 1))
    assert str(refusal.value) == "before must have shape (1, 4, 1) as a plan has it; got (1, 3, 1)."


def test_what_overflows_is_not_chosen():
    def broken(states, actions, next_states):
        own = actions[..., 0].expand(next_states.shape[:-1])
        return torch.where(own > 0, torch.nan, own)

    plan = planner(reward=broken, horizon=1).plan([[1.0]], random_state=0)
    assert -0.1 < plan.actions.item() <= 0.0
    assert plan.value.isfinite().all()


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: planner().plan([[math.nan]]),
            "states must be finite; got NaN or infinity. Leave those out.",
        ),
        (
            lambda: planner().plan([[0.0]], before=torch.full((1, 4, 1), math.nan)),
            "before must be finite; got NaN or infinity. Leave those out.",
        ),
        (
            lambda: planner(reward=lambda s, a, n: n).plan([[0.0]]),
            "reward must have shape (8, 40) for states of shape (S, R, D); got (8, 40, 1).",
        ),
        (
            lambda: planner(reward=lambda s, a, n: n.sum()).plan([[0.0]]),
            "reward must have shape (8, 40) for states of shape (S, R, D); got ().",
        ),
    ],
)
def test_what_no_plan_can_be_made_of_is_refused(ask, sentence):
    with pytest.raises(InputError) as caught:
        ask()
    assert str(caught.value) == sentence
