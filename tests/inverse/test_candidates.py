"""Candidates as a table, and what is told of them."""

import math

import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import robot_arm_position
from manymodes.inverse import Candidates, error_by_count, solution_agreement, solve, success_at
from manymodes.metrics import mode_agreement

from .problems import arm, normals


def three() -> Candidates:
    """Return a row of three candidates, the most probable of which is the worst, and one of a single one."""
    density = normals([[[1.0], [2.0], [5.0]], [[2.5], [2.5], [2.5]]], scale=0.1, weights=[[0.3, 0.2, 0.5]] * 2)
    return solve(density, lambda y: 2 * y, torch.tensor([[4.0], [4.0]]).double(), refine=None, rank="density")


def test_success_asks_the_first_candidates_only():
    assert success_at(three(), 0.1).tolist() == [False, False]
    assert success_at(three(), 0.1, k=2).tolist() == [False, False]
    assert success_at(three(), 0.1, k=3).tolist() == [True, False]
    assert success_at(three(), 1.0, k=9).tolist() == [True, True]


def test_the_least_error_never_rises_with_the_number_of_candidates():
    np.testing.assert_allclose(error_by_count(three()), [[6, 2, 0], [1, 1, 1]], atol=1e-6)


def test_agreement_of_unrefined_modes_is_that_of_the_density():
    density, X, solutions = arm()
    found = solve(density, robot_arm_position, X, refine=None)
    ours, usual = solution_agreement(found, solutions, 0.05), mode_agreement(density, solutions, 0.05)
    for name in ("precision", "recall", "distance", "mass"):
        torch.testing.assert_close(getattr(ours, name), getattr(usual, name), equal_nan=True)
    assert 0.2 < ours.recall.mean() < 1


def test_only_candidates_within_an_error_count():
    found = three().within(2.5)
    assert found.count.tolist() == [2, 1]
    agreement = solution_agreement(found, torch.tensor([[[2.0], [5.0]]] * 2).double(), 0.2)
    assert agreement.recall.tolist() == [0.5, 0.0]
    assert agreement.precision.tolist() == [0.5, 0.0]


def test_diversity_is_the_mean_distance_of_two():
    assert three().diversity[0].item() == pytest.approx((1 + 3 + 4) / 3)
    assert three().diversity[1].isnan()


def test_candidates_are_a_table():
    frame = three().to_frame()
    assert list(frame.columns) == ["row", "rank", "y", "x", "error", "log_prob", "mass", "source"]
    assert frame["row"].tolist() == [0, 0, 0, 1]
    assert frame["rank"].tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(frame["x"], 2 * frame["y"])
    assert set(frame["source"]) == {"mode"}
    density, X, _ = arm(3)
    sampled = solve(density, robot_arm_position, X, n_samples=2, refine=None).to_dict()
    assert {"y_0", "y_1", "x_0", "x_1"} < set(sampled)
    assert sampled["source"].count("sample") == 6
    assert repr(three()) == "Candidates(rows=2, count=1 to 3, median error of the first=1)"


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match=r"^candidates must be a Candidates; got list\.$"):
        success_at([], 0.1)
    with pytest.raises(InputError, match=r"^k must be an integer >= 1; got 0\.$"):
        success_at(three(), 0.1, k=0)
    with pytest.raises(InputError, match=r"^tolerance must be a number > 0; got 0\.$"):
        success_at(three(), 0)
    with pytest.raises(InputError) as caught:
        solution_agreement(three(), torch.zeros(2, 1, 2).double(), 0.1)
    assert str(caught.value) == (
        "solutions must have shape (2, T, 1) to match batch_shape and event_shape; got (2, 1, 2)."
    )
    density, X, _ = arm(1)
    plane, half = solve(density, robot_arm_position, X), torch.tensor([[[0.5, math.nan]]]).double()
    with pytest.raises(InputError, match=r"^solutions must hold numbers, or NaN in all dimensions of an answer"):
        solution_agreement(plane, half, 0.1)
