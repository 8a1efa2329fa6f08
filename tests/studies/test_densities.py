import numpy as np
import pytest

from manymodes.studies import densities
from manymodes.studies.densities import SIMULATORS
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Problem
from manymodes.studies.frame.work import Work


def compared(**regrets):
    """Return comparisons of three models; keywords are problems with their regrets in turn."""
    names = (models.MDN, models.GAUSSIAN, models.BOOSTING)
    return {
        problem: Comparison(Problem(problem, lambda seed: None, {}), {
            name: [{"regret": value}] for name, value in zip(names, values, strict=True)
        })
        for problem, values in regrets.items()
    }  # fmt: skip


def test_ranks_are_counted_from_one_over_problems():
    ranks = densities._mean_ranks(compared(first=(0.1, 0.2, 0.3), second=(0.5, 0.2, 0.3)))
    assert ranks == {models.MDN: 2.0, models.GAUSSIAN: 1.5, models.BOOSTING: 2.5}


def test_where_others_are_nearer_to_the_truth_is_told():
    told = densities._conclusions(compared(first=(0.1, 0.2, 0.3), second=(0.5, 0.2, 0.3)))
    assert "nearest to the truth on 1 of 2 problems" in told[0]
    assert told[1] == f"Others are nearer elsewhere: {models.GAUSSIAN} on second."


def test_a_model_that_is_nearest_everywhere_leaves_no_others_to_tell():
    told = densities._conclusions(compared(first=(0.1, 0.2, 0.3)))
    assert not any(sentence.startswith("Others") for sentence in told)


@pytest.mark.parametrize("name", SIMULATORS)
def test_the_truth_of_every_problem_has_no_regret_against_itself(name):
    part = densities._draw(SIMULATORS[name], Work("densities", quick=True), 0)
    truth = part.density(part.X_test[:5])
    found = densities._distances(Work("densities", quick=True), part.density(part.X_test), part)
    assert found["hellinger"] == pytest.approx(0.0, abs=1e-3)
    assert truth.event_shape[0] == (1 if part.y.ndim == 1 else part.y.shape[1])
    assert np.isfinite(part.y_test).all()
