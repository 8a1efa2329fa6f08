"""Derivatives of forward functions against torch.func."""

import pytest
import torch

from manymodes.datasets import robot_arm_position
from manymodes.inverse.forward import Forward

ANGLES = torch.rand(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
EXACT = torch.func.vmap(torch.func.jacrev(robot_arm_position))(ANGLES)


def test_derivatives_are_those_of_each_row():
    outcome, jacobian = Forward(robot_arm_position, 2, arrays=False).linear(ANGLES)
    torch.testing.assert_close(outcome, robot_arm_position(ANGLES))
    torch.testing.assert_close(jacobian, EXACT)


@pytest.mark.parametrize("arrays", [False, True])
def test_differences_have_ten_digits(arrays):
    outcome, jacobian = Forward(robot_arm_position, 2, arrays=arrays).differences(ANGLES, torch.ones_like(ANGLES))
    torch.testing.assert_close(outcome, robot_arm_position(ANGLES))
    torch.testing.assert_close(jacobian, EXACT, rtol=0, atol=1e-9)


def test_the_pull_is_the_derivative_of_the_error():
    x, scale = torch.zeros(7, 2, dtype=torch.float64), torch.tensor([0.5, 2.0], dtype=torch.float64)
    outcome, pull = Forward(robot_arm_position, 2, arrays=False).pull(ANGLES, x, scale)
    torch.testing.assert_close(pull, torch.einsum("mf,mfd->md", outcome / scale**2, EXACT))
