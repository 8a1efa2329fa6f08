import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Component,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Mixture,
    PointMass,
    Product,
    joined,
)


def normals(n: int, k: int, d: int = 1) -> DiagonalNormal:
    return DiagonalNormal(torch.randn(n, k, d), torch.rand(n, k, d) + 0.1)


def components(kind: str, n: int) -> Component:
    torch.manual_seed(n)
    if kind == "full":
        return FullNormal(torch.randn(n, 3, 2), torch.eye(2).expand(n, 3, 2, 2) * (1 + torch.rand(n, 1, 1, 1)))
    if kind == "product":
        return Product(normals(n, 3, 2), Gamma(torch.rand(n, 3, 1) + 0.5, torch.rand(n, 3, 1) + 0.5))
    if kind == "atom":
        return Concatenation(PointMass(torch.zeros(n, 1, 1)), normals(n, 2))
    return normals(n, 3)


def prediction(kind: str, n: int) -> Mixture:
    return Mixture(Categorical(logits=torch.randn(n, 3)), components(kind, n))


@pytest.mark.parametrize("kind", ["diagonal", "full", "product", "atom"])
def test_joined_predictions_say_of_each_row_what_they_said_apart(kind):
    parts = [prediction(kind, n) for n in (4, 1, 2)]
    together = joined(parts)
    assert together.batch_shape == (7,)
    y = torch.rand(7, *together.event_shape) + 0.1
    apart = torch.cat([part.log_prob(rows) for part, rows in zip(parts, y.split([4, 1, 2]), strict=True)])
    torch.testing.assert_close(together.log_prob(y), apart)
    torch.testing.assert_close(together.mean, torch.cat([part.mean for part in parts]))


def test_a_single_prediction_is_returned_as_it_is():
    one = prediction("diagonal", 3)
    assert joined([one]) is one


def test_no_predictions_are_refused():
    with pytest.raises(InputError, match=r"^mixtures must hold at least 1 prediction; got none\.$"):
        joined([])
