"""The robot arm and its solutions."""

import math

import numpy as np
import pytest
import torch

from manymodes._checks import InputError
from manymodes.datasets import (
    make_robot_arm,
    robot_arm_joints,
    robot_arm_position,
    robot_arm_ranges,
    robot_arm_solutions,
)


def test_the_hand_is_where_bishops_formulas_put_it():
    X, y = make_robot_arm(100, random_state=0)
    first, second = y.T
    np.testing.assert_allclose(X[:, 0], 0.8 * np.cos(first) - 0.2 * np.cos(first + second))
    np.testing.assert_allclose(X[:, 1], 0.8 * np.sin(first) - 0.2 * np.sin(first + second))
    assert (first >= 0.3).all()
    assert (first <= 1.2).all()
    assert (math.pi / 2 <= second).all()
    assert (second <= 3 * math.pi / 2).all()


def test_both_solutions_exist_at_68_percent_of_positions():
    # 100,000 positions have a standard error of .15 percentage points.
    X, y = make_robot_arm(100_000, random_state=0)
    solutions = robot_arm_solutions(X)
    there = ~np.isnan(solutions[..., 0])
    assert there[:, 0].all()
    assert there[:, 1].mean() == pytest.approx(0.688, abs=0.005)
    np.testing.assert_allclose(robot_arm_position(solutions)[there], np.stack([X, X], 1)[there], atol=1e-12)
    low, high = robot_arm_ranges()
    assert ((low <= solutions) & (solutions <= high))[there].all()
    assert np.nanmin(np.abs(solutions - y[:, None]).max(-1), axis=1).max() < 1e-8  # arccos near a straight elbow
    assert (solutions[there[:, 1]][:, 0, 1] <= solutions[there[:, 1]][:, 1, 1]).all()


def test_places_out_of_reach_have_no_solution():
    solutions = robot_arm_solutions([[0.0, 0.0], [2.0, 0.0], [-0.5, -0.6]])
    assert np.isnan(solutions).all()


def test_three_links_have_two_solutions_for_each_first_angle():
    X, y = make_robot_arm(500, n_links=3, random_state=0)
    solutions = robot_arm_solutions(X, first_angle=y[:, 0])
    assert solutions.shape == (500, 2, 3)
    there = ~np.isnan(solutions[..., 0])
    np.testing.assert_allclose(robot_arm_position(solutions)[there], np.stack([X, X], 1)[there], atol=1e-12)
    assert np.nanmin(np.abs(solutions - y[:, None]).max(-1), axis=1).max() < 1e-8
    at_one_angle = robot_arm_solutions(X, first_angle=0.7)
    assert 0.05 < np.isnan(at_one_angle[:, 0, 0]).mean() < 0.95


def test_tensors_and_arrays_give_the_same_joints_and_tensors_a_gradient():
    _, y = make_robot_arm(5, n_links=3, random_state=0)
    angles = torch.tensor(y, requires_grad=True)
    joints = robot_arm_joints(angles)
    np.testing.assert_allclose(joints.detach(), robot_arm_joints(y))
    assert joints.shape == (5, 4, 2)
    np.testing.assert_allclose(np.linalg.norm(np.diff(robot_arm_joints(y), axis=-2), axis=-1)[0], [0.5, 0.3, 0.2])
    robot_arm_position(angles).sum().backward()
    assert (angles.grad != 0).any(-1).all()
    assert robot_arm_position(y[0]).shape == (2,)


def test_simulations_follow_their_seed():
    first, again, other = (make_robot_arm(10, random_state=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"^n_rows must be an integer >= 1; got 0\.$"):
        make_robot_arm(0)
    with pytest.raises(InputError, match=r"^n_links must be an integer from 2 to 3; got 4\.$"):
        make_robot_arm(5, n_links=4)
    with pytest.raises(InputError, match=r"^the number of angles must be an integer from 2 to 3; got 1\.$"):
        robot_arm_position(np.zeros((5, 1)))
    with pytest.raises(InputError, match=r"^X must have shape \(N, 2\) as positions of a hand; got \(5,\)\.$"):
        robot_arm_solutions(np.zeros(5))
    with pytest.raises(InputError, match=r"^X must hold finite numbers; drop the other rows\.$"):
        robot_arm_solutions([[np.nan, 0.0]])
