import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import Truth
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.active_learning import of_noise, of_random, of_savings, of_strategies
from manymodes.studies.active_learning.pictures import shares_of
from manymodes.studies.active_learning.rounds import (
    EPISTEMIC,
    INFORMATION,
    LOG_SCORE,
    RANDOM,
    RMSE,
    STRATEGIES,
    TOTAL,
    choose,
    gap,
    rows_needed,
    scored,
)
from manymodes.studies.active_learning.tasks import NOISE, Task, simulated, truth
from manymodes.studies.frame.comparison import Part

ROWS = (10, 20, 30)


class Opinions:
    """An ensemble of two: the first input is what they disagree about, the second is noise."""

    def predict_members(self, X):
        X = torch.as_tensor(X)
        loc = torch.stack([-X[:, 0], X[:, 0]])[..., None, None]  # (M, N, K, D)
        scale = X[:, 1].expand(2, -1)[..., None, None]
        return Mixture(Categorical(torch.ones(loc.shape[:3]).double()), DiagonalNormal(loc, scale))

    def predict_distribution(self, X):
        return self.predict_members(X).pooled(0)


def records_of(*seeds, **more):
    """Return records: curves by strategy for every seed, the same for all scores."""
    kept = []
    for curves in seeds:
        pairs = [(strategy, score) for strategy in curves for score in (LOG_SCORE, RMSE)]
        record = {f"{strategy}: {score}": np.array(curves[strategy]) for strategy, score in pairs}
        kept.append({**record, **more})
    return kept


def task_of(**more):
    return Task("p", "", lambda seed: None, 10, 10, 2, **more)


def all_like(random, **others):
    names = {"total": TOTAL, "epistemic": EPISTEMIC, "information": INFORMATION}
    return {RANDOM: random, **{name: others.get(short, random) for short, name in names.items()}}


def test_total_variance_asks_for_noise_and_epistemic_variance_for_ignorance():
    X = np.array([[0.1, 5.0], [1.0, 0.2], [0.1, 0.2], [0.05, 4.0]])
    assert choose(Opinions(), X, 2, TOTAL, seed=0).tolist() == [0, 3]
    for strategy in (EPISTEMIC, INFORMATION):
        assert choose(Opinions(), X, 1, strategy, seed=0).tolist() == [1]


def test_chosen_rows_are_different_and_of_the_pool():
    X = np.random.default_rng(0).uniform(0.1, 1, (30, 2))
    for strategy in STRATEGIES:
        rows = choose(Opinions(), X, 20, strategy, seed=0)
        assert len(set(rows.tolist())) == 20
        assert set(rows.tolist()) <= set(range(30))


def test_the_truth_of_the_simulation_is_what_its_rows_come_from():
    part = simulated(0, 4000, 4000)
    exact = Truth(1, truth)(part.X_test)
    left = part.X_test[:, 0] < 0
    assert left.mean() == pytest.approx(0.5, abs=0.04)  # sd .008
    log_prob = exact.log_prob(torch.as_tensor(part.y_test)[:, None])
    entropy = 0.5 * math.log(2 * math.pi * math.e * NOISE**2)
    assert float(log_prob[torch.as_tensor(~left)].mean()) == pytest.approx(-entropy, abs=0.06)  # sd .016
    assert float(log_prob[torch.as_tensor(left)].mean()) == pytest.approx(-entropy - math.log(2), abs=0.06)
    assert (part.X[:, 0] >= 0).mean() == pytest.approx(1 / 8, abs=0.025)  # sd .005


def test_the_truth_has_no_regret():
    part = simulated(1, 10, 200)

    class Knows:
        def predict_distribution(self, X):
            return Truth(1, truth)(X)

    assert scored(Knows(), part)["regret"] == 0


def test_scores_are_those_of_the_test_rows():
    part = Part(np.zeros((1, 2)), np.zeros(1), np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([3.0, 4.0]))
    found = scored(Opinions(), part)
    assert found[RMSE] == pytest.approx(math.sqrt(12.5))
    assert found[LOG_SCORE] == pytest.approx(-0.5 * math.log(2 * math.pi) - 6.25)


def test_gaps_are_paired_by_seed_and_leave_out_the_common_start():
    records = records_of(
        all_like([0, 1.0, 2.0], epistemic=[0, 2.0, 3.0]), all_like([5, 6.0, 7.0], epistemic=[5, 7.0, 8.0])
    )
    found = gap(records, EPISTEMIC, LOG_SCORE)
    assert (found.mean, found.error) == (1.0, 0.0)
    assert gap(records, EPISTEMIC, LOG_SCORE, last=True).mean == 1.0


def test_rows_needed_are_counted_between_rounds():
    records = records_of(all_like([0, 1.0, 2.0], epistemic=[0, 4.0, 5.0]))
    assert rows_needed(records, EPISTEMIC, LOG_SCORE, ROWS).mean == pytest.approx(15)
    assert rows_needed(records, RANDOM, LOG_SCORE, ROWS).mean == pytest.approx(30)


