import math

import pytest
import torch

from manymodes.datasets.curve import Curve

SHAPES = {
    "one turn": (1.0, 0.3, 2 * math.pi, 0.0, 1.0),
    "three turns": (1.0, 0.3, 6 * math.pi, 0.0, 1.0),
    "tutorial": (0.5, 7.0, 0.75, -10.5, 10.5),
    "straight": (1.0, 0.0, 1.0, 0.0, 1.0),
    "all but bent": (1.0, 0.999 / (2 * math.pi), 2 * math.pi, 0.0, 1.0),
    "just bent": (1.0, 1.001 / (2 * math.pi), 2 * math.pi, 0.0, 1.0),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_stretch_is_inverted_to_the_last_digits(shape):
    curve = Curve(*shape)
    for j, (first, last) in enumerate(zip(curve.ends[:-1], curve.ends[1:], strict=True)):
        share = torch.cat([torch.linspace(0, 1, 2001), torch.logspace(-14, -1, 100), 1 - torch.logspace(-14, -1, 100)])
        t = torch.lerp(first, last, share.double())
        found = curve.inverse(curve(t).unsqueeze(-1))[:, j]
        assert ((found >= first) & (found <= last)).all()
        torch.testing.assert_close(curve(found), curve(t), rtol=0, atol=1e-14 * curve(curve.ends).abs().max().item())


def test_stretches_end_where_the_curve_bends():
    assert [len(Curve(*shape).ends) - 1 for shape in SHAPES.values()] == [3, 7, 5, 1, 1, 3]
    bends = Curve(*SHAPES["three turns"]).ends[1:-1]
    torch.testing.assert_close(
        Curve(*SHAPES["three turns"]).steepness(bends), torch.zeros_like(bends), atol=1e-13, rtol=0
    )


def test_what_a_stretch_does_not_reach_is_at_its_nearer_end():
    curve = Curve(*SHAPES["one turn"])
    values = torch.tensor([[-5.0], [0.0], [5.0]], dtype=torch.float64)
    first, second, third, fourth = curve.ends.tolist()
    expected = [[first, third, third], [first, third, third], [second, second, fourth]]
    torch.testing.assert_close(curve.inverse(values), torch.tensor(expected, dtype=torch.float64))


def test_the_gradient_of_an_inverse_is_one_over_the_steepness():
    curve = Curve(*SHAPES["one turn"])
    value = torch.tensor([[0.45], [0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(curve.inverse, value)
