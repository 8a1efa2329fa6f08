"""Improvement against the textbook's formula and samples; Thompson's draws against the members' favourites."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.decisions import expected_improvement, probability_of_improvement, thompson
from manymodes.distributions import DiagonalNormal, Mixture, Poisson, VonMises


def candidates(n: int = 6, k: int = 2) -> Mixture:
    rng = np.random.default_rng(0)
    loc, scale = torch.tensor(rng.normal(size=(n, k, 1))), torch.tensor(rng.uniform(0.2, 1.0, size=(n, k, 1)))
    return Mixture(Categorical(logits=torch.tensor(rng.normal(size=(n, k)))), DiagonalNormal(loc, scale))


def members(means: list[list[float]]) -> Mixture:
    at = torch.tensor(means, dtype=torch.float64)[..., None, None]
    return Mixture(Categorical(torch.ones(at.shape[:3]).double()), DiagonalNormal(at, torch.ones_like(at)))


@pytest.mark.parametrize("maximise", [True, False])
def test_the_improvement_of_one_normal_is_the_textbooks(maximise):
    one = candidates(k=1)
    loc, scale = one.mean.squeeze(-1).numpy(), one.stddev.squeeze(-1).numpy()
    sign = 1 if maximise else -1
    z = sign * (loc - 0.3) / scale
    expected = scale * (z * stats.norm.cdf(z) + stats.norm.pdf(z))
    found = expected_improvement(one, 0.3, maximise=maximise).squeeze(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    chance = probability_of_improvement(one, 0.3, maximise=maximise).squeeze(-1)
    np.testing.assert_allclose(chance, stats.norm.cdf(z), rtol=1e-9)


@pytest.mark.parametrize("maximise", [True, False])
def test_the_improvement_of_mixtures_is_that_of_samples(maximise):
    density, best = candidates(), torch.linspace(-1, 1, 6).double()
    y = density.sample((200_000,), generator=torch.Generator().manual_seed(0))
    gain = (y - best[:, None]) * (1 if maximise else -1)
    found = expected_improvement(density, best, maximise=maximise)
    torch.testing.assert_close(found, gain.clamp_min(0).mean(0), rtol=0, atol=8e-3)
    chance = probability_of_improvement(density, best, maximise=maximise)
    torch.testing.assert_close(chance, (gain > 0).double().mean(0), rtol=0, atol=5e-3)


def test_what_equals_the_best_is_no_improvement():
    counts = Mixture(Categorical(torch.ones(1, 1)), Poisson(torch.full((1, 1, 1), 2.0)))
    more = probability_of_improvement(counts, 2.0).item()
    fewer = probability_of_improvement(counts, 2.0, maximise=False).item()
    assert more == pytest.approx(stats.poisson.sf(2, 2.0), rel=1e-5)
    assert fewer == pytest.approx(stats.poisson.cdf(1, 2.0), rel=1e-5)


def test_a_hopeless_candidate_still_has_a_little_hope():
    one = Mixture(
        Categorical(torch.ones(1, 1).double()),
        DiagonalNormal(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)).transformed(torch.Tensor.double),
    )
    assert 0 < expected_improvement(one, 30.0).item() < 1e-190


def test_thompson_follows_one_member_at_a_time():
    favourites = members([[0.0, 1.0, 2.0], [0.0, 5.0, 2.0], [0.0, 1.0, 3.0], [0.0, 0.5, 1.0]])  # rows 2, 1, 2, 2
    rows = thompson(favourites, 4000)
    share = torch.bincount(rows, minlength=3) / 4000
    assert share[0] == 0
    assert abs(float(share[1]) - 0.25) < 4.5 * math.sqrt(0.25 * 0.75 / 4000)
    assert set(thompson(favourites, 50, maximise=False).tolist()) == {0}


def test_thompson_is_reproducible_and_takes_a_list():
    favourites = members([[0.0, 1.0], [1.0, 0.0]])
    once = thompson(favourites, 20, generator=torch.Generator().manual_seed(3))
    again = thompson([favourites[0], favourites[1]], 20, generator=torch.Generator().manual_seed(3))
    assert once.tolist() == again.tolist()


def test_candidates_that_cannot_be_ranked_are_refused():
    with pytest.raises(InputError, match=r"^best must be finite; got inf\.$"):
        expected_improvement(candidates(), math.inf)
    with pytest.raises(TypeError, match=r"^maximise must be True or False; got 'yes'\.$"):
        expected_improvement(candidates(), 0.0, maximise="yes")
    with pytest.raises(
        InputError, match=r"^members must describe at least 1 row and one target dimension; got \(0, 1\)\.$"
    ):
        thompson(members([[0.0], [1.0]])[:, :0])
    angle = Mixture(Categorical(torch.ones(1, 1)), VonMises(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)))
    with pytest.raises(
        InputError,
        match=r"^probability_of_improvement needs targets on a line; got an angle\. Take best_action with a cost "
        r"of yours\.$",
    ):
        probability_of_improvement(angle, 0.0)
