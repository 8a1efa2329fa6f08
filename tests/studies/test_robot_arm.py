import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import make_robot_arm, robot_arm_solutions
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.robot_arm.answers import branches, draw, look, off

TRUE = torch.tensor([[[0.5, 2.0], [0.8, 4.0]], [[0.6, 3.0], [math.nan, math.nan]]], dtype=torch.float64)
ALL = torch.ones(2, 2, dtype=torch.bool)


def density_of(angles: np.ndarray) -> Mixture:
    """Narrow peaks at all answers, (N, 2, 2), of which rows without a second one have none."""
    loc = torch.as_tensor(angles)
    logits = torch.where(loc[..., 0].isnan(), -torch.inf, 0.0).double()
    loc = torch.where(loc.isnan(), loc[:, :1], loc)
    return Mixture(Categorical(logits=logits), DiagonalNormal(loc, torch.full_like(loc, 1e-3)))


def test_branches_are_found_where_modes_are_near_in_both_angles():
    modes = TRUE.nan_to_num(9.0).clone()
    assert branches(modes, ALL, TRUE) == (1.0, 0.75, 0.0)
    modes[0, 1, 1] += 0.06
    assert branches(modes, ALL, TRUE) == (0.0, 0.5, 0.0)


def test_a_turn_more_or_less_is_the_same_angle():
    modes = TRUE.nan_to_num(9.0) - 2 * math.pi
    assert branches(modes, ALL, TRUE).both == 1.0


def test_a_mode_that_holds_too_little_finds_nothing():
    counted = ALL.clone()
    counted[0, 1] = False
    assert branches(TRUE.nan_to_num(9.0), counted, TRUE).both == 0.0


def test_branches_that_nearly_meet_are_left_out_and_counted():
    true = torch.cat([TRUE, torch.tensor([[[0.5, 3.1], [0.52, 3.18]]], dtype=torch.float64)])
    found = branches(true.nan_to_num(9.0), torch.ones(3, 2, dtype=torch.bool), true)
    assert (found.both, found.left_out) == (1.0, pytest.approx(1 / 3))


def test_the_hand_is_off_by_the_distance_from_its_goal():
    X, y = make_robot_arm(5, random_state=0)
    assert torch.allclose(off(torch.as_tensor(y), X), torch.zeros(5, dtype=torch.float64), atol=1e-12)
    goals = X + np.array([0.3, 0.4])
    assert torch.allclose(off(torch.as_tensor(y), goals), torch.full((5,), 0.5, dtype=torch.float64))


def test_the_exact_answers_find_all_branches_and_every_goal():
    part = draw(0, 10, 40, n_links=2)
    found = look(density_of(robot_arm_solutions(part.X_test)), part, n_solved=10)
    assert (found["both"], found["branch_precision"], found["on_goal"]) == (1.0, 1.0, 1.0)
    assert (found["success_1"], found["refined"], found["refined_recall"]) == (1.0, 1.0, 1.0)
    assert found["rms_mode"] < 1e-5
    assert found["rms_mean"] > 0.03


def test_of_three_links_only_the_hand_is_judged():
    part = draw(0, 10, 5, n_links=3)
    exact = torch.as_tensor(part.y_test).unsqueeze(1)
    density = Mixture(
        Categorical(logits=torch.zeros(5, 1).double()), DiagonalNormal(exact, torch.full_like(exact, 1e-3))
    )
    found = look(density, part, n_solved=2)
    assert found["rms_mode"] < 1e-5
    assert "both" not in found
