import json
import math

import pytest
import torch
from torch.distributions import Categorical

from manymodes import metrics
from manymodes.apps.scores import Scores, TargetScores, count_modes, describe_modes, score
from manymodes.apps.summary import Summary, as_json, score_tables
from manymodes.distributions import DiagonalNormal, Mixture


def make(n=20, d=2) -> tuple[Mixture, torch.Tensor]:
    loc = torch.tensor([[-2.0] * d, [2.0] * d], dtype=torch.float64).expand(n, 2, d)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64).expand(n, 2)
    mixture = Mixture(Categorical(weights), DiagonalNormal(loc, torch.ones_like(loc) / 2))
    return mixture, mixture.sample(generator=torch.Generator().manual_seed(3))


def test_scores_are_means_of_the_metrics():
    mixture, y = make()
    scores = score(mixture, y, ["a", "b"])
    assert scores.log_score == pytest.approx(metrics.log_score(mixture, y).mean().item())
    total = sum(target.crps for target in scores.targets.values())
    assert total == pytest.approx(metrics.crps(mixture, y).mean().item())
    assert scores.targets["b"].rmse == pytest.approx(metrics.rmse(mixture, y)[1].item())
    assert score(mixture[:1], y[:1], ["a", "b"]).log_score_standard_error is None


def test_modes_are_counted_and_told():
    mixture, _ = make()
    assert count_modes(mixture) == {2: 1.0}
    assert describe_modes({1: 0.25, 2: 0.75}) == (
        "A typical prediction has 2 modes (modes that hold at least 5% of the probability: 1 in 25%, 2 in 75% of the "
        "held-out rows)."
    )


def test_a_single_target_makes_one_table_and_several_make_one_each_beside_the_joint_score():
    mixture, y = make(d=1)
    (single,) = score_tables({"this model": score(mixture, y, ["a"])})
    assert single.title == "Scores of a"
    assert single.header == ["model", "log score", "CRPS", "RMSE", "MAE", "coverage"]
    scores = score(*make(), ["a", "b"])
    joint, a, b = score_tables({"this model": scores, "other": scores})
    assert joint.header == ["model", "log score"]
    assert joint.rows[1][1].startswith(f"{scores.log_score:.3f} ± ")
    assert a.rows[0] == ["this model", f"{scores.targets['a'].crps:.4g}", *a.rows[1][2:4], a.rows[1][4]]
    assert b.title == "Scores of b"
    assert [row[0] for row in b.rows] == ["this model", "other"]


def test_numbers_that_are_not_finite_become_null_in_json():
    scores = Scores(2, math.inf, None, {"a": TargetScores(math.nan, 1.0, 2.0, 0.5)})
    record = json.loads(as_json(scores))
    assert record["log_score"] is None
    assert record["targets"]["a"]["crps"] is None
    assert record["targets"]["a"]["coverage_90"] == 0.5


def test_a_summary_says_when_a_baseline_is_better():
    scores = Scores(5, 2.0, 0.1, {"a": TargetScores(1.0, 1.0, 1.0, 0.9)})
    better = Scores(5, 1.0, 0.1, scores.targets)
    rows = {"train": 8, "validation": 1, "held_out": 5}

    def sentences(gaussian: Scores) -> str:
        baselines = {"model": scores, "gaussian_network": gaussian, "unconditional": scores}
        return " ".join(
            Summary("t.csv", ["x"], ["a"], rows, baselines, {1: 1.0}, {}, [], [], [], 1.0, False, "m", "r").sentences()
        )

    assert "Mind: 'one Gaussian' has the better log score here" in sentences(better)
    assert "Mind:" not in sentences(scores)
