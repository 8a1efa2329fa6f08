import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch.distributions import Categorical, MixtureSameFamily
from torch.distributions import Independent as TorchIndependent
from torch.distributions import Normal as TorchNormal

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, SphericalNormal


def make(n=4, k=3, d=2, seed=0, dtype=torch.float64, scale=1.0, shift=0.0) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    loc = 2 * torch.randn(n, k, d, generator=generator, dtype=torch.float64)
    width = torch.rand(n, k, d, generator=generator, dtype=torch.float64) + 0.1
    logits = torch.randn(n, k, generator=generator, dtype=torch.float64)
    components = DiagonalNormal((shift + scale * loc).to(dtype), (scale * width).to(dtype))
    # torch cannot validate an empty batch of weights
    return Mixture(Categorical(logits=logits.to(dtype), validate_args=n > 0), components)


def test_it_is_a_torch_mixture_with_the_same_densities_moments_and_samples():
    mixture = make()
    components = TorchIndependent(TorchNormal(mixture.components.loc, mixture.components.scale), 1)
    reference = MixtureSameFamily(Categorical(logits=mixture.logits), components)
    assert isinstance(mixture, MixtureSameFamily)
    y = torch.randn(5, 4, 2, dtype=torch.float64)
    torch.testing.assert_close(mixture.log_prob(y), reference.log_prob(y))
    torch.testing.assert_close(mixture.mean, reference.mean)
    torch.testing.assert_close(mixture.variance, reference.variance)
    assert mixture.sample((7,)).shape == reference.sample((7,)).shape == (7, 4, 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_the_density_integrates_to_one_and_agrees_with_scipy(scale, shift):
    mixture = make(n=3, d=1, scale=scale, shift=shift * scale)
    for row in range(3):
        weights, components = mixture.weights[row].numpy(), mixture.components
        loc, width = components.loc[row, :, 0].numpy(), components.scale[row, :, 0].numpy()

        def density(y, row=row):
            return mixture[row].log_prob(torch.tensor([y], dtype=torch.float64)).exp().item()

        for y in (loc[0], loc[1] + 2 * width[1], loc.mean()):
            expected = (weights * stats.norm(loc, width).pdf(y)).sum()
            assert density(y) == pytest.approx(expected, rel=1e-9)
        ends = loc.min() - 12 * width.max(), loc.max() + 12 * width.max()
        total, _ = integrate.quad(density, *ends, points=sorted(loc), limit=400, epsabs=0, epsrel=1e-9)
        assert total == pytest.approx(1, abs=1e-6)


def test_a_density_in_two_dimensions_integrates_to_one():
    mixture = make(n=1, k=3, d=2)
    grid = torch.linspace(-12, 12, 801, dtype=torch.float64)
    y = torch.cartesian_prod(grid, grid)[:, None, :]
    total = mixture.log_prob(y).exp().sum() * (grid[1] - grid[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_the_loss_is_joint_over_dimensions_not_a_sum_of_mixtures():
    # Two components on the diagonal: a target off the diagonal is unlikely, though each coordinate is likely.
    loc = torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]])
    mixture = Mixture(Categorical(torch.tensor([[0.5, 0.5]])), DiagonalNormal(loc, torch.full_like(loc, 0.1)))
    on, off = mixture.log_prob(torch.tensor([[1.0, 1.0]])), mixture.log_prob(torch.tensor([[1.0, -1.0]]))
    assert on - off > 100


def test_the_log_density_matches_a_value_worked_out_by_hand():
    # Standard normal in 3 dimensions at 0: -(3/2) log(2 pi); leaving out the constant is a classic mistake.
    mixture = Mixture(Categorical(torch.ones(1, 1)), SphericalNormal(torch.zeros(1, 1, 3), torch.ones(1, 1, 1)))
    assert mixture.log_prob(torch.zeros(1, 3)).item() == pytest.approx(-1.5 * math.log(2 * math.pi))


