import numpy as np
import pytest
import torch

from manymodes.studies.dynamics import hole, words
from manymodes.studies.dynamics.tasks import CERTAIN, CVAR, MEAN, TASKS, difference, ever_failed, exact, tail, value
from manymodes.studies.frame.result import Measured

WELL, CART = TASKS


def record(certain=-30.0, mean=-20.0, cvar=-21.0, worst=0.0, gap=0.1):
    """Return a seed's record in which episodes of a way return so much, the last of them less."""
    rest = {"nll, exact": -1.0, "nll, model": gap - 1.0}
    for way, each in ((CERTAIN, certain), (MEAN, mean), (CVAR, cvar), (exact(CERTAIN), certain), (exact(MEAN), mean)):
        returns = np.full(10, each)
        returns[-1] += worst * (1 if way == MEAN else 0)
        rest |= {f"{way}: returns": returns, f"{way}: failed": 0.25}
    return rest


CLEAR = [record(), record(mean=-19.0), record(mean=-21.0)]


def test_the_worst_tenth_is_the_mean_of_the_lowest_returns_and_one_at_least():
    assert tail(np.arange(20.0)) == 0.5
    assert tail(np.arange(3.0)) == 0.0


def test_differences_are_taken_pair_by_pair():
    pairs = [record(certain=-10.0, mean=-9.0), record(certain=-50.0, mean=-49.0)]
    assert difference(pairs, MEAN, CERTAIN, "return") == Measured(1.0, 0.0)
    assert value(pairs, CERTAIN, "return").error > 10


def test_an_episode_that_came_back_has_failed_all_the_same():
    states = np.array([[[0.5], [-0.1], [0.5]], [[0.5], [0.4], [0.3]]])
    assert ever_failed(WELL.system, states).tolist() == [True, False]


def test_the_still_action_balances_the_well_at_its_goal():
    state, action = WELL.still
    assert float(WELL.system.predict_distribution([state], [action]).mean) == pytest.approx(WELL.system.goal)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (CLEAR, "planning for the mean state is beaten."),
        ([record(), record(mean=-31.0), record(mean=-45.0)], "planning for the mean state is not clearly beaten."),
        ([record(mean=-40.0), record(mean=-41.0)], "planning for the mean state is not beaten but better."),
        ([record()], "planning for the mean state is not clearly beaten."),  # one seed tells nothing
    ],
)
def test_the_mean_state_is_called_beaten_only_where_it_clearly_is(records, said):
    assert said in words.of_mean_state(WELL, records)


def test_failures_are_told_in_the_words_of_the_system():
    assert words.of_mean_state(WELL, CLEAR).endswith(
        "pair by pair over 3 seeds. 25% of its episodes go past the barrier, and 25% of those planned with particles."
    )
    assert "go over the edge" in words.of_mean_state(CART, CLEAR)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([record(worst=-50.0, cvar=-24.0), record(worst=-50.0, cvar=-26.0)], "a better tail at no clear cost"),
        ([record(worst=-90.0, cvar=-35.0), record(worst=-95.0, cvar=-35.2)], "a better tail, paid for in the mean"),
        ([record(worst=-90.0, cvar=-10.0), record(worst=-95.0, cvar=-11.0)], "better in both"),
        ([record(), record()], "no clear gain in the tail"),
    ],
)
def test_caution_is_praised_for_what_it_brings(records, said):
    assert f": {said}. " in words.of_caution(WELL, records)


def test_what_is_missing_is_said_only_where_the_exact_density_also_beats_the_mean():
    missing = "what is missing there is not knowledge of the mean"
    assert missing in words.of_learning(WELL, CLEAR)
    assert missing not in words.of_learning(WELL, [record(mean=-30.0), record(mean=-29.9)])


def test_a_hole_is_told_with_what_each_penalty_changed():
    curves = {"hole": np.where(hole.PLACES > hole.FARTHEST, 0.3, 0.1), "whole": np.full(len(hole.PLACES), 0.1)}
    records = [
        {f"{name}: disagreement": curve for name, curve in curves.items()}
        | {
            f"{penalty}: {what}": value
            for penalty, mean, share in zip(hole.PENALTIES, (-80.0, -40.0, -120.0), (0.9, 0.1, 0.0), strict=True)
            for what, value in (("returns", np.full(10, mean)), ("failed", share), ("beyond", share))
        }
        for _ in range(3)
    ]
    told = hole.conclusion(records)
    assert "members disagree 3.0 times as much" in told
    assert "Without a penalty 90% of the carts go over the edge" in told
    assert (
        "it is 10% of the carts and 10% of the steps, which pays on average and in the worst cases: the mean " in told
    )
    assert "it is 0% of the carts and 0% of the steps, which costs on average and in the worst cases" in told


def test_the_logs_of_the_hole_end_before_the_ice():
    edge = torch.tensor([[hole.FARTHEST, 0.0]])
    assert float(CART.system.slip_probability(edge, torch.ones(1, 1))) < 0.12
