import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, Normal, SphericalNormal

from .registry import FAMILIES, RTOL, D, Family, K, component, scipy_log_prob

pytestmark = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.cls.__name__)


# --- shapes ---


@pytest.mark.parametrize("batch", [(K,), (4, K), (5, 4, K), (0, K)])
@pytest.mark.parametrize("target_dim", [1, 2, 5])
def test_every_method_keeps_the_declared_shapes(family: Family, batch, target_dim):
    parts = component(family, batch, target_dim)
    y = torch.zeros(*batch[:-1], 1, target_dim, dtype=torch.float64)
    assert parts.batch_shape == batch
    assert parts.event_shape == (target_dim,)
    assert parts.log_prob(y).shape == batch
    assert parts.sample((6,)).shape == (6, *batch, target_dim)
    for values in (parts.marginal_log_prob(y), parts.cdf(y), parts.sf(y), parts.mean, parts.variance):
        assert values.shape == (*batch, target_dim)


def test_parameters_of_different_batch_shapes_broadcast(family: Family):
    parameters = family.parameters((4, K), D)
    parts = family.cls(**{name: value[:1] if name == "scale" else value for name, value in parameters.items()})
    assert parts.batch_shape == (4, K)


def test_a_family_without_a_declaration_cannot_be_made(family: Family):
    with pytest.raises(TypeError, match="abstract"):
        Normal(**family.parameters((4, K), D))


@pytest.mark.parametrize("shape", [(3,), (1,), (4, 3, 0)])
def test_a_location_without_components_or_dimensions_is_refused(family: Family, shape):
    parameters = family.parameters((4, K), D) | {"loc": torch.zeros(shape, dtype=torch.float64)}
    with pytest.raises(InputError, match=r"^loc must have shape \(\.\.\., K, D\) with D >= 1; got \("):
        family.cls(**parameters)


def test_training_starts_from_legal_parameters_at_the_centres(family: Family):
    centres = torch.randn(K, D)
    parameters = family.cls.start(centres, 0.3)
    assert set(parameters) == set(family.cls.parameters)
    torch.testing.assert_close(family.cls(**parameters, validate_args=True).mean, centres)


def test_a_parameter_of_another_size_is_refused(family: Family):
    parameters = family.parameters((4, K), D)
    parameters["scale"] = torch.ones(4, K, D + 1, dtype=torch.float64)
    size = family.cls.parameters["scale"].size_for(D)
    with pytest.raises(InputError, match=rf"^scale must have shape \(\.\.\., K, {size}\) .*; got \(4, 3, 3\)\.$"):
        family.cls(**parameters)


def test_a_negative_scale_is_refused_with_its_place(family: Family):
    parameters = family.parameters((4, K), D)
    parameters["scale"][2, 1, 0] = -1.5
    with pytest.raises(InputError) as caught:
        family.cls(**parameters)
    assert str(caught.value) == "scale must be positive everywhere; got -1.5 at (2, 1, 0)."


# --- agreement ---


def test_densities_agree_with_scipy(family: Family):
    y = np.array([0.3, -1.2])
    got = component(family).log_prob(torch.tensor(y))
    np.testing.assert_allclose(got.numpy(), scipy_log_prob(family, (4, K), D, y), rtol=RTOL)


def test_probabilities_and_quantiles_agree_with_scipy(family: Family):
    parts, parameters = component(family), family.parameters((4, K), D)
    for index in np.ndindex(4, K):
        for d in range(D):
            reference = family.scipy(parameters, index, d)
            for level in (1e-30, 1e-9, 0.2, 0.5, 1 - 1e-9):
                quantile = parts.icdf(torch.tensor(level, dtype=torch.float64))[index][d].item()
                np.testing.assert_allclose(quantile, reference.ppf(level), rtol=1e-9)
                y = torch.full((D,), quantile, dtype=torch.float64)
                np.testing.assert_allclose(parts.cdf(y)[index][d].item(), reference.cdf(quantile), rtol=1e-9)
                np.testing.assert_allclose(parts.sf(y)[index][d].item(), reference.sf(quantile), rtol=1e-9)


def test_samples_have_the_stated_moments(family: Family):
    # Means within 5 standard errors: a false alarm in fewer than 1 of 10,000 seeds for these 24 moments.
    parts, n = component(family), 200_000
    samples = parts.sample((n,), generator=torch.Generator().manual_seed(0))
    error = (parts.variance / n).sqrt()
    assert ((samples.mean(0) - parts.mean).abs() < 5 * error).all()
    torch.testing.assert_close(samples.var(0), parts.variance, rtol=0.02, atol=0)


def test_an_affine_map_moves_the_density_exactly(family: Family):
    parts = component(family)
    shift, scale = torch.tensor([5.0, -1e3]).double(), torch.tensor([1e-3, 1e6]).double()
    y = torch.tensor([0.4, -0.7], dtype=torch.float64)
    moved = parts.affine(shift, scale)
    expected = parts.log_prob(y) - scale.log().sum()
    torch.testing.assert_close(moved.log_prob(shift + scale * y), expected, rtol=1e-9, atol=1e-9)


def test_a_marginal_is_the_density_of_the_chosen_dimensions(family: Family):
    parts = component(family, target_dim=3)
    y = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    expected = parts.marginal_log_prob(y)[..., [2, 0]].sum(-1)
    torch.testing.assert_close(parts.marginal([2, 0]).log_prob(y[[2, 0]]), expected)


# --- gradients ---


def test_gradients_of_the_density_are_right_and_reach_every_parameter(family: Family):
    parameters = {name: value.requires_grad_() for name, value in family.parameters((2, K), D).items()}
    y = torch.zeros(2, 1, D, dtype=torch.float64, requires_grad=True)

    def log_prob(value, *values):
        return family.cls(**dict(zip(parameters, values, strict=True))).log_prob(value)

    assert torch.autograd.gradcheck(log_prob, (y, *parameters.values()))


# --- life ---


def test_a_mixture_survives_expanding_indexing_and_changing_precision(family: Family):
    mixture = Mixture(Categorical(logits=torch.zeros(4, K, dtype=torch.float64)), component(family))
    y = torch.zeros(4, D, dtype=torch.float64)
    expected = mixture.log_prob(y)
    torch.testing.assert_close(mixture.expand((3, 4)).log_prob(y.expand(3, 4, D)), expected.expand(3, 4))
    torch.testing.assert_close(mixture[2].log_prob(y[2]), expected[2])
    torch.testing.assert_close(mixture[1:3].log_prob(y[1:3]), expected[1:3])
    torch.testing.assert_close(mixture.to(torch.float32).log_prob(y.float()), expected.float())
    assert type(mixture.to("cpu").components) is family.cls


def test_the_repr_names_family_and_shapes(family: Family):
    name = family.cls.__name__
    assert repr(component(family)) == f"{name}(batch_shape=(4, 3), event_shape=(2,))"


def test_the_declaration_gives_the_constraints_that_torch_asks_for(family: Family):
    parts = component(family)
    assert set(parts.arg_constraints) == set(family.cls.parameters)
    for name, constraint in parts.arg_constraints.items():
        assert constraint.check(getattr(parts, name)).all()


def test_the_two_normals_differ_only_in_the_size_of_their_scale(family: Family):
    loc, scale = torch.randn(4, K, D).double(), torch.rand(4, K, 1).double() + 0.1
    y = torch.zeros(D).double()
    one, many = SphericalNormal(loc, scale), DiagonalNormal(loc, scale.expand(4, K, D))
    torch.testing.assert_close(one.log_prob(y), many.log_prob(y))
