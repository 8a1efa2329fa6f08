import math

import pytest
import torch
from scipy import stats

from manymodes.datasets import SlippingCart


def chance(position: float, force: float) -> float:
    return float(SlippingCart().slip_probability(torch.tensor([[position, 0.0]]), torch.tensor([[force]])))


def test_the_density_is_the_written_one():
    x, v, a, after = 2.5, 0.6, -0.8, (2.63, 0.5)
    slips = 0.02 + (0.3 + 0.4 * 0.8) / (1 + math.exp(-(x - 1.6) / 0.05))
    rolling = v * (1 - 0.1 * 0.2)
    expected = (1 - slips) * stats.norm.pdf(after[1], rolling + a * 0.2, 0.03)
    expected += slips * stats.norm.pdf(after[1], rolling + 0.1 * a * 0.2, 0.03)
    expected *= stats.norm.pdf(after[0], x + v * 0.2, 0.01)
    density = SlippingCart().predict_distribution([[x, v]], [[a]])
    found = density.log_prob(torch.tensor([after], dtype=torch.float64))
    assert float(found) == pytest.approx(math.log(expected), rel=1e-10)


def test_wheels_slip_on_ice_and_the_more_the_harder_they_push():
    assert chance(0.0, 1.0) < 0.03
    assert chance(2.5, 0.2) == pytest.approx(0.4)
    assert chance(2.5, -1.0) == pytest.approx(0.72)


def test_hard_brakes_on_ice_have_two_outcomes_and_on_the_road_nearly_one():
    modes = SlippingCart().predict_distribution([[2.5, 0.8], [0.5, 0.8]], [[-1.0], [-1.0]]).marginal(1).modes()
    heavy = (modes.mass > 0.1).sum(-1)
    assert heavy.tolist() == [2, 1]


def test_the_reward_is_highest_at_the_goal():
    cart = SlippingCart()
    places = torch.linspace(0.0, 4.0, 401)[:, None].expand(401, 2)
    reward = cart.reward(places, torch.zeros(401, 1), places)
    assert float(places[reward.argmax(), 0]) == pytest.approx(cart.goal, abs=0.011)
