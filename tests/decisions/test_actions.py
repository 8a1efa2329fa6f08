"""Best actions against brute force, SciPy and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.decisions import (
    Choice,
    best_action,
    expected_cost,
    expected_excess,
    newsvendor,
    quadratic,
    threshold_action,
)
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Mixture,
    PITMap,
    PointMass,
    Poisson,
    Recalibrated,
    StudentT,
    VonMises,
)

WEIGHTS, LOC, SCALE = (0.3, 0.5, 0.2), (-1.0, 0.5, 3.0), (0.6, 1.0, 0.4)


def column(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1)


def weighed(components, *weights) -> Mixture:
    return Mixture(Categorical(torch.tensor([weights], dtype=torch.float64)), components)


def three(unit: float = 1.0, shift: float = 0.0) -> Mixture:
    loc, scale = (shift + unit * column(*LOC)), unit * column(*SCALE)
    return weighed(DiagonalNormal(loc, scale), *WEIGHTS)


def rows(n: int, d: int = 1, seed: int = 0) -> Mixture:
    rng = np.random.default_rng(seed)
    loc, scale = torch.tensor(rng.normal(size=(n, 3, d))), torch.tensor(rng.uniform(0.2, 1.0, size=(n, 3, d)))
    return Mixture(Categorical(logits=torch.tensor(rng.normal(size=(n, 3)))), DiagonalNormal(loc, scale))


def density(y: float) -> float:
    parts = zip(WEIGHTS, LOC, SCALE, strict=True)
    return sum(w * math.exp(-0.5 * ((y - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) for w, m, s in parts)


def mean_of(cost) -> float:
    points = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]
    return float(integrate.quad(lambda y: cost(y) * density(y), -8, 8, points=points, limit=400, epsabs=1e-11)[0])


# --- costs of your own ---


def test_smooth_costs_are_quadratures_to_many_digits():
    actions = torch.tensor([-1.0, 0.0, 2.5], dtype=torch.float64)
    estimate = expected_cost(three(), actions, lambda a, y: torch.cosh(a - y))
    expected = [mean_of(lambda y, a=a: math.cosh(a - y)) for a in actions.tolist()]
    np.testing.assert_allclose(estimate.value[0], expected, rtol=1e-6)
    assert (estimate.standard_error[0] < 1e-3).all()


def test_the_error_of_costs_with_kinks_is_small_and_said():
    actions = torch.linspace(-2, 4, 13, dtype=torch.float64)
    estimate = expected_cost(three(), actions, lambda a, y: (a - y).abs())
    expected = [mean_of(lambda y, a=a: abs(a - y)) for a in actions.tolist()]
    np.testing.assert_allclose(estimate.value[0], expected, atol=1e-4)
    gap = (estimate.value[0] - torch.tensor(expected)).abs()
    assert (gap <= estimate.standard_error[0] + 1e-5).all()


def test_kinks_and_jumps_err_as_little_as_promised_with_many_components():
    rng = np.random.default_rng(0)
    loc, scale = torch.tensor(rng.normal(size=(20, 80, 1))), torch.tensor(rng.uniform(0.1, 0.6, size=(20, 80, 1)))
    pooled = Mixture(Categorical(logits=torch.tensor(rng.normal(size=(20, 80)))), DiagonalNormal(loc, scale))
    actions = torch.linspace(-2, 2, 9, dtype=torch.float64)
    kink = expected_cost(pooled, actions, lambda a, y: (y - a).clamp_min(0)).value
    jump = expected_cost(pooled, actions, lambda a, y: (y > a).double()).value
    for d, a in enumerate(actions.tolist()):
        torch.testing.assert_close(kink[:, [d]], expected_excess(pooled, a), rtol=0, atol=1e-4)
        torch.testing.assert_close(jump[:, [d]], pooled.exceedance(a), rtol=0, atol=1e-2)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_quadratic_cost_is_variance_and_squared_distance(unit):
    distribution = three(unit)
    actions = distribution.mean[0] + unit * torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)
    value = expected_cost(distribution, actions, lambda a, y: (a - y).square()).value
    torch.testing.assert_close(value, distribution.variance + unit**2 * torch.tensor([[0.0, 1.0, 4.0]]).double())


def test_the_best_action_is_brute_forces():
    distribution = rows(6)
    actions = torch.linspace(-2, 2, 41, dtype=torch.float64)

    def cost(a, y):
        return (2 * (y - a).clamp_min(0) + (a - y).clamp_min(0)) ** 1.5

    choice = best_action(distribution, actions, cost)
    samples = distribution.sample((200_000,), generator=torch.Generator().manual_seed(1)).squeeze(-1)
    brute = torch.stack([cost(a, samples).mean(0) for a in actions], -1)
    assert (choice.index - brute.argmin(-1)).abs().max() <= 1  # of neighbours, costs are alike
    torch.testing.assert_close(choice.cost, brute.min(-1).values, rtol=0.01, atol=0)
    torch.testing.assert_close(choice.action, actions[choice.index])
    torch.testing.assert_close(choice.costs.gather(-1, choice.index.unsqueeze(-1)).squeeze(-1), choice.cost)


def test_rows_may_have_actions_and_prices_of_their_own():
    distribution = rows(4)
    actions = distribution.mean + torch.tensor([[-1.0, 0.0, 1.0, 2.0]], dtype=torch.float64)  # (N, A), square
    price = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    choice = best_action(distribution, actions, lambda a, y: price[:, None] * (a - y).square())
    torch.testing.assert_close(choice.action, distribution.mean.squeeze(-1))
    torch.testing.assert_close(choice.cost, price * distribution.variance.squeeze(-1))


def test_actions_may_be_vectors():
    intervals = torch.tensor([[[-2.0, 2.0], [-0.5, 0.5], [3.0, 4.0]]], dtype=torch.float64)  # (1, A, 2)

    def width_and_miss(action, y):
        low, high = action.unbind(-1)
        return (high - low) + 20 * ((y < low) | (y > high))

    choice = best_action(rows(5), intervals, width_and_miss)
    assert choice.action.shape == (5, 2)
    own = intervals.expand(5, 3, 2)
    torch.testing.assert_close(best_action(rows(5), own, width_and_miss).cost, choice.cost)


def test_costs_of_several_targets_are_means_over_samples_within_their_standard_errors():
    tril = torch.tensor([[[[1.0, 0.0], [0.6, 0.8]]]], dtype=torch.float64)
    pair = weighed(FullNormal(torch.tensor([[[1.0, -1.0]]]).double(), tril), 1.0)
    actions = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    estimate = expected_cost(
        pair, actions, lambda a, y: a * y[..., 0] * y[..., 1], n_samples=20_000
    )  # E Y0 Y1 = 0.6 - 1
    gap = (estimate.value[0] - actions * (0.6 - 1)).abs()
    assert (gap <= 4.5 * estimate.standard_error[0]).all()
    assert estimate.standard_error[0, 0] == 0
    assert 0.005 < estimate.standard_error[0, 1] < 0.02


def test_standard_errors_of_costs_are_honest():
    pair = rows(1, 2)
    action, errors = torch.zeros(1, dtype=torch.float64), []
    exact = (pair.variance + pair.mean.square()).sum()
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        estimate = expected_cost(pair, action, lambda a, y: y.square().sum(-1) + a, n_samples=500, generator=generator)
        errors.append(float((estimate.value - exact) / estimate.standard_error))
    assert 0.6 < np.var(errors) < 1.6  # a false alarm in 10^5
    assert abs(np.mean(errors)) < 4.5 / math.sqrt(200)


def test_points_are_worked_on_in_parts(monkeypatch):
    from manymodes.decisions import actions as module

    actions = torch.linspace(-1, 1, 5, dtype=torch.float64)
    for distribution in (rows(7), rows(7, 2)):

        def cost(a, y):
            return (a - (y if y.dim() == 3 else y.sum(-1))).square()

        whole = expected_cost(distribution, actions, cost, n_samples=400)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_VALUES", 200)
            parts = expected_cost(distribution, actions, cost, n_samples=400)
        if distribution.event_shape[0] == 1:
            torch.testing.assert_close(parts.value, whole.value)
            torch.testing.assert_close(parts.standard_error, whole.standard_error, atol=1e-12, rtol=1e-6)
        else:
            gap = (parts.value - whole.value).abs() / torch.hypot(parts.standard_error, whole.standard_error)
            assert gap.max() < 5


@pytest.mark.parametrize(
    "distribution",
    [
        weighed(Laplace(column(0.0, 4.0), column(1.0, 0.5)), 0.4, 0.6),
        weighed(StudentT(column(5.0, 6.0), column(0.0, 4.0), column(1.0, 0.5)), 0.4, 0.6),
        weighed(Gamma(column(2.0, 9.0), column(1.0, 0.5)), 0.4, 0.6),
        weighed(Concatenation(PointMass(column(0.0)), Gamma(column(3.0), column(1.0))), 0.4, 0.6),
        weighed(Poisson(column(3.0, 20.0)), 0.4, 0.6),
        Recalibrated(three(), [PITMap([0.0, 0.5, 1.0], [0.6, 1.2, 0.7])]),
    ],
    ids=["Laplace", "StudentT", "Gamma", "atom", "counts", "Recalibrated"],
)
def test_every_family_has_costs(distribution):
    estimate = expected_cost(distribution, distribution.mean[0], lambda a, y: (a - y).square(), n_samples=4000)
    torch.testing.assert_close(estimate.value, distribution.variance, rtol=5e-3, atol=0)


def test_the_best_direction_is_found_for_angles():
    angle = weighed(VonMises(column(math.pi - 0.2), column(4.0)), 1.0)
    around = torch.linspace(-math.pi, math.pi, 629, dtype=torch.float64)
    choice = best_action(angle, around, lambda a, y: 1 - torch.cos(a - y))
    assert choice.action.item() == pytest.approx(math.pi - 0.2, abs=0.01)
    assert choice.cost.item() == pytest.approx(quadratic(angle).cost.item(), rel=1e-3)


def test_what_must_not_be_costs_infinitely_much():
    bounded = weighed(Gamma(column(2.0), column(1.0)), 1.0)
    actions = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    choice = best_action(bounded, actions, lambda a, y: torch.where(y < a, torch.inf, 1.0))
    assert choice.index.item() == 0
    assert choice.costs[0, 1] == math.inf


def test_single_precision_and_no_rows_have_decisions():
    distribution = rows(4).to(torch.float32)
    choice = best_action(distribution, torch.linspace(-1, 1, 5), lambda a, y: (a - y).square())
    assert choice.cost.dtype == choice.action.dtype == torch.float32
    none = best_action(rows(4)[:0], torch.linspace(-1, 1, 5), lambda a, y: (a - y).square())
    assert tuple(none.costs.shape) == (0, 5)
    assert repr(choice).startswith("Choice(rows=4, on average cost=")
    assert isinstance(none, Choice)


def test_actions_and_costs_that_do_not_fit_are_refused():
    distribution, actions = rows(4), torch.zeros(3)
    with pytest.raises(
        InputError, match=r"^actions must hold at least 1 action, \(A,\) or \(N, A, ...\); got shape \(0,\)\.$"
    ):
        expected_cost(distribution, torch.zeros(0), torch.sub)
    with pytest.raises(
        InputError,
        match=r"^actions must have shape \(4, A\) or be common to all rows, \(A,\) or \(1, A, ...\); got \(3, 2\)\.$",
    ):
        expected_cost(distribution, torch.zeros(3, 2), torch.sub)
    with pytest.raises(TypeError, match=r"^actions must be a Tensor; got list\.$"):
        expected_cost(distribution, [0.0], torch.sub)
    with pytest.raises(TypeError, match=r"^distribution must be a Prediction; got str\.$"):
        expected_cost("rain", actions, torch.sub)
    with pytest.raises(
        InputError, match=r"^cost must return shape \(513, 4, 3\), for points, rows and actions; got \(513, 4\)\.$"
    ):
        expected_cost(distribution, actions, lambda a, y: y.squeeze(-1))
    with pytest.raises(InputError, match=r"^cost must return numbers, or inf for what must not be; got NaN\.$"):
        expected_cost(distribution, actions, lambda a, y: (a - y) * torch.nan)
    with pytest.raises(TypeError, match=r"^cost must be a function of actions and targets; got None\.$"):
        expected_cost(distribution, actions, None)
    with pytest.raises(TypeError, match=r"^what cost returns must be a Tensor; got float\.$"):
        expected_cost(distribution, actions, lambda a, y: 1.0)


# --- exact ones ---


def test_partial_expectations_are_quadratures():
    for t in (-2.0, 0.0, 1.5, 3.5):
        above, below = mean_of(lambda y, t=t: max(y - t, 0)), mean_of(lambda y, t=t: max(t - y, 0))
        assert expected_excess(three(), t).item() == pytest.approx(above, rel=1e-6)
        assert expected_excess(three(), t, tail="lower").item() == pytest.approx(below, rel=1e-6)


@pytest.mark.parametrize("z", [0.0, 3.0, 10.0, 30.0])
def test_the_far_tail_keeps_its_digits(z):
    # E(Z - z)+ = integral of P(Z > t) from z on, in units of P(Z > z).
    tail = integrate.quad(lambda t: math.exp(stats.norm.logsf(z + t) - stats.norm.logsf(z)), 0, 40 / max(z, 1))[0]
    expected = math.exp(stats.norm.logsf(z)) * tail
    one = weighed(DiagonalNormal(column(0.0), column(1.0)), 1.0)
    assert expected_excess(one, z).item() == pytest.approx(expected, rel=1e-8)
    assert expected_excess(one, -z, tail="lower").item() == pytest.approx(expected, rel=1e-8)


def test_an_excess_far_from_zero_keeps_its_digits():
    far = weighed(DiagonalNormal(column(1e6), column(1e-3)), 1.0)
    assert expected_excess(far, 1e6).item() == pytest.approx(1e-3 / math.sqrt(2 * math.pi), rel=1e-9)


def test_an_excess_in_single_precision_far_from_zero_is_that_of_its_numbers():
    far = weighed(Laplace(column(1e5), column(0.1)), 1.0)
    single = expected_excess(far.to(torch.float32), 1e5)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(0.05, rel=1e-6)  # half the scale


@pytest.mark.parametrize("family", [Laplace, DiagonalNormal])
def test_both_sides_of_a_threshold_differ_by_the_distance_of_the_mean(family):
    distribution = weighed(family(column(*LOC), column(*SCALE)), *WEIGHTS)
    gap = expected_excess(distribution, 0.7) - expected_excess(distribution, 0.7, tail="lower")
    torch.testing.assert_close(gap, distribution.mean - 0.7)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_newsvendor_provides_what_brute_force_does(unit):
    distribution = three(unit)
    decision = newsvendor(distribution, 3.0, 1.0)
    torch.testing.assert_close(distribution.cdf(decision.action), torch.tensor([[0.75]]).double())
    near = decision.action[0] + unit * torch.linspace(-0.2, 0.2, 41, dtype=torch.float64)

    def cost(a, y):
        return 3 * (y - a).clamp_min(0) + (a - y).clamp_min(0)

    choice = best_action(distribution, near, cost)
    assert choice.index.item() == 20
    assert decision.cost.item() == pytest.approx(choice.cost.item(), rel=1e-4)


def test_the_newsvendor_of_one_normal_is_the_textbooks():
    decision = newsvendor(weighed(DiagonalNormal(column(100.0), column(20.0)), 1.0), 9.0, 1.0)
    z = stats.norm.ppf(0.9)
    assert decision.action.item() == pytest.approx(100 + 20 * z)
    assert decision.cost.item() == pytest.approx(10 * 20 * stats.norm.pdf(z))


def test_the_newsvendor_of_counts_provides_whole_units():
    decision = newsvendor(weighed(Poisson(column(4.0)), 1.0), 4.0, 1.0)
    amounts, chances = np.arange(60), stats.poisson.pmf(np.arange(60), 4.0)
    costs = [(chances * np.where(amounts > a, 4 * (amounts - a), a - amounts)).sum() for a in range(20)]
    assert decision.action.item() == np.argmin(costs)
    assert decision.cost.item() == pytest.approx(min(costs))


def test_costs_of_a_newsvendor_may_differ_by_row_and_target():
    distribution = rows(3, 2)
    price = torch.tensor([1.0, 2.0, 9.0]).double()
    by_row = newsvendor(distribution, price, 1.0)
    by_target = newsvendor(distribution, price[:, None].expand(3, 2), torch.ones(3, 2).double())
    torch.testing.assert_close(by_row.action, by_target.action)
    torch.testing.assert_close(
        distribution.cdf(by_row.action), (price / (price + 1))[:, None].expand(3, 2), rtol=1e-9, atol=0
    )


def test_the_quadratic_action_is_the_mean():
    decision = quadratic(three())
    assert decision.action.item() == pytest.approx(0.3 * -1 + 0.5 * 0.5 + 0.2 * 3)
    assert decision.cost.item() == pytest.approx(three().variance.item())


def test_to_act_is_right_where_the_chance_exceeds_the_ratio_of_cost_and_loss():
    distribution = rows(50)
    chance = distribution.exceedance(0.5)
    decision = threshold_action(distribution, 0.5, 1.0, 4.0)
    torch.testing.assert_close(decision.action, chance > 0.25)
    torch.testing.assert_close(decision.cost, torch.where(chance > 0.25, 1.0, 4 * chance))
    assert decision.action.any()
    assert not decision.action.all()


def test_counts_that_just_reach_the_threshold_do_harm():
    counts = weighed(Poisson(column(2.0)), 1.0)
    assert threshold_action(counts, 3.0, 1e9, 1.0).cost.item() == pytest.approx(stats.poisson.sf(2, 2.0))


def test_costs_that_cannot_be_are_refused():
    distribution = rows(4)
    with pytest.raises(InputError, match=r"^underage must be > 0 in every row; got 0\.$"):
        newsvendor(distribution, 0.0, 1.0)
    with pytest.raises(InputError, match=r"^overage must be finite; got nan\.$"):
        newsvendor(distribution, 1.0, math.nan)
    with pytest.raises(
        InputError,
        match=r"^loss must have shape \(..., 4, 1\) or be a number or have one for each row; got \(3,\)\.$",
    ):
        threshold_action(distribution, 0.0, 1.0, torch.ones(3))
    angle = weighed(VonMises(column(0.0), column(1.0)), 1.0)
    with pytest.raises(
        InputError,
        match=r"^newsvendor needs targets on a line; got an angle\. Take best_action with a cost of yours\.$",
    ):
        newsvendor(angle, 1.0, 1.0)
    with pytest.raises(InputError, match=r"^tail must be one of 'lower', 'upper'; got 'both'\.$"):
        expected_excess(distribution, 0.0, tail="both")
