import torch

from manymodes import metrics
from manymodes.objectives import OBJECTIVES, nll

from .metrics.test_scores import make


def test_nll_is_the_mean_log_score():
    mixture, y = make(d=2)
    torch.testing.assert_close(nll(mixture, y), metrics.log_score(mixture, y).mean())


def test_a_weight_counts_a_row_as_often_as_it_says():
    mixture, y = make(n=3)
    twice = torch.tensor([0, 1, 1, 2])
    weight = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    weighted = nll(mixture, y, weight / weight.mean())
    torch.testing.assert_close(weighted, nll(mixture[twice], y[twice]))


def test_every_objective_has_a_name_and_a_gradient():
    mixture, y = make()
    for objective in OBJECTIVES.values():
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        objective(mixture, y + shift, None).backward()
        assert shift.grad.isfinite()
        assert shift.grad != 0
