"""What every component family must do; the families are listed in registry.py."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes._checks import InputError
from manymodes.distributions import Mixture, Normal
from manymodes.distributions.constraints import Scaling, rule

from .registry import (
    BATCH,
    FAMILIES,
    KNOTS,
    D,
    Family,
    K,
    angles,
    bounded,
    column,
    continuous,
    counts,
    density,
    every_family,
    extreme,
    linear,
    log_density,
    not_scalable,
    not_shiftable,
    not_widening,
    over_parameters,
    quadrature,
    rounding,
    scalable,
    shiftable,
    widening,
    with_entropy,
    without_entropy,
)

LEVELS = (1e-30, 1e-9, 0.2, 0.5, 1 - 1e-9)
TINY = 1e-6  # p-values below are failures: with 24 tests for each family, fewer than 1 of 1,000 seeds raises an alarm


def tensor(values) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def close(got: Tensor, expected, rtol: float = 1e-9, atol=0.0) -> None:
    got, expected, atol = np.broadcast_arrays(got.detach().numpy(), expected, atol)
    negligible = np.isclose(got, expected, rtol=0.0, atol=atol)
    np.testing.assert_allclose(np.where(negligible, expected, got), expected, rtol=rtol)


def derivative(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    found = torch.autograd.grad(output.sum(), inputs, allow_unused=True, materialize_grads=True)
    return tuple(found)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- shapes ---


@every_family
@pytest.mark.parametrize("batch", [(K,), (4, K), (5, 4, K), (0, K)])
@pytest.mark.parametrize("target_dim", [1, 2, 5])
def test_every_method_keeps_the_declared_shapes(family: Family, batch, target_dim):
    parts = family.component(batch, target_dim)
    each = (*batch, target_dim)
    assert (parts.batch_shape, parts.event_shape) == (batch, (target_dim,))
    assert parts.kinds == (family.cls.kind,) * target_dim
    for sample_shape in [(), (6,), (2, 3)]:
        y = parts.sample(sample_shape)
        assert y.shape == (*sample_shape, *each)
    y = parts.sample()[..., :1, :]  # (..., 1, D): as mixtures ask
    level = torch.full_like(y, 0.3)
    partial = () if family.angular else ("lower_mean", "upper_mean")
    for method in ("marginal_log_prob", "score", "cdf", "sf", "log_cdf", "log_sf", *partial):
        assert getattr(parts, method)(y).shape == each, method
    for method in ("icdf", "isf"):
        assert getattr(parts, method)(level).shape == each, method
        assert getattr(parts, method)(torch.tensor(0.3, dtype=torch.float64)).shape == each, method
    for values in (parts.mean, parts.variance, *parts.ends(), *parts.rosenblatt(y)):
        assert values.shape == each
    assert parts.log_prob(y).shape == parts.interval_log_prob(y, y + 1).shape == batch
    assert parts.log_prob(parts.sample((6,))).shape == (6, *batch)
    assert parts.gradient(y).shape == parts.marginal_interval_log_prob(y, y + 1).shape == each
    assert parts.curvature(y).shape == (*each, target_dim)
    assert parts.turning_points().shape[:-1] == each


@every_family
def test_parameters_of_different_batch_shapes_broadcast(family: Family):
    parameters = family.parameters()
    for name in parameters:
        changed = parameters | {name: parameters[name][:1]}
        spelt_out = parameters | {name: parameters[name][:1].expand_as(parameters[name])}
        parts = family.cls(**changed)
        assert parts.batch_shape == (BATCH if len(parameters) > 1 else (1, K))
        y = parts.sample(generator=seeded(0))
        torch.testing.assert_close(parts.log_prob(y), family.cls(**spelt_out).log_prob(y).expand(4, K)[: len(y)])


@over_parameters(lambda family, name: name != family.first)
def test_a_parameter_of_another_size_is_refused(family: Family, name: str):
    parameters = family.parameters() | {name: torch.ones(4, K, D + 1, dtype=torch.float64)}
    sizes = _checks.shape_text(("...", "K", *family.cls.parameters[name].sizes(D)))
    with pytest.raises(InputError) as caught:
        family.cls(**parameters)
    assert str(caught.value) == (
        f"{name} must have shape {sizes} for K components of {family.name} and D=2 target dimensions; got (4, 3, 3)."
    )


@every_family
@pytest.mark.parametrize("shape", [(3,), (1,), (4, 3, 0)])
def test_parameters_without_components_or_dimensions_are_refused(family: Family, shape):
    parameters = family.parameters() | {family.first: torch.ones(shape, dtype=torch.float64)}
    with pytest.raises(InputError) as caught:
        family.cls(**parameters)
    assert str(caught.value) == (
        f"{family.first} must have shape (..., K, D) with D >= 1; got {_checks.shape_text(shape)}."
    )


@over_parameters(lambda family, name: not family.cls.parameters[name].constraint.check(torch.tensor(-1.5)))
def test_a_negative_parameter_is_refused_with_its_place(family: Family, name: str):
    parameters = family.parameters()
    parameters[name][2, 1, 0] = -1.5
    with pytest.raises(InputError) as caught:
        family.cls(**parameters, validate_args=True)
    words = rule(family.cls.parameters[name].constraint)
    assert str(caught.value) == f"{name} must be {words} everywhere; got -1.5 at (2, 1, 0)."


@over_parameters(lambda family, name: True)
def test_a_parameter_that_is_not_a_number_is_refused(family: Family, name: str):
    parameters = family.parameters()
    parameters[name][0, 2, 0] = torch.nan
    with pytest.raises(InputError, match=rf"^{name} must be .* everywhere; got nan at \(0, 2, 0\)\.$"):
        family.cls(**parameters, validate_args=True)


def test_a_family_without_a_declaration_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Normal(**FAMILIES[0].parameters())


# --- agreement: the density ---


@every_family
def test_densities_agree_with_scipy(family: Family):
    y = family.points()
    expected = log_density(family.reference(), y)
    close(family.component().marginal_log_prob(tensor(y)), expected, atol=1e-9)
    close(family.component().log_prob(tensor(y)), expected.sum(-1), atol=1e-9)


@scalable
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_densities_agree_with_scipy_at_any_scale(family: Family, scale):
    _assert_density_agrees(family, family.component().affine(0.0, scale))


@shiftable
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_densities_agree_with_scipy_a_million_scales_from_zero(family: Family, scale):
    _assert_density_agrees(family, family.component().affine(1e6 * scale, scale))


def _assert_density_agrees(family: Family, parts) -> None:
    reference = family.reference(parts)
    y = reference.ppf(column((0.01, 0.3, 0.5, 0.9)))
    close(parts.log_prob(tensor(y)), log_density(reference, y).sum(-1), atol=1e-9)


@every_family
def test_the_density_integrates_to_one(family: Family):
    rule = quadrature(family)
    close(torch.ones(()), rule.integral(family.component().marginal_log_prob(tensor(rule.points)).exp().numpy()), 1e-6)


@bounded
def test_the_density_is_zero_outside_the_support_and_has_finite_gradients(family: Family):
    parts, leaves = family.traced()
    low, high = (end.detach() for end in parts.ends())
    outside = [low - 1e-3, low - 1e3] if low.isfinite().all() else []
    outside += [high + 1e-3, high + 1e3] if high.isfinite().all() else []
    outside += [low + 1.5] if family.discrete else []
    for y in outside:
        values = parts.marginal_log_prob(y)
        assert (values == -torch.inf).all()
        assert family.discrete or (parts.score(y) == 0).all()
        assert all(gradient.isfinite().all() for gradient in derivative(values, *leaves))
    assert ((parts.cdf(low - 1) == 0) & (parts.sf(low - 1) == 1)).all()
    assert ((parts.cdf(high + 1) == 1) & (parts.sf(high + 1) == 0)).all()


@linear
def test_the_ends_are_those_of_the_support(family: Family):
    low, high = family.component().ends()
    expected = family.reference().support()
    close(low, expected[0])
    close(high, expected[1])
    assert family.cls.everywhere == (not low.isfinite().any() and not high.isfinite().any() and not family.discrete)


# --- agreement: probabilities and quantiles ---


@every_family
def test_probabilities_agree_with_scipy(family: Family):
    parts, reference = family.component(), family.reference()
    for y in (reference.ppf(column(LEVELS)), reference.isf(column(LEVELS))):
        cdf, sf, slack = reference.cdf(y), reference.sf(y), rounding(family, y)
        close(parts.cdf(tensor(y)), cdf, atol=slack)
        close(parts.sf(tensor(y)), sf, atol=slack)
        close(parts.log_cdf(tensor(y)).exp()[cdf > 0], cdf[cdf > 0], atol=slack[cdf > 0])
        close(parts.log_sf(tensor(y)).exp()[sf > 0], sf[sf > 0], atol=slack[sf > 0])


@every_family
def test_quantiles_agree_with_scipy(family: Family):
    parts, reference = family.component(), family.reference()
    levels = column(LEVELS)
    close(parts.icdf(tensor(levels)), reference.ppf(levels), atol=1e-11)
    close(parts.isf(tensor(levels)), reference.isf(levels), atol=1e-11)


@continuous
def test_quantiles_undo_probabilities(family: Family):
    parts, y = family.component(), tensor(family.points())
    torch.testing.assert_close(parts.icdf(parts.cdf(y)), y, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(parts.isf(parts.sf(y)), y, rtol=1e-9, atol=1e-10)


@counts
def test_quantiles_are_the_smallest_counts_that_reach_the_level(family: Family):
    parts = family.component()
    y = tensor(column(range(12)))
    drawn = torch.rand(200, 4, K, D, generator=seeded(0), dtype=torch.float64)
    levels = torch.cat([drawn, parts.cdf(y)])
    found = parts.icdf(levels)
    assert (found == found.round()).all()
    assert (parts.cdf(found) >= levels).all()
    assert (parts.cdf(found - 1) < levels).all()
    levels = torch.cat([drawn, parts.sf(y)])
    found = parts.isf(levels)
    assert (parts.sf(found) <= levels).all()
    assert (parts.sf(found - 1) > levels).all()


@every_family
def test_the_levels_zero_and_one_are_the_ends_of_the_support(family: Family):
    parts = family.component()
    low, high = parts.ends()
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    if not family.discrete:
        assert (parts.icdf(zero) == low).all()
        assert (parts.isf(one) == low).all()
    assert (parts.icdf(one) == high).all()
    assert (parts.isf(zero) == high).all()


@continuous
def test_the_slope_of_the_cdf_is_the_density(family: Family):
    parts, y = family.component(), tensor(family.points()).requires_grad_()
    expected = density(family.reference(), family.points())
    close(derivative(parts.cdf(y), y)[0], expected)
    close(derivative(parts.sf(y), y)[0], -expected)
    close(derivative(parts.log_cdf(y), y)[0], expected / family.reference().cdf(family.points()))
    close(derivative(parts.log_sf(y), y)[0], -expected / family.reference().sf(family.points()))


@every_family
def test_log_probabilities_stay_finite_where_probabilities_underflow(family: Family):
    parts, leaves = family.traced()
    middle, spread = tensor(family.points((0.5,))[0]), tensor(family.spread())
    for y, log_probability in ((middle - 1e4 * spread, parts.log_cdf), (middle + 1e4 * spread, parts.log_sf)):
        values = log_probability(y.round() if family.discrete else y)
        assert values.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in derivative(values, *leaves))


# --- agreement: moments ---


@linear
def test_moments_agree_with_scipy(family: Family):
    parts = family.component()
    mean, variance, skewness, kurtosis = family.reference().stats(moments="mvsk")
    close(parts.mean, mean, atol=1e-12)
    close(parts.variance, variance)
    for order, expected in ((2, variance), (3, skewness * variance**1.5), (4, (kurtosis + 3) * variance**2)):
        expected = np.where(np.isfinite(expected), expected, np.inf)
        close(parts.central_moment(order), expected, atol=1e-12)


@with_entropy
def test_entropies_agree_with_scipy(family: Family):
    close(family.component().entropy(), family.reference().entropy().sum(-1), atol=1e-9)


@without_entropy
def test_an_entropy_without_a_closed_form_is_refused(family: Family):
    with pytest.raises(InputError) as caught:
        family.component().entropy()
    assert str(caught.value) == (f"the entropy of {family.name} has no closed form; use entropy() of a mixture.")


@linear
def test_partial_means_agree_with_quadrature_and_sum_to_the_mean(family: Family):
    parts, rule = family.component(), quadrature(family)
    y = family.points(KNOTS)
    weighted = rule.points * density(family.reference(), rule.points)
    below, total = rule.integral(weighted, y), rule.integral(weighted)
    close(parts.lower_mean(tensor(y)), below, rtol=1e-7, atol=1e-7)
    close(parts.upper_mean(tensor(y)), total - below, rtol=1e-7, atol=1e-7)
    close(parts.lower_mean(tensor(y)) + parts.upper_mean(tensor(y)), total, rtol=1e-7, atol=1e-7)


@linear
def test_partial_means_of_the_whole_line_are_the_mean_and_zero(family: Family):
    parts = family.component()
    for y, lower, upper in ((torch.inf, parts.mean, 0.0), (-torch.inf, torch.zeros_like(parts.mean), parts.mean)):
        close(parts.lower_mean(torch.tensor(y, dtype=torch.float64)), lower, atol=1e-12)
        close(parts.upper_mean(torch.tensor(y, dtype=torch.float64)), upper, atol=1e-12)


@angles
def test_angles_have_no_moments_but_the_circular_variance(family: Family):
    parts, rule = family.component(), quadrature(family)
    cosines = rule.integral(np.cos(rule.points - family.reference().loc) * density(family.reference(), rule.points))
    close(parts.variance, 1 - cosines)
    for order in (3, 4):
        with pytest.raises(InputError, match=rf"^order must be 2 for angles, .*; got {order}\.$"):
            parts.central_moment(order)
    for method in (parts.lower_mean, parts.upper_mean):
        with pytest.raises(InputError, match=r"^angles have no mean .*; use .*\.$"):
            method(parts.mean)


@angles
def test_angles_have_the_same_density_a_turn_away(family: Family):
    parts, y = family.component(), tensor(family.points())
    torch.testing.assert_close(parts.log_prob(y + 4 * np.pi), parts.log_prob(y))


# --- agreement: intervals ---


@every_family
def test_an_interval_of_one_point_has_the_density(family: Family):
    parts, y = family.component(), tensor(family.points())
    close(parts.marginal_interval_log_prob(y, y), log_density(family.reference(), family.points()), atol=1e-9)
    close(parts.interval_log_prob(y, y), log_density(family.reference(), family.points()).sum(-1), atol=1e-9)


@every_family
def test_the_whole_line_has_probability_one(family: Family):
    line = torch.full((D,), torch.inf, dtype=torch.float64)
    assert (family.component().marginal_interval_log_prob(-line, line) == 0).all()
    assert (family.component().interval_log_prob(-line, line) == 0).all()


@every_family
@pytest.mark.parametrize("levels", [(0.01, 0.3), (0.3, 0.9), (0.4, 0.4001), (1e-20, 1e-12), (1e-12, 0.7)])
def test_intervals_have_the_probability_between_their_ends(family: Family, levels):
    reference, rule = family.reference(), quadrature(family)
    for quantile in (reference.ppf, reference.isf):
        low, high = np.sort([quantile(np.full((*BATCH, D), level)) for level in levels], axis=0)
        if family.discrete:
            probability = np.where(
                (rule.points >= low) & (rule.points <= high), density(reference, rule.points), 0
            ).sum(0)
        else:
            lower, upper = reference.cdf(high) - reference.cdf(low), reference.sf(low) - reference.sf(high)
            probability = np.where(reference.cdf(low) < 0.5, lower, upper)
        got = family.component().marginal_interval_log_prob(tensor(low), tensor(high)).exp()
        slack = rounding(family, low) + rounding(family, high)
        cells = family.discrete | (low < high)
        close(got[cells], probability[cells], rtol=1e-9, atol=slack[cells])


@every_family
@pytest.mark.parametrize("level", [1e-30, 1e-9, 0.3, 0.5, 0.9])
def test_half_open_intervals_have_the_probability_of_a_tail(family: Family, level):
    parts, reference = family.component(), family.reference()
    infinity = torch.tensor(torch.inf, dtype=torch.float64)
    low, high = reference.isf(np.full((*BATCH, D), level)), reference.ppf(np.full((*BATCH, D), level))
    below, above = reference.cdf(high), reference.sf(low - 1 if family.discrete else low)
    lower = parts.marginal_interval_log_prob(-infinity, tensor(high))
    upper = parts.marginal_interval_log_prob(tensor(low), infinity)
    close(lower.exp(), below, atol=rounding(family, high))
    close(upper.exp(), above, atol=rounding(family, low))


@counts
def test_a_cell_around_a_count_has_its_probability(family: Family):
    y = family.points((1e-9, 0.3, 0.9, 1 - 1e-9))
    for low, high in ((0.5, 0.5), (0.0, 0.9), (0.0, 0.0)):
        got = family.component().marginal_interval_log_prob(tensor(y - low), tensor(y + high))
        close(got, log_density(family.reference(), y), atol=1e-9)


@continuous
def test_a_narrow_interval_has_the_density_times_its_width(family: Family):
    for width in (1e-10, 1e-8, 1e-6):
        low = family.points()
        high = low + width * family.spread()
        expected = log_density(family.reference(), (low + high) / 2) + np.log(high - low)
        close(family.component().marginal_interval_log_prob(tensor(low), tensor(high)), expected, rtol=0, atol=1e-6)


@every_family
def test_intervals_have_finite_gradients_everywhere(family: Family):
    parts, leaves = family.traced()
    tail = 1e-30 if family.cls.everywhere and not family.angular else 1e-6
    y, spread = tensor(family.points((tail, 0.01, 0.5, 0.9))), tensor(family.spread())
    infinity = torch.full_like(y, torch.inf)
    cells = {
        "points": (y, y),
        "the whole line": (-infinity, infinity),
        "lower half": (-infinity, y),
        "upper half": (y, infinity),
        "cells": (y, y + spread),
        "narrow cells": (y, y + 1e-10 * spread),
    }
    if family.cls.everywhere and not family.angular:
        far = y + 1e5 * spread
        cells |= {"far cells": (far, far + spread), "far half": (far, infinity), "other far half": (-infinity, -far)}
    for name, (low, high) in cells.items():
        values = parts.marginal_interval_log_prob(low, high)
        assert values.isfinite().all(), name
        assert all(gradient.isfinite().all() for gradient in derivative(values, *leaves)), name


# --- agreement: samples ---


def uniforms(family: Family, samples: Tensor) -> np.ndarray:
    """Return what is even on [0, 1] where samples are right; counts are spread over their step of the cdf."""
    y = samples.numpy()
    below = np.random.default_rng(0).random(y.shape) * density(family.reference(), y) if family.discrete else 0.0
    return family.reference().cdf(y) - below


@every_family
def test_samples_follow_the_cdf(family: Family):
    n = 2000
    even = uniforms(family, family.component().sample((n,), generator=seeded(0))).reshape(n, -1)
    assert min(stats.kstest(values, "uniform").pvalue for values in even.T) > TINY


@every_family
def test_samples_of_chosen_components_follow_the_cdf_of_the_chosen(family: Family):
    index = torch.randint(K, (2000, 4), generator=seeded(1))
    samples = family.component().sample_at(index, seeded(2))
    assert samples.shape == (2000, 4, D)
    even = uniforms(family, samples.unsqueeze(-2).expand(-1, -1, K, -1))
    for k in range(K):
        assert stats.kstest(even[:, :, k][(index == k).numpy()].ravel(), "uniform").pvalue > TINY


@every_family
def test_samples_come_from_the_generator_alone(family: Family):
    parts, state = family.traced()[0], torch.get_rng_state()
    first, again, other = (parts.sample((50,), generator=seeded(seed)) for seed in (3, 3, 4))
    assert first.equal(again)
    assert not first.equal(other)
    assert not first.requires_grad
    index = torch.zeros(4, dtype=torch.long)
    assert parts.sample_at(index, seeded(3)).equal(parts.sample_at(index, seeded(3)))
    assert torch.get_rng_state().equal(state)


@linear
def test_samples_lie_in_the_support(family: Family):
    parts = family.component()
    samples = parts.sample((2000,), generator=seeded(5))
    assert parts.log_prob(samples).isfinite().all()


# --- gradients ---


@every_family
def test_the_score_is_the_derivative_of_the_log_density(family: Family):
    parts, y = family.component(), tensor(family.points()).requires_grad_()
    for method, output in ((parts.score, parts.marginal_log_prob(y)), (parts.gradient, parts.log_prob(y))):
        torch.testing.assert_close(method(y).detach(), derivative(output, y)[0], rtol=1e-9, atol=1e-9)


@continuous
def test_the_slope_of_the_score_is_its_derivative_where_it_is_asked_for(family: Family):
    parts, y = family.component(), tensor(family.points()).requires_grad_()
    if parts.turning_order == 3:
        expected = _differentiated(parts.score, y)
        close(parts.score_slope(y), expected, rtol=1e-6, atol=1e-6)
    else:
        assert parts.turning_order == 2


def _differentiated(function, y: Tensor, step: float = 1e-5) -> Tensor:
    step = step * y.detach().abs().clamp_min(1.0)
    return ((function(y + step) - function(y - step)) / (2 * step)).detach()


@continuous
def test_curvatures_are_positive_and_a_short_step_by_them_climbs(family: Family):
    parts, y = family.component(), tensor(family.points((0.001, 0.01, 0.3, 0.5, 0.9, 0.999)))
    curvature = parts.curvature(y)
    assert (torch.linalg.eigvalsh(curvature) > 0).all()
    step = torch.linalg.solve(curvature, parts.gradient(y).unsqueeze(-1)).squeeze(-1)
    step = 1e-3 * torch.minimum(step.abs(), tensor(family.spread())) * step.sign()
    assert (parts.log_prob(y + step) >= parts.log_prob(y) - 1e-12).all()


@every_family
def test_gradients_of_the_density_are_right_and_reach_every_parameter(family: Family):
    names, fixed = family.learnt, family.parameters((2, K))
    leaves = [fixed[name].requires_grad_() for name in names]
    y = tensor(family.points((0.3,))[:, :2]).requires_grad_(not family.discrete)

    def log_prob(value, *values):
        return family.cls(**fixed | dict(zip(names, values, strict=True)), validate_args=False).log_prob(value)

    assert torch.autograd.gradcheck(log_prob, (y, *leaves), fast_mode=True)
    assert all((gradient != 0).any() for gradient in derivative(log_prob(y, *leaves), *leaves))


@every_family
def test_gradients_of_the_cdf_are_right_in_every_parameter(family: Family):
    names, fixed = family.learnt, family.parameters((2, K))
    leaves = [fixed[name].requires_grad_() for name in names]
    y = tensor(family.points((0.01, 0.3, 0.9))[:, :2])
    for method in ("cdf", "sf"):

        def probability(*values, method=method):
            parts = family.cls(**fixed | dict(zip(names, values, strict=True)), validate_args=False)
            return getattr(parts, method)(y)

        assert torch.autograd.gradcheck(probability, leaves, fast_mode=True)


# --- turning points ---


@continuous
def test_the_derivative_of_the_density_is_monotone_between_turning_points(family: Family):
    parts, reference = family.component(), family.reference()
    turns = parts.turning_points().movedim(-1, 0).sort(0).values  # NaN last
    outer = tensor(reference.ppf(column((1e-9, 1e-4)))), tensor(reference.isf(column((1e-4, 1e-9))))
    knots = torch.cat([turns, *outer]).sort(0).values
    left, right = knots[:-1], knots[1:]
    inside = (left < right) & (left >= outer[0][0]) & (right <= outer[1][1])
    share = tensor(np.linspace(0, 1, 202)[1:-1]).reshape(-1, 1, 1, 1, 1)
    y = left + share * (right - left)  # (points, intervals, *BATCH, D)
    p, score = parts.marginal_log_prob(y).exp(), parts.score(y)
    assert ((score >= 0).all(0) | (score <= 0).all(0) | ~inside).all()  # modes and antimodes are turning points
    _assert_monotone(score * p, inside)
    if parts.turning_order == 3:
        _assert_monotone((parts.score_slope(y) + score.square()) * p, inside)


def _assert_monotone(values: Tensor, where: Tensor) -> None:
    rounding = 1e-11 * values.abs().amax(0)
    steps = values.diff(dim=0)
    falls, rises = (steps <= rounding).all(0), (steps >= -rounding).all(0)
    assert (falls | rises | ~where).all()


# --- distributions made from others ---


@shiftable
def test_an_affine_map_moves_the_density_exactly(family: Family):
    _assert_moved(family, tensor([5.0, -1e3]), tensor([1e-3, 1e6]))
    _assert_moved(family, 5.0, 1e-3)


@scalable
def test_a_factor_scales_the_density_exactly(family: Family):
    _assert_moved(family, 0.0, tensor([1e-3, 1e6]))
    _assert_moved(family, tensor([0.0, 0.0]), 1e-3)


def _assert_moved(family: Family, shift, scale) -> None:
    parts, y = family.component(), tensor(family.points())
    moved = parts.affine(shift, scale)
    expected = log_density(family.reference(), family.points()).sum(-1) - np.log(np.broadcast_to(scale, D)).sum()
    close(moved.log_prob(shift + scale * y), expected, atol=1e-8)
    torch.testing.assert_close(moved.cdf(shift + scale * y), parts.cdf(y), rtol=1e-8, atol=1e-9)


@angles
def test_angles_turn(family: Family):
    parts, y = family.component(), tensor(family.points())
    close(parts.affine(0.5, 1.0).log_prob(y + 0.5), log_density(family.reference(), family.points()).sum(-1), atol=1e-9)


@not_shiftable
def test_a_shift_is_refused(family: Family):
    for shift in (1.0, tensor([0.0, 1.0])):
        with pytest.raises(InputError, match=rf"^shift must be 0 for {family.name}, whose .*; got .*; .*\.$"):
            family.component().affine(shift, 1.0)


@not_scalable
def test_a_factor_is_refused(family: Family):
    for scale in (2.0, tensor([1.0, 2.0])):
        with pytest.raises(InputError, match=r"^scale must be 1 for .*; got .*\.$"):
            family.component().affine(0.0, scale)


@every_family
def test_a_marginal_is_the_density_of_the_chosen_dimensions(family: Family):
    parts = family.component(BATCH, 3)
    y = parts.sample(generator=seeded(0))
    expected = parts.marginal_log_prob(y)[..., [2, 0]].sum(-1)
    assert type(parts.marginal([2, 0])) is family.cls
    torch.testing.assert_close(parts.marginal([2, 0]).log_prob(y[..., [2, 0]]), expected)


@every_family
def test_a_condition_leaves_the_density_of_the_others(family: Family):
    parts = family.component(BATCH, 3)
    y = parts.sample(generator=seeded(0))
    expected = parts.marginal_log_prob(y)[..., [0, 2]].sum(-1)
    torch.testing.assert_close(parts.condition([1], y[..., [1]]).log_prob(y[..., [0, 2]]), expected)


@every_family
def test_one_dimension_after_the_other_has_the_density_and_the_cdf(family: Family):
    parts, y = family.component(), family.points()
    log_densities, probabilities = parts.rosenblatt(tensor(y))
    close(log_densities, log_density(family.reference(), y), atol=1e-9)
    close(probabilities, family.reference().cdf(y))


@widening
def test_widening_doubles_the_spread(family: Family):
    wide = family.component().widened(2.0)
    assert type(wide) is family.cls
    if family.cls.scaling is Scaling.AFFINE and family.cls.everywhere:
        low, middle, high = family.points((0.25, 0.5, 0.75))
        expected = np.stack([2 * low - middle, middle, 2 * high - middle])
        close(wide.icdf(tensor(column((0.25, 0.5, 0.75)))), expected, atol=1e-9)
    else:  # the support does not widen along
        assert (wide.variance > 1.2 * family.component().variance).all()


@not_widening
def test_a_spread_that_cannot_change_by_a_factor_is_left_alone(family: Family):
    with pytest.raises(InputError) as caught:
        family.component().widened(2.0)
    assert str(caught.value) == f"the spread of {family.name} cannot be changed by a factor."


# --- life ---


@every_family
def test_training_starts_from_legal_parameters_near_the_centres(family: Family):
    centres = tensor(family.points((0.5,))[0, 0])  # (K, D)
    spread = tensor(family.spread().mean((0, 1)))  # (D,)
    for width in (spread, 1e-3 * spread):
        parts = _started(family, centres, width)
        assert parts.log_prob(centres).isfinite().all()
        if not family.discrete:
            assert ((parts.cdf(centres) > 1e-3) & (parts.sf(centres) > 1e-3)).all()


@counts
def test_training_starts_from_legal_parameters_where_every_count_is_zero(family: Family):
    centres = torch.zeros(K, D, dtype=torch.float64)
    assert _started(family, centres, torch.full((D,), 1e-3, dtype=torch.float64)).log_prob(centres).isfinite().all()


def _started(family: Family, centres: Tensor, spread: Tensor):
    fixed = {name: value[0, 0] for name, value in family.parameters().items() if name not in family.learnt}
    parameters = family.cls.start(centres, spread, **fixed)
    assert set(parameters) == set(family.learnt)
    for name, value in parameters.items():
        assert value.shape == (K, *family.cls.parameters[name].sizes(D))
        assert value.isfinite().all()
    return family.cls(**parameters, **{name: value.expand(K, D) for name, value in fixed.items()}, validate_args=True)


@every_family
def test_components_survive_indexing_expanding_and_choosing(family: Family):
    parts, y = family.component(), tensor(family.points((0.3,))[0])
    expected = parts.log_prob(y)
    rows = parts.transformed(lambda value: value[1:3])
    assert type(rows) is family.cls
    assert parts.groups == (parts,)
    torch.testing.assert_close(rows.log_prob(y[1:3]), expected[1:3])
    torch.testing.assert_close(parts.expand((7, 4, K)).log_prob(y), expected.expand(7, 4, K))
    index = torch.tensor([[2, 0], [1, 1], [0, 2], [2, 2]])
    chosen = y.gather(-2, index.unsqueeze(-1).expand(4, 2, D))
    torch.testing.assert_close(parts.select(index).log_prob(chosen), expected.gather(-1, index))
    torch.testing.assert_close(parts.select(index.expand(6, 4, 2)).log_prob(chosen)[5], expected.gather(-1, index))


@every_family
def test_single_precision_is_close_to_double(family: Family):
    parts = family.component()
    single = parts.transformed(lambda value: value.float())
    double = single.transformed(lambda value: value.double())
    y = tensor(family.points()).float()
    assert single.log_prob(y).dtype == single.cdf(y).dtype == single.sample().dtype == torch.float32
    for method in ("log_prob", "cdf", "sf", "score"):
        exact = getattr(double, method)(y.double())
        close(getattr(single, method)(y), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(double.log_prob(y.double()), parts.log_prob(y.double()), rtol=1e-3, atol=1e-3)


@every_family
def test_a_mixture_survives_expanding_indexing_and_changing_precision(family: Family):
    mixture = Mixture(Categorical(logits=torch.zeros(BATCH, dtype=torch.float64)), family.component())
    y = tensor(family.points((0.5,))[0, :, 0])  # (4, D): the medians of the first component
    expected = mixture.log_prob(y)
    assert expected.isfinite().all()
    torch.testing.assert_close(mixture.expand((3, 4)).log_prob(y.expand(3, 4, D)), expected.expand(3, 4))
    torch.testing.assert_close(mixture[2].log_prob(y[2]), expected[2])
    torch.testing.assert_close(mixture[1:3].log_prob(y[1:3]), expected[1:3])
    torch.testing.assert_close(mixture.to(torch.float32).log_prob(y.float()), expected.float(), rtol=1e-4, atol=1e-4)
    assert type(mixture.to("cpu").components) is family.cls
    assert mixture.sample((5,), generator=seeded(0)).shape == (5, 4, D)


@every_family
def test_the_repr_names_family_and_shapes(family: Family):
    assert repr(family.component()) == f"{family.name}(batch_shape=(4, 3), event_shape=(2,))"


@every_family
def test_the_declaration_gives_the_constraints_that_torch_asks_for(family: Family):
    parts = family.component()
    assert set(parts.arg_constraints) == set(family.cls.parameters) == set(family.ranges)
    for name, constraint in parts.arg_constraints.items():
        assert constraint.check(getattr(parts, name)).all()


# --- extremes ---


@every_family
def test_nothing_is_nan_for_extreme_parameters_and_targets(family: Family):
    unit = st.floats(0, 1)

    @settings(max_examples=60, derandomize=True, deadline=None, database=None)
    @given(st.fixed_dictionaries(dict.fromkeys(family.ranges, unit)), st.floats(-1e30, 1e30))
    @example(dict.fromkeys(family.ranges, 0.0), 0.0)
    @example(dict.fromkeys(family.ranges, 1.0), 0.0)
    def nothing_is_nan(places: dict[str, float], target: float) -> None:
        values = {
            name: torch.full((1, 1), extreme(family, name, at), dtype=torch.float64) for name, at in places.items()
        }
        parameters = {name: value.requires_grad_() for name, value in values.items()}
        parts = family.cls(**parameters, validate_args=True)
        centre = parts.mean.detach().clamp(-1e30, 1e30).item()
        targets = [target, np.round(target), centre, np.round(centre), 0.0, 1.0, 0.5, 1e30, -1e30, 1e-30]
        y = tensor(targets).reshape(-1, 1, 1)
        for method in ("log_prob", "score", "cdf", "sf", "log_cdf", "log_sf"):
            assert not getattr(parts, method)(y).isnan().any(), method
        log_prob = parts.log_prob(y)
        for name, gradient in zip(parameters, derivative(log_prob, *parameters.values()), strict=True):
            assert not gradient.isnan().any(), f"gradient in {name}"

    nothing_is_nan()
