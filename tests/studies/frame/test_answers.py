import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.frame.answers import answers_table, modes_of, near, worth
from manymodes.studies.frame.comparison import Comparison, Problem


def two_modes(n, dims=1):
    loc = torch.tensor([-1.0, 1.0]).double()[:, None].expand(n, 2, dims)
    return Mixture(Categorical(torch.tensor([[0.6, 0.4]]).double().expand(n, 2)), DiagonalNormal(loc, 0 * loc + 0.1))


def judged(**means):
    records = [dict.fromkeys(["near_mean", "near_mode", "near_any"], 0.5) | means]
    return Comparison(Problem("p", lambda seed: None, {}), {"mine": records})


@pytest.mark.parametrize("dims", [1, 2])
def test_targets_in_the_valleys_of_the_mean_are_near_a_mode(dims):
    y = np.array([-1.0, -1.0, 1.0, 0.0])[:, None] * np.ones(dims)
    prediction = two_modes(4, dims)
    found = near(prediction, modes_of(prediction), y, 0.3)
    assert found["near_mode"] == 0.5
    assert found["near_any"] == 0.75
    assert found["near_mean"] == 0.25  # the mean is -0.2 in every dimension
    assert found["square_mode"] == pytest.approx(dims * (4 + 1) / 4)
    assert found["square_mean"] == pytest.approx(dims * (2 * 0.64 + 1.44 + 0.04) / 4)


def test_a_mode_with_next_to_nothing_does_not_count():
    loc = torch.tensor([[[-1.0], [1.0]]]).double()
    prediction = Mixture(Categorical(torch.tensor([[0.98, 0.02]]).double()), DiagonalNormal(loc, 0 * loc + 0.1))
    modes = modes_of(prediction)
    assert modes.counted.sum() == 1
    assert near(prediction, modes, np.array([1.0]), 0.3)["near_any"] == 0.0


def test_masses_of_modes_on_a_map_add_up():
    modes = modes_of(two_modes(3, 2))
    torch.testing.assert_close(modes.mass.sum(-1), torch.ones(3).double())
    torch.testing.assert_close(modes.location[:, 0], torch.full((3, 2), -1.0).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("mean", "mode", "words"),
    [(1.0, 2.0, "a mode that is wrong is far off"), (2.0, 1.0, "the best mode is the better")],
)
def test_the_answer_with_the_smaller_square_is_called_the_better_one(mean, mode, words):
    _, squares = worth(judged(square_mean=mean, square_mode=mode), "mine", "an inch")
    assert words in squares


def test_the_table_of_answers_marks_near_and_small_as_best():
    compared = judged(square_mean=1.0, square_mode=2.0)
    compared = Comparison(
        compared.problem, {**compared.records, "worse": [dict.fromkeys(compared.records["mine"][0], 0.1)]}
    )
    marks = answers_table(compared, "All.").marked()
    assert marks == [{1, 2, 3}, {4, 5}]
