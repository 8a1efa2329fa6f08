"""Risks against SciPy and samples."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.decisions import exceedance_risk, tail_risk
from manymodes.distributions import DiagonalNormal, Gamma, Mixture


def rows(n: int = 4, d: int = 1) -> Mixture:
    rng = np.random.default_rng(0)
    loc, scale = torch.tensor(rng.normal(size=(n, 3, d))), torch.tensor(rng.uniform(0.2, 1.0, size=(n, 3, d)))
    return Mixture(Categorical(logits=torch.tensor(rng.normal(size=(n, 3)))), DiagonalNormal(loc, scale))


def gamma() -> Mixture:
    one = torch.ones(1, 1, 1).double()
    return Mixture(Categorical(torch.ones(1, 1).double()), Gamma(3 * one, 2 * one))


@pytest.mark.parametrize("tail", ["upper", "lower"])
def test_exceedance_is_that_of_samples(tail):
    distribution = rows(4, 2)
    threshold = torch.tensor([0.0, 0.5, 1.0, -0.5]).double()  # one per row
    risk = exceedance_risk(distribution, threshold, tail=tail)
    y = distribution.sample((200_000,), generator=torch.Generator().manual_seed(0))
    beyond = (y - threshold[:, None]) * (1 if tail == "upper" else -1)
    torch.testing.assert_close(risk.probability, (beyond >= 0).double().mean(0), rtol=0, atol=5e-3)
    torch.testing.assert_close(risk.expected_excess, beyond.clamp_min(0).mean(0), rtol=0, atol=8e-3)
    torch.testing.assert_close(risk.mean_excess * risk.probability, risk.expected_excess)


def test_the_excess_of_an_exponential_tail_is_its_scale():
    one = torch.ones(1, 1, 1).double()
    memoryless = Mixture(Categorical(torch.ones(1, 1).double()), Gamma(one, 2 * one))
    for threshold in (0.5, 5.0, 40.0):
        risk = exceedance_risk(memoryless, threshold)
        assert risk.mean_excess.item() == pytest.approx(2.0, rel=1e-5)


def test_where_nothing_lies_beyond_there_is_no_mean_excess():
    risk = exceedance_risk(gamma(), -1.0, tail="lower")
    assert risk.probability.item() == risk.expected_excess.item() == 0
    assert risk.mean_excess.isnan().all()
    assert repr(risk) == "ExceedanceRisk(targets=1, on average probability=0)"


def test_the_worst_cases_of_a_gamma_are_scipys():
    reference = stats.gamma(3, scale=2)
    risk = tail_risk(gamma(), 0.95)
    begins = reference.ppf(0.95)
    assert risk.value_at_risk.item() == pytest.approx(begins)
    assert risk.expected_shortfall.item() == pytest.approx(reference.expect(lambda y: y, lb=begins) / 0.05, rel=1e-6)
    low = tail_risk(gamma(), 0.95, tail="lower")
    assert low.value_at_risk.item() == pytest.approx(reference.ppf(0.05))
    assert low.expected_shortfall < low.value_at_risk
    assert repr(risk).startswith("TailRisk(rows=1, on average expected_shortfall=")


def test_what_asks_for_no_risk_is_refused():
    with pytest.raises(InputError, match=r"^level must be a number > 0 and < 1; got 1\.0\.$"):
        tail_risk(gamma(), 1.0)
    with pytest.raises(InputError, match=r"^tail must be one of 'lower', 'upper'; got 'left'\.$"):
        exceedance_risk(gamma(), 1.0, tail="left")
    with pytest.raises(TypeError, match=r"^threshold must be a number or a Tensor of numbers; got 'high'\.$"):
        exceedance_risk(gamma(), "high")
    with pytest.raises(InputError, match=r"^threshold must be finite; got inf\.$"):
        exceedance_risk(gamma(), float("inf"))
