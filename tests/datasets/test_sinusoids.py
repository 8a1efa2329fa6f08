"""Waves seen forward and backward: rows as ever, floors as published, every density beside another road to it."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from manymodes._checks import InputError
from manymodes.datasets import make_inverse_sinusoid, make_sinusoid, make_toy_inverse, make_two_sinusoids

PROBLEMS = (make_inverse_sinusoid, make_sinusoid)
NOISES = tuple(itertools.product(("uniform", "normal"), ("x", "y", "both")))
NODES, SHARES = np.polynomial.hermite_e.hermegauss(10)  # of a standard normal
SHARES = SHARES / SHARES.sum()


def wave(t, turns=1):
    return t + 0.3 * np.sin(2 * np.pi * turns * t)


def truth(problem, **settings):
    return problem(1, return_density=True, random_state=0, **settings)[2]


def column(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1)


# --- rows ---


def test_rows_are_those_that_published_figures_were_made_with():
    X, y = make_inverse_sinusoid(1000, random_state=0)
    digest = hashlib.sha256(X.tobytes() + y.tobytes()).hexdigest()
    assert digest == "15c2bc83d6559b313ebcf30c5399fa635672274c82c236495e9040a109385ecc"


def test_two_sinusoids_are_drawn_in_the_published_order():
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 4 * np.pi, 50)
    y = rng.choice([-1, 1], 50) * np.sin(x) + 0.01 * rng.standard_normal(50)
    X, found = make_two_sinusoids(50, random_state=5)
    np.testing.assert_array_equal(X[:, 0], x)
    np.testing.assert_array_equal(found, y)


def test_the_forward_problem_is_the_inverse_one_turned_around():
    X, y = make_inverse_sinusoid(20, noise_on="x", random_state=2)
    forward = make_sinusoid(20, noise_on="y", random_state=2)
    np.testing.assert_array_equal(forward[0][:, 0], y)
    np.testing.assert_array_equal(forward[1], X[:, 0])


def test_noise_is_where_it_is_asked_for():
    clean = make_inverse_sinusoid(20, noise_on="y", random_state=1)
    X, y = make_inverse_sinusoid(20, noise_on="x", random_state=1)
    np.testing.assert_array_equal(clean[0][:, 0], wave(y))  # of the same t, that is y where y has no noise
    assert (np.abs(X[:, 0] - wave(y)) <= 0.1).all()
    both = make_inverse_sinusoid(20, noise_on="both", random_state=1)
    np.testing.assert_array_equal(both[0], X)
    assert (both[1] != y).all()


def test_simulations_follow_their_seed_and_no_other():
    np.random.seed(0)
    first = make_inverse_sinusoid(10, random_state=3)[0]
    np.random.seed(1)
    np.testing.assert_array_equal(first, make_inverse_sinusoid(10, random_state=3)[0])
    assert (first != make_inverse_sinusoid(10, random_state=4)[0]).any()


# --- densities ---


def test_the_floor_of_uniform_noise_is_the_known_one():
    # The negative log-likelihood at x is the log of the length of what is possible, which is p(x) in units of 1 / .2.
    x = np.linspace(-0.1, 1.1, 2402)[1:-1]
    length = np.exp(-truth(make_inverse_sinusoid)(x[:, None]).modes().log_density[:, 0].numpy())
    assert integrate.trapezoid(length / 0.2, x) == pytest.approx(1, abs=1e-4)
    assert integrate.trapezoid(length / 0.2 * np.log(length), x) == pytest.approx(-1.2824, abs=1e-4)


@pytest.mark.parametrize(("noise", "floor"), [(0.03, -1.659), (0.05, -1.226), (0.1, -0.699)])
def test_the_floors_of_normal_noise_are_the_known_ones(noise, floor):
    t = (np.arange(200) + 0.5) / 200
    x = (wave(t)[:, None] + noise * NODES).reshape(-1, 1)
    density = truth(make_inverse_sinusoid, noise=noise, noise_family="normal")(x)
    scores = -density.log_prob(column(np.repeat(t, len(NODES)))).numpy().reshape(200, -1)
    assert (scores @ SHARES).mean() == pytest.approx(floor, abs=6e-4)


def test_the_floor_of_two_sinusoids_is_the_known_one():
    x = (np.arange(2000) + 0.5) / 2000 * 4 * np.pi
    y = np.sin(x)[:, None] + 0.01 * NODES
    density = truth(make_two_sinusoids)(np.repeat(x, len(NODES))[:, None])
    scores = -density.log_prob(column(y)).numpy().reshape(2000, -1)
    assert (scores @ SHARES).mean() == pytest.approx(-2.498, abs=5e-4)


@pytest.mark.parametrize(("family", "side"), NOISES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_targets_have_uniform_ranks_in_their_true_distributions(problem, family, side):
    # A false alarm for one seed in 1,000 of one of the twelve.
    X, y, density = problem(
        300, noise=0.04, noise_family=family, noise_on=side, turns=2, return_density=True, random_state=8
    )
    ranks = density(X).cdf(column(y))
    assert stats.kstest(ranks.flatten(), "uniform").pvalue > 1e-4
    assert density(X).log_prob(column(y)).isfinite().all()


@pytest.mark.parametrize(("family", "side"), NOISES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_densities_are_the_derivatives_of_their_cdfs(problem, family, side):
    density = truth(problem, noise_family=family, noise_on=side)([[0.3], [0.52]])
    y = density.icdf(torch.tensor([0.12, 0.37, 0.81], dtype=torch.float64).reshape(-1, 1, 1))
    step = 1e-6
    slope = (density.cdf(y + step) - density.cdf(y - step)) / (2 * step)
    torch.testing.assert_close(density.log_prob(y).exp(), slope[..., 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_densities_agree_with_an_integral_over_what_nobody_sees(problem):
    t, u, v = (np.arange(20_000) + 0.5) / 20_000, 0.4, np.array([0.1, 0.35, 0.7])
    seen, wanted = (wave(t), t) if problem is make_inverse_sinusoid else (t, wave(t))
    for family, rv in (("normal", stats.norm(scale=0.1)), ("uniform", stats.uniform(-0.1, 0.2))):
        found = truth(problem, noise_family=family, noise_on="both")([[u]]).log_prob(column(v).unsqueeze(-1))
        weight = rv.pdf(u - seen)
        expected = (weight * rv.pdf(v[:, None] - wanted)).sum(-1) / weight.sum()
        np.testing.assert_allclose(found.exp().flatten(), expected, rtol=2e-3 if family == "uniform" else 1e-8)


def test_normal_noise_on_inputs_leaves_a_density_that_scipy_integrates():
    density = truth(make_inverse_sinusoid, noise=0.05, noise_family="normal")([[0.45]])

    def height(t):
        return np.exp(-0.5 * ((0.45 - wave(t)) / 0.05) ** 2)

    whole, below = (integrate.quad(height, 0, end, epsabs=0, epsrel=1e-12, limit=200)[0] for end in (1, 0.6))
    assert density.log_prob(column([0.3])).item() == pytest.approx(np.log(height(0.3) / whole), abs=1e-11)
    assert density.cdf(column([0.6])).item() == pytest.approx(below / whole, abs=1e-11)


def test_the_density_bends_with_noise_on_the_input_of_the_forward_problem():
    # x within .1 of .5: f falls from the first bend to the second, and beyond.
    density = truth(make_sinusoid, noise_on="x")([[0.5]])
    t = np.linspace(0.4, 0.6, 200_001)
    assert density.mean.item() == pytest.approx(wave(t).mean(), abs=1e-8)
    assert density.variance.item() == pytest.approx(wave(t).var(), abs=1e-6)
    assert density.cdf(column([0.45])).item() == pytest.approx((wave(t) <= 0.45).mean(), abs=1e-5)


def test_an_impossible_target_has_density_zero():
    density = truth(make_inverse_sinusoid)([[0.5], [0.5]])
    assert density.log_prob(column([0.1, 1.5])).tolist() == [-math.inf, -math.inf]


def test_modes_of_uniform_noise_are_the_middles_of_what_is_possible():
    modes = truth(make_inverse_sinusoid, noise=0.05)([[-0.04], [0.5]]).modes()
    assert modes.count.tolist() == [1, 3]
    end = integrate.solve_ivp(lambda x, t: 1 / (1 + 0.6 * np.pi * np.cos(2 * np.pi * t)), (0, 0.01), [0.0], rtol=1e-10)
    assert modes.location[0, 0].item() == pytest.approx(end.y[0, -1] / 2, rel=1e-6)
    assert modes.location[1, :, 0].sum().item() == pytest.approx(1.5, rel=1e-9)  # symmetric about a half


def test_hard_variants_have_more_than_three_answers():
    for family, side in NOISES[:5]:  # normal noise on both sides blurs
        settings = {"noise": 0.005, "noise_family": family, "noise_on": side}
        modes = truth(make_inverse_sinusoid, amplitude=0.5, turns=3, **settings)([[0.5]]).modes()
        assert modes.count.item() == 7


def test_the_tutorial_problem_has_five_answers():
    assert truth(make_toy_inverse)([[0.0], [12.0]]).modes().count.tolist() == [5, 3]


def test_far_inputs_of_normal_noise_keep_their_digits():
    density = truth(make_inverse_sinusoid, noise=0.01, noise_family="normal")([[3.0]])

    def height(t):
        return np.exp(-0.5 * ((3 - wave(t)) ** 2 - 4) / 1e-4)

    whole = integrate.quad(height, 0.99, 1, epsabs=0, epsrel=1e-12)[0]
    assert density.log_prob(column([0.9999])).item() == pytest.approx(np.log(height(0.9999) / whole), abs=1e-9)


# --- bad input ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_rows": 0}, "n_rows must be an integer >= 1; got 0."),
        ({"noise": 0.0}, "noise must be a number > 0; got 0.0."),
        ({"noise_family": "cauchy"}, "noise_family must be one of 'normal', 'uniform'; got 'cauchy'."),
        ({"noise_on": "z"}, "noise_on must be one of 'both', 'x', 'y'; got 'z'."),
        ({"amplitude": -1.0}, "amplitude must be a number >= 0; got -1.0."),
        ({"turns": 0}, "turns must be an integer >= 1; got 0."),
    ],
)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_settings_that_make_no_sense_are_refused(problem, settings, message):
    with pytest.raises(InputError) as caught:
        problem(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("settings", [{}, {"noise_on": "y"}, {"noise_on": "both"}])
def test_inputs_that_cannot_occur_are_refused(settings):
    with pytest.raises(InputError, match=r"^X must hold inputs that can occur; row 2 cannot\.$"):
        truth(make_inverse_sinusoid, **settings)([[0.5], [2.0]])
