"""Special functions: gradients in every argument, and no second derivative that is silently zero."""

import pytest
import torch
from torch.autograd.functional import hessian

from manymodes.distributions import Gamma, StudentT


def student_cdf(value: torch.Tensor, df: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros(1, 1, dtype=torch.float64)
    return StudentT(df.reshape(1, 1), zero, zero + 1).cdf(value.reshape(1, 1)).sum()


def test_the_second_derivative_of_a_cdf_is_the_slope_of_the_density():
    y, df = torch.tensor(0.7, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    family = StudentT(df.reshape(1, 1), zero, zero + 1)
    at = y.reshape(1, 1)
    slope = family.score(at) * family.marginal_log_prob(at).exp()
    torch.testing.assert_close(hessian(lambda value: student_cdf(value, df), y), slope.squeeze())


def test_a_second_derivative_in_a_shape_is_refused_and_not_zero():
    df = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(student_cdf(torch.tensor(0.7, dtype=torch.float64), df), df, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives in the shape"):
        torch.autograd.grad(first, df)


def test_gradients_in_a_shape_are_right_from_the_bulk_to_the_tail():
    for value in (0.01, 2.0, 60.0):
        shape = torch.tensor([[2.5]], dtype=torch.float64, requires_grad=True)
        at = torch.tensor([[value]], dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda a, at=at: Gamma(a, torch.ones_like(a)).log_sf(at), shape)