def test_gradients_are_those_of_bishop():
    mixture = make(n=2)
    logits = mixture.logits.clone().requires_grad_()
    loc = mixture.components.loc.clone().requires_grad_()
    log_scale = mixture.components.scale.log().requires_grad_()
    y = torch.randn(2, 2, dtype=torch.float64)
    fitted = Mixture(Categorical(logits=logits), DiagonalNormal(loc, log_scale.exp()))
    (-fitted.log_prob(y)).sum().backward()
    share = fitted.responsibilities(y).detach().unsqueeze(-1)  # (N, K, 1)
    z = (y.unsqueeze(1) - loc.detach()) / log_scale.detach().exp()
    torch.testing.assert_close(logits.grad, (fitted.weights - share.squeeze(-1)).detach())
    torch.testing.assert_close(loc.grad, -share * z / log_scale.detach().exp())
    torch.testing.assert_close(log_scale.grad, share * (1 - z.square()))


def test_responsibilities_sum_to_one_even_where_every_density_underflows():
    share = make().responsibilities(torch.full((4, 2), 1e4, dtype=torch.float64))
    torch.testing.assert_close(share.sum(-1), torch.ones(4, dtype=torch.float64))


def test_samples_follow_the_cdf_in_every_dimension():
    # Kolmogorov-Smirnov at 1e-4 for 8 tests: a false alarm in fewer than 1 of 1,000 seeds.
    mixture = make()
    samples = mixture.sample((5000,), generator=torch.Generator().manual_seed(1))
    levels = mixture.cdf(samples)
    for row in range(4):
        for d in range(2):
            assert stats.kstest(levels[:, row, d].numpy(), "uniform").pvalue > 1e-4


def test_samples_of_several_outputs_come_from_one_component():
    loc = torch.tensor([[[-5.0, 5.0], [5.0, -5.0]]])
    mixture = Mixture(Categorical(torch.tensor([[0.5, 0.5]])), DiagonalNormal(loc, torch.full_like(loc, 0.1)))
    samples = mixture.sample((500,), generator=torch.Generator().manual_seed(0))
    assert (samples[..., 0].sign() == -samples[..., 1].sign()).all()


def test_the_mean_is_the_mixtures_and_not_one_components():
    mixture = make()
    expected = torch.einsum("nk,nkd->nd", mixture.weights, mixture.components.loc)
    torch.testing.assert_close(mixture.mean, expected)


def test_an_affine_map_carries_the_exact_jacobian():
    mixture = make()
    shift, scale = torch.tensor([3.0, -2.0]).double(), torch.tensor([10.0, 0.5]).double()
    moved, y = mixture.affine(shift, scale), torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(moved.log_prob(shift + scale * y), mixture.log_prob(y) - scale.log().sum())
    torch.testing.assert_close(moved.icdf(0.3), shift + scale * mixture.icdf(0.3))


def test_spherical_components_become_diagonal_only_under_unequal_scaling():
    loc, scale = torch.zeros(1, 2, 2), torch.ones(1, 2, 1)
    mixture = Mixture(Categorical(torch.ones(1, 2)), SphericalNormal(loc, scale))
    assert type(mixture.affine(1.0, 2.0).components) is SphericalNormal
    assert type(mixture.affine(0.0, torch.tensor([1.0, 2.0])).components) is DiagonalNormal


def test_a_marginal_agrees_with_the_joint_integrated_out():
    mixture = make(n=1)
    grid = torch.linspace(-15, 15, 3001, dtype=torch.float64)
    y = torch.stack([torch.full_like(grid, 0.7), grid], -1)[:, None, :]
    integral = mixture.log_prob(y).exp().sum() * (grid[1] - grid[0])
    alone = mixture.marginal(0).log_prob(torch.tensor([[0.7]], dtype=torch.float64)).exp()
    torch.testing.assert_close(alone[0], integral)
    assert mixture.marginal([1, 0]).event_shape == (2,)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (5, 2), (1,), (3, 4, 1)])