def test_rows_needed_are_none_where_a_strategy_never_gets_there():
    records = records_of(all_like([0, 1.0, 2.0], total=[0, 0.5, 1.9]))
    assert rows_needed(records, TOTAL, LOG_SCORE, ROWS) is None


def test_a_lower_error_is_what_is_reached():
    records = records_of(all_like([4.0, 3.0, 2.0], epistemic=[4.0, 2.0, 1.0]))
    assert rows_needed(records, EPISTEMIC, RMSE, ROWS).mean == pytest.approx(20)


def test_rows_needed_have_the_error_of_the_jackknife():
    records = records_of(
        all_like([0, 1.0, 2.0], epistemic=[0, 2.0, 3.0]), all_like([0, 1.0, 2.0], epistemic=[0, 4.0, 5.0])
    )
    found = rows_needed(records, EPISTEMIC, LOG_SCORE, ROWS)
    assert found.mean == pytest.approx(10 + 10 * 2 / 3)
    assert found.error == pytest.approx(math.sqrt(np.var([20, 15])))


def test_shares_count_every_kind_of_rows():
    task = task_of(groups=("a", "b", "c"), group=lambda X: X[:, 0].astype(np.int64))
    np.testing.assert_allclose(shares_of(task, np.array([[0.0], [2.0], [2.0], [2.0]])), [0.25, 0, 0.75])


def simple(total, epistemic):
    """Return records of two seeds whose strategies end so much above random rows, with kinds that were chosen."""
    chosen = {f"{strategy}: chosen": np.zeros((4, 1)) for strategy in STRATEGIES}
    chosen[f"{EPISTEMIC}: chosen"] = np.ones((4, 1))

    def above(more, off):
        return [0.0, 1 + more, 2 + more + off]

    seeds = [all_like(above(0, 0), total=above(total, off), epistemic=above(epistemic, off)) for off in (0.0, 0.01)]
    return records_of(*seeds, **chosen)


def test_chasing_noise_is_said_only_where_it_costs():
    task = task_of(groups=("noise", "curve"), group=lambda X: X[:, 0].astype(np.int64))
    costs = of_noise(task, simple(-0.5, 0.2))
    assert "Total variance asks for 100% of its rows where two answers are right, epistemic variance for 0%" in costs
    assert costs.endswith("Chasing variance is chasing noise.")
    assert "chasing noise" not in of_noise(task, simple(0.5, 0.2)).lower()


def test_strategies_are_called_better_worse_or_level():
    told = of_strategies(task_of(), simple(-0.5, 0.5))
    assert f"{TOTAL} is worse by {LOG_SCORE}" in told
    assert f"{EPISTEMIC} is better by {LOG_SCORE}" in told
    assert f"and worse by {RMSE}" in told  # the same numbers are errors there
    assert f"{INFORMATION} is level by {LOG_SCORE}" in told
    assert "rows reach the log-likelihood of 30 random rows." in told


def test_a_strategy_that_wins_squares_and_loses_likelihood_is_explained():
    both = simple(-0.5, -0.5)
    assert "likelihood is won on easy rows" in of_strategies(task_of(), both)  # less is better for an error
    assert "easy rows" not in of_strategies(task_of(), simple(0.5, 0.5))


def test_the_quickest_strategy_is_named_with_its_rows():
    records = records_of(all_like([0, 1.0, 2.0], total=[0, 2.0, 3.0], epistemic=[0, 4.0, 5.0]))
    assert of_savings(task_of(), records, LOG_SCORE) == (
        f"By {EPISTEMIC}, 15 rows reach the log-likelihood of 30 random rows."
    )
    slow = records_of({strategy: [3.0, 2.0, 1.0 if strategy == RANDOM else 1.5] for strategy in STRATEGIES})
    assert of_savings(task_of(), slow, RMSE) == "None of them reaches the RMSE of 30 random rows."


def test_of_a_single_seed_nothing_is_decided():
    assert f"{TOTAL} is undecided by {LOG_SCORE} (-0.5)" in of_strategies(task_of(), simple(-0.5, 0.5)[:1])


def test_random_rows_are_praised_where_nothing_beats_them():
    told = of_random([task_of()], {"p": simple(-0.5, 0.0)})
    assert told.startswith(
        f"Random rows are as good as any chosen ones, as far as these seeds tell, on 'p' by {LOG_SCORE}."
    )
    assert "No strategy is better on every pool and by both scores" in told
    told = of_random([task_of()], {"p": simple(-0.5, 0.5)})
    assert told.startswith("On every pool and by both scores some strategy is clearly better than random rows.")


def test_a_strategy_that_is_better_everywhere_is_named():
    better = simple(-0.5, 0.5)
    for record in better:
        record[f"{EPISTEMIC}: {RMSE}"] = record[f"{RANDOM}: {RMSE}"] - np.array([0.0, 1.0, 1.0])
    assert of_random([task_of()], {"p": better}).endswith(f"Better on every pool and by both scores: {EPISTEMIC}.")
