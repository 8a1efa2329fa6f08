import math
from functools import partial

import numpy as np
import pytest
import torch

from manymodes.estimators.baselines import UnconditionalDensity
from manymodes.studies.frame.comparison import Comparison, Part, Problem, compare, scores
from manymodes.studies.frame.work import Work


def draw(seed, n=60):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(2 * n, 1)), rng.choice([-1.0, 1.0], 2 * n) + 0.05 * rng.normal(size=2 * n)
    answers = np.tile([[[-1.0], [1.0]]], (n, 1, 1))
    return Part(X[:n], y[:n], X[n:], y[n:], true_modes=answers)


def compared(**records):
    problem = Problem("p", draw, {})
    rows = {name: [{"log_score": value, "mse_mean": -value} for value in values] for name, values in records.items()}
    return Comparison(problem, rows)


def test_every_model_is_judged_on_every_seed():
    models = {"one": lambda seed: UnconditionalDensity(random_state=seed)}
    work = Work("x")
    found = compare(work, Problem("p", draw, models, tolerance=0.2), [0, 1])
    assert list(work.measured) == ["p, one, seed 0", "p, one, seed 1"]
    assert found.value("one", "recall").mean == 1.0
    assert found.value("one", "n_modes").mean == 2.0
    assert found.value("one", "mse_mean").mean == pytest.approx(1.0, abs=0.05)
    assert found.value("one", "mse_mode").mean == pytest.approx(2.0, abs=0.6)  # right for half of the rows
    assert 0.8 < found.value("one", "coverage_90").mean < 1.0


def test_regret_is_what_is_lost_beside_the_truth():
    part = draw(0)
    model = UnconditionalDensity(random_state=0).fit(part.X, part.y)
    truth = part._replace(density=lambda X: model.predict_distribution(X))
    found = scores(Problem("p", draw, {}), model.predict_distribution(part.X_test), truth)
    assert found["regret"] == pytest.approx(0.0, abs=1e-12)


def test_numbers_and_arrays_of_a_study_are_kept_beside_the_scores():
    def look(model, prediction, part):
        return {"double": 2.0, "place": np.ones(2)}

    found = compare(Work("x"), Problem("p", draw, {"one": lambda seed: UnconditionalDensity()}, look=look), [0])
    table = found.table("All.", more={"double": "twice"})
    assert table.columns[-1] == "twice"
    np.testing.assert_array_equal(found.first("one", "place"), np.ones(2))


@pytest.mark.parametrize(
    ("own", "word"),
    [((2.0, 2.1, 2.2), "ahead of"), ((0.0, 0.1, 0.2), "behind"), ((1.0, 1.3, 1.1), "level with")],
)
def test_the_conclusion_says_who_is_ahead_only_where_it_is_clear(own, word):
    (sentence,) = compared(mine=own, theirs=(1.0, 1.15, 1.25), worse=(-5.0, -5.0, -5.0)).conclusions()
    assert f"is {word} the theirs" in sentence


def test_of_errors_the_lowest_is_best():
    found = compared(a=(1.0, 1.0), b=(2.0, 2.0))
    assert found.best() == "b"
    assert found.best("mse_mean") == "b"


def test_differences_are_of_the_same_seeds():
    gap = compared(a=(1.0, 5.0), b=(0.0, 4.0)).difference("a", "b", "log_score")
    assert (gap.mean, gap.error) == (1.0, 0.0)


def test_a_number_that_no_model_has_is_no_column():
    assert "modes found" not in compared(a=(1.0,)).table("All.").columns
    assert math.isnan(compared(a=(1.0,)).value("a", "recall").mean)


def test_targets_of_several_columns_are_judged_jointly():
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(80, 1)), rng.normal(size=(80, 2)), rng.normal(size=(40, 1)), rng.normal(size=(40, 2)))
    model = UnconditionalDensity(random_state=0).fit(part.X, part.y)
    found = scores(Problem("p", partial(draw), {}), model.predict_distribution(part.X_test), part)
    expected = model.predict_distribution(part.X_test).log_prob(torch.as_tensor(part.y_test)).mean()
    assert found["log_score"] == pytest.approx(float(expected))