def test_targets_of_another_shape_are_refused(shape):
    with pytest.raises(InputError) as caught:
        make().log_prob(torch.zeros(shape, dtype=torch.float64))
    got = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    assert str(caught.value) == f"y must have shape (..., 4, 2) to match batch_shape + event_shape; got {got}."


def test_one_target_for_a_batch_of_one_output_is_not_broadcast_to_a_square():
    with pytest.raises(InputError):
        make(d=1).log_prob(torch.zeros(4))


def test_nan_in_a_target_is_refused_and_infinity_has_density_zero():
    mixture, y = make(), torch.zeros(4, 2, dtype=torch.float64)
    y[1, 0] = math.inf
    assert mixture.log_prob(y)[1].exp() == 0
    y[1, 0] = math.nan
    with pytest.raises(InputError, match="^y must not hold NaN"):
        mixture.log_prob(y)


def test_an_index_reaches_rows_and_never_components():
    mixture, y = make(n=6), torch.zeros(6, 2, dtype=torch.float64)
    expected = mixture.log_prob(y)
    for index in (0, -1, slice(1, 3), [4, 2], torch.tensor([5, 5]), torch.arange(6) > 3, ...):
        torch.testing.assert_close(mixture[index].log_prob(y[index]), expected[index])
    assert mixture.expand((2, 6))[1, 3:].batch_shape == (3,)
    for index in (6, (slice(None), 0), (..., 0, 0)):
        with pytest.raises(IndexError):
            mixture[index]


def test_dimensions_and_scales_that_cannot_be_are_refused():
    mixture = make()
    with pytest.raises(InputError) as caught:
        mixture.marginal(2)
    assert str(caught.value) == "dims must name target dimensions from 0 to 1; got 2."
    with pytest.raises(InputError) as caught:
        mixture.affine(0.0, -1.0)
    assert str(caught.value) == "scale must be > 0 in every dimension; got -1.0."
    with pytest.raises(TypeError, match=r"must be a manymodes\.distributions\.Component; got Normal\.$"):
        Mixture(Categorical(torch.ones(3)), TorchNormal(torch.zeros(3), torch.ones(3)))


def test_an_empty_batch_stays_empty_everywhere():
    mixture, y = make(n=0), torch.zeros(0, 2, dtype=torch.float64)
    assert mixture.log_prob(y).shape == (0,)
    assert mixture.cdf(y).shape == mixture.icdf(0.5).shape == mixture.mean.shape == (0, 2)
    assert mixture.sample((3,)).shape == (3, 0, 2)
    assert mixture.modes().count.shape == (0,)


@pytest.mark.parametrize("weights", [{"logits": [[0.0, -math.inf]]}, {"probs": [[1.0, 0.0]]}])
def test_a_component_of_weight_zero_contributes_nothing(weights):
    loc = torch.tensor([[[0.0], [50.0]]], dtype=torch.float64)
    scale = torch.tensor([[[1.0], [1e-30]]], dtype=torch.float64)  # torch's own eps for a weight would let it win
    (name, values), *_ = weights.items()
    mixture = Mixture(Categorical(**{name: torch.tensor(values).double()}), DiagonalNormal(loc, scale))
    assert mixture.weights.tolist() == [[1, 0]]
    alone = stats.norm(0, 1)
    y = torch.tensor([[0.5]], dtype=torch.float64)
    assert mixture.log_prob(y).item() == pytest.approx(alone.logpdf(0.5))
    assert mixture.cdf(y).item() == pytest.approx(alone.cdf(0.5))
    assert mixture.icdf(0.9).item() == pytest.approx(alone.ppf(0.9))
    assert mixture.modes().count.item() == 1


