import pytest
import torch

from manymodes.distributions import constraints
from manymodes.distributions.blueprints import Slot
from manymodes.nn.links import LINKS

FLOOR = 1e-3
K = 3

LEGAL = {
    constraints.real: (-1e3, 1e3),
    constraints.scale: (1.2 * FLOOR, 1e3),
    constraints.rate: (1e-20, 1e20),
    constraints.concentration: (1e-6, (1.2 * FLOOR) ** -2),
    constraints.degrees_of_freedom: (1 + 1.2 * FLOOR, 1e3),
}

every_link = pytest.mark.parametrize("constraint", LINKS, ids=[str(i) for i in range(len(LINKS))])
elementwise = pytest.mark.parametrize("constraint", LEGAL, ids=[str(i) for i in range(len(LEGAL))])


def shape_of(constraint) -> tuple[int, ...]:
    return (2, 2) if constraint is constraints.scale_tril else (2,)


def legal(constraint) -> torch.Tensor:
    """Values of a parameter, (50, K, *shape), that range over all that a head can reach."""
    generator = torch.Generator().manual_seed(0)
    if constraint is constraints.scale_tril:
        lower = torch.randn(50, K, 2, 2, generator=generator, dtype=torch.float64).tril(-1)
        return lower + torch.diag_embed(legal(constraints.scale))
    low, high = LEGAL[constraint]
    share = torch.rand(50, K, 2, generator=generator, dtype=torch.float64)
    return low + (high - low) * share if low < 0 else low * (high / low) ** share


@every_link
def test_a_value_comes_back_from_its_raw_numbers(constraint):
    link, value, shape = LINKS[constraint], legal(constraint), shape_of(constraint)
    raw = link.inverse(value, shape, FLOOR)
    torch.testing.assert_close(link.forward(raw, shape, FLOOR), value, rtol=1e-8, atol=0)


@every_link
def test_the_shapes_are_those_that_the_slot_declares(constraint):
    link, shape = LINKS[constraint], shape_of(constraint)
    size = link.size(Slot(K, shape, constraint, (0, shape[-1])))
    raw = torch.zeros(5, 4, K, size // K)
    value = link.forward(raw, shape, FLOOR)
    assert value.shape == (5, 4, K, *shape)
    assert link.inverse(value, shape, FLOOR).shape == raw.shape


@every_link
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("raw", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_every_raw_number_gives_a_legal_parameter(constraint, dtype, raw):
    link, shape = LINKS[constraint], shape_of(constraint)
    value = link.forward(torch.full((1, K, 3 if len(shape) == 2 else 2), raw, dtype=dtype), shape, FLOOR)
    assert constraint.check(value).all()
    assert value.isfinite().all()


@pytest.mark.parametrize("raw", [-1e4, -3.0, 3.0, 1e4])
def test_no_width_falls_below_the_floor_and_no_concentration_rises_above_its_inverse_square(raw):
    flat, square = torch.full((1, K, 2), raw, dtype=torch.float64), torch.full((1, K, 3), raw, dtype=torch.float64)
    assert (LINKS[constraints.scale].forward(flat, (2,), FLOOR) >= FLOOR).all()
    assert (LINKS[constraints.concentration].forward(flat, (2,), FLOOR) <= FLOOR**-2).all()
    assert (LINKS[constraints.degrees_of_freedom].forward(flat, (2,), FLOOR) > 1).all()
    lower = LINKS[constraints.scale_tril].forward(square, (2, 2), FLOOR)
    assert (lower.diagonal(dim1=-2, dim2=-1) >= FLOOR).all()
    assert (lower.triu(1) == 0).all()


@elementwise
def test_a_link_is_monotone(constraint):
    raw = torch.linspace(-30, 30, 200, dtype=torch.float64).reshape(-1, 1, 1)
    steps = LINKS[constraint].forward(raw, (1,), FLOOR).squeeze().diff()
    assert (steps <= 0).all() if constraint is constraints.concentration else (steps >= 0).all()


@pytest.mark.parametrize("constraint", [constraints.scale, constraints.degrees_of_freedom, constraints.scale_tril])
def test_a_start_below_the_floor_becomes_one_just_above_it_that_can_still_move(constraint):
    link, shape = LINKS[constraint], shape_of(constraint)
    value = 1e-9 * torch.eye(2).expand(K, 2, 2) if len(shape) == 2 else torch.full((K, 2), 1e-9)
    raw = link.inverse(value, shape, FLOOR).requires_grad_()
    assert raw.isfinite().all()
    link.forward(raw, shape, FLOOR).sum().backward()
    diagonal = raw.grad[:, :2]
    assert (diagonal > 1e-5).all()


def test_a_start_of_rate_zero_or_infinity_is_finite():
    raw = LINKS[constraints.rate].inverse(torch.tensor([[0.0, torch.inf]]), (2,), FLOOR)
    assert raw.isfinite().all()