@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 1e30), (torch.float64, 1e200)])
def test_targets_beyond_all_bounds_give_finite_losses_and_gradients(dtype, far):
    mixture = make(n=1, dtype=dtype)
    loc = mixture.components.loc.clone().requires_grad_()
    moved = mixture.with_components(DiagonalNormal(loc, mixture.components.scale))
    y = torch.full((1, 2), far, dtype=dtype)
    moved.log_prob(y).sum().backward()
    assert loc.grad.isfinite().all()
    assert moved.log_prob(y).isfinite().all()
    assert moved.responsibilities(y).sum().item() == pytest.approx(1)


finite = st.floats(-1e12, 1e12, allow_nan=False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    loc=st.lists(finite, min_size=3, max_size=3),
    log_scale=st.lists(st.floats(-60, 60), min_size=3, max_size=3),
    logits=st.lists(st.floats(-700, 700), min_size=3, max_size=3),
    y=st.floats(-1e30, 1e30),
)
def test_nothing_is_nan_for_finite_parameters_and_targets(loc, log_scale, logits, y):
    def rows(values):
        return torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1)

    weights = Categorical(logits=rows(logits)[..., 0])
    mixture = Mixture(weights, DiagonalNormal(rows(loc), rows(log_scale).exp()))
    target = torch.tensor([[y]], dtype=torch.float64)
    modes = mixture.modes()
    for values in (
        mixture.log_prob(target),
        mixture.responsibilities(target),
        mixture.cdf(target),
        mixture.icdf(0.123),
        mixture.mean,
        mixture.variance,
        modes.location[modes.mask],
        modes.mass,
    ):
        assert not values.isnan().any()
    assert np.isclose(modes.mass.sum().item(), 1)


def test_a_sample_drawn_first_changes_no_gradient_that_comes_after():
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    parts = make(n=2).components
    mixture, y = Mixture(Categorical(logits=logits), parts), torch.ones(2, 2, dtype=torch.float64)
    mixture.sample()
    mixture.log_prob(y).sum().backward()
    fresh = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    Mixture(Categorical(logits=fresh), parts).log_prob(y).sum().backward()
    torch.testing.assert_close(logits.grad, fresh.grad)


def test_whole_numbers_are_targets_like_others():
    mixture = make(n=2)
    y = torch.tensor([[1, -2], [0, 3]])
    torch.testing.assert_close(mixture.log_prob(y), mixture.log_prob(y.double()))
    torch.testing.assert_close(mixture.cdf(y), mixture.cdf(y.double()))


def test_a_shift_per_row_is_refused_and_not_taken_for_one_per_component():
    with pytest.raises(InputError, match=r"^shift must have shape \(2,\) or be a number; got \(3, 2\)\.$"):
        make(n=3, k=3).affine(torch.zeros(3, 2), 1.0)


def test_weights_of_another_number_than_the_components_are_refused():
    with pytest.raises(InputError, match=r"^mixture_distribution's weights must have shape \(N, 3\) to match"):
        Mixture(Categorical(torch.ones(4, 2)), make().components)


def test_moments_of_components_far_apart_are_numbers():
    loc = torch.tensor([[[-1e200], [1e200]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(1, 2)), DiagonalNormal(loc, torch.ones_like(loc)))
    assert mixture.central_moment(3).item() == 0
    assert mixture.skewness.item() == 0
    assert mixture.kurtosis.item() == pytest.approx(-2)  # two equal points


def test_the_mode_of_an_empty_batch_is_empty():
    assert make(n=0).mode.shape == (0, 2)


def test_the_entropy_of_a_mixture_points_to_its_estimate():
    with pytest.raises(InputError, match=r"no closed form; use manymodes\.distributions\.entropy\.$"):
        make().entropy()


def test_weights_and_components_broadcast_over_rows_both_ways():
    parts = make(n=1).components
    many = Mixture(Categorical(torch.rand(4, 3, dtype=torch.float64) + 0.1), parts)
    assert many.batch_shape == (4,)
    assert many.log_prob(torch.zeros(4, 2, dtype=torch.float64)).shape == (4,)
    assert many.modes().count.shape == (4,)
