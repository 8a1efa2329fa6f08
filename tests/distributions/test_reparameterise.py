"""Gradients through samples, against exact derivatives of moments."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Log,
    Logistic,
    LogNormal,
    LowRankNormal,
    Mixture,
    PointMass,
    Poisson,
    Product,
    StudentT,
    Truncated,
    VonMises,
)

S = 1000  # samples of each of so many equal rows, whose gradients tell their own standard error
ROWS = 40
SENTENCE = "rsample needs components with a density; counts and atoms do not move smoothly."


def uniform(low, high, *shape, seed=0) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agrees(make, f, exact, *leaves: Tensor, n_errors: float = 5.0) -> None:
    """Compare Monte Carlo gradients of E f(Y), one per row, with those of a closed form.

    With at most 60 entries and 40 rows, 5 standard errors (of a t with 39 degrees of freedom) give a false alarm in
    fewer than 1 of 1,000 seeds.

    Args:
        make: From parameters with a leading row axis to a mixture.
        f: From samples (S, rows, D) to numbers (S, rows).
        exact: From a mixture of one row to E f(Y), (1,).
        leaves: Parameters of one row, (1, ...).
    """
    rows = [leaf.expand(ROWS, *leaf.shape[1:]).clone().requires_grad_() for leaf in leaves]
    samples = make(*rows).rsample((S,), generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(f(samples).mean(0).sum(), rows, allow_unused=True, materialize_grads=True)
    single = [leaf.clone().requires_grad_() for leaf in leaves]
    wanted = torch.autograd.grad(exact(make(*single)).sum(), single, allow_unused=True, materialize_grads=True)
    for got, want in zip(found, wanted, strict=True):
        assert got.isfinite().all()
        error = got.std(0) / math.sqrt(ROWS)
        gap = (got.mean(0) - want.squeeze(0)).abs()
        assert (gap <= n_errors * error + 1e-6).all(), (got.mean(0), want, error)


def mean(dim):
    return (lambda y: y[..., dim]), (lambda m: m.mean[..., dim])


def square(dim):
    return (lambda y: y[..., dim].square()), (lambda m: m.variance[..., dim] + m.mean[..., dim].square())


def weighed(components, logits) -> Mixture:
    return Mixture(Categorical(logits=logits, validate_args=False), components)


LOGITS = torch.tensor([[0.2, -0.3, 0.5]]).double()
LOCATION_SCALE = {"normal": DiagonalNormal, "laplace": Laplace, "logistic": Logistic}


@pytest.mark.parametrize("moment", [mean, square])
@pytest.mark.parametrize("family", LOCATION_SCALE)
@pytest.mark.parametrize("d", [1, 3])
def test_gradients_in_weights_locations_and_scales_are_those_of_moments(family, d, moment):
    loc, scale = uniform(-2, 2, 1, 3, d, seed=1), uniform(0.4, 1.2, 1, 3, d, seed=2)
    f, exact = moment(d - 1)
    make = LOCATION_SCALE[family]
    agrees(lambda logits, a, b: weighed(make(a, b, validate_args=False), logits), f, exact, LOGITS, loc, scale)


def test_gradients_in_a_full_covariance_reach_every_entry_of_the_factor():
    tril = torch.diag_embed(uniform(0.5, 1.2, 1, 3, 3, seed=2)) + uniform(-0.6, 0.6, 1, 3, 3, 3, seed=3).tril(-1)

    def product(m):
        covariance = m.components.covariance_matrix[..., 0, 2]
        return (m.weights * (covariance + m.components.loc[..., 0] * m.components.loc[..., 2])).sum(-1)

    agrees(
        lambda logits, loc, L: weighed(FullNormal(loc, L.tril(), validate_args=False), logits),
        lambda y: y[..., 0] * y[..., 2],
        product,
        LOGITS,
        uniform(-2, 2, 1, 3, 3, seed=1),
        tril,
    )


def test_gradients_in_low_rank_factors_are_those_of_second_moments():
    f, exact = square(1)
    agrees(
        lambda logits, loc, factor, scale: weighed(LowRankNormal(loc, factor, scale, validate_args=False), logits),
        f,
        exact,
        LOGITS,
        uniform(-1, 1, 1, 3, 2, seed=1),
        uniform(-0.8, 0.8, 1, 3, 2, 1, seed=2),
        uniform(0.4, 0.9, 1, 3, 2, seed=3),
    )


@pytest.mark.parametrize("d", [1, 3])
def test_gradients_in_degrees_of_freedom_are_those_of_the_variance(d):
    # E[Y^2] has the derivative -2 s^2 / (df - 2)^2 in df; with df of 9 and more its estimate has a variance.
    f, exact = square(d - 1)
    agrees(
        lambda logits, df, loc, scale: weighed(StudentT(df, loc, scale, validate_args=False), logits),
        f,
        exact,
        LOGITS[:, :2],
        uniform(9, 14, 1, 2, d, seed=1),
        uniform(-1, 1, 1, 2, d, seed=2),
        uniform(0.5, 1.2, 1, 2, d, seed=3),
    )


@pytest.mark.parametrize("moment", [mean, square])
@pytest.mark.parametrize("d", [1, 3])
def test_gradients_in_concentrations_of_gammas_are_those_of_moments(d, moment):
    f, exact = moment(0)
    agrees(
        lambda logits, a, s: weighed(Gamma(a, s, validate_args=False), logits),
        f,
        exact,
        LOGITS[:, :2],
        uniform(0.6, 4, 1, 2, d, seed=1),
        uniform(0.4, 1.2, 1, 2, d, seed=2),
    )


def test_gradients_through_lognormals_and_mapped_normals_are_those_of_means():
    f, exact = mean(0)
    leaves = (LOGITS[:, :2], uniform(-1, 1, 1, 2, 1, seed=1), uniform(0.3, 0.6, 1, 2, 1, seed=2))
    agrees(lambda g, a, b: weighed(LogNormal(a, b, validate_args=False), g), f, exact, *leaves)
    agrees(
        lambda g, a, b: weighed(DiagonalNormal(a, b, validate_args=False), g).through(Log()),
        f,
        lambda m: (m.weights * (m.components.base.loc + m.components.base.scale.square() / 2).exp()[..., 0]).sum(-1),
        *leaves,
    )


def test_gradients_of_truncated_normals_are_those_of_the_closed_form_mean():
    f, _ = mean(0)

    def exact(m):
        base = m.components.base
        a, b = (0.0 - base.loc) / base.scale, (2.0 - base.loc) / base.scale
        phi = [torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) for z in (a, b)]
        kept = torch.special.ndtr(b) - torch.special.ndtr(a)
        return (m.weights * (base.loc + base.scale * (phi[0] - phi[1]) / kept)[..., 0]).sum(-1)

    agrees(
        lambda g, loc, scale: weighed(Truncated(DiagonalNormal(loc, scale, validate_args=False), 0.0, 2.0), g),
        f,
        exact,
        LOGITS[:, :2],
        uniform(-1, 2, 1, 2, 1, seed=1),
        uniform(0.5, 1, 1, 2, 1, seed=2),
    )


def test_gradients_of_angles_are_those_of_the_mean_cosine():
    # E[cos Y] = A(kappa) cos(mu), A the ratio of Bessel functions.
    def exact(m):
        k = m.components.concentration
        length = torch.special.i1e(k) / torch.special.i0e(k)
        return (m.weights * (length * torch.cos(m.components.loc))[..., 0]).sum(-1)

    agrees(
        lambda g, loc, k: weighed(VonMises(loc, k, validate_args=False), g),
        lambda y: torch.cos(y[..., 0]),
        exact,
        LOGITS[:, :2],
        torch.tensor([[[0.5], [-1.0]]]).double(),
        torch.tensor([[[6.0], [9.0]]]).double(),
    )


def test_gradients_of_several_families_at_once_reach_all_of_them():
    f, exact = square(0)
    agrees(
        lambda g, loc, scale, df, at, width: weighed(
            Concatenation(
                DiagonalNormal(loc, scale, validate_args=False), StudentT(df, at, width, validate_args=False)
            ),
            g,
        ),
        f,
        exact,
        LOGITS,
        uniform(-1, 1, 1, 2, 2, seed=1),
        uniform(0.4, 1, 1, 2, 2, seed=2),
        uniform(9, 12, 1, 1, 2, seed=3),
        uniform(-1, 1, 1, 1, 2, seed=4),
        uniform(0.4, 1, 1, 1, 2, seed=5),
    )


def test_gradients_of_products_of_dimensions_reach_the_weights_through_their_dependence():
    # E[Y1 Y2] depends on which components go together: only the joint transform has it.
    agrees(
        lambda g, loc, scale: weighed(DiagonalNormal(loc, scale, validate_args=False), g),
        lambda y: y[..., 0] * y[..., 1],
        lambda m: (m.weights * m.components.loc.prod(-1)).sum(-1),
        LOGITS,
        uniform(-2, 2, 1, 3, 2, seed=1),
        uniform(0.4, 1, 1, 3, 2, seed=2),
    )


def test_gradients_of_a_product_of_blocks_reach_every_block():
    agrees(
        lambda g, loc, scale, a, s: weighed(
            Product(DiagonalNormal(loc, scale, validate_args=False), Gamma(a, s, validate_args=False)), g
        ),
        lambda y: y[..., 0] * y[..., 1],
        lambda m: (m.weights * m.components.mean.prod(-1)).sum(-1),
        LOGITS[:, :2],
        uniform(-2, 2, 1, 2, 1, seed=1),
        uniform(0.4, 1, 1, 2, 1, seed=2),
        uniform(1, 3, 1, 2, 1, seed=3),
        uniform(0.4, 1, 1, 2, 1, seed=4),
    )


CONTINUOUS = {
    "normal": lambda a, b: DiagonalNormal(a, b.exp()),
    "full": lambda a, b: FullNormal(a, torch.diag_embed(b.exp())),
    "student": lambda a, b: StudentT(1 + b.exp(), a, b.exp()),
    "gamma": lambda a, b: Gamma(a.exp(), b.exp()),
    "truncated": lambda a, b: Truncated(DiagonalNormal(a, b.exp()), -1.0, 1.0),
    "angle": lambda a, b: VonMises(a.tanh(), b.exp()),
    "both": lambda a, b: Concatenation(Laplace(a, b.exp()), LogNormal(a, b.exp())),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_are_those_of_sample_with_the_same_seed_and_carry_gradients(name, dtype):
    a, b = (uniform(-1, 1, 4, 3, 2, seed=seed).to(dtype).requires_grad_() for seed in (1, 2))
    components = CONTINUOUS[name](a, b)
    logits = torch.zeros(components.batch_shape, dtype=dtype).requires_grad_()
    mixture = weighed(components, logits)
    assert mixture.has_rsample
    moving = mixture.rsample((5, 6), generator=torch.Generator().manual_seed(3))
    still = mixture.sample((5, 6), generator=torch.Generator().manual_seed(3))
    assert torch.equal(moving, still)
    assert moving.shape == (5, 6, 4, 2)
    assert moving.requires_grad
    assert not still.requires_grad
    moving.sum().backward()
    for leaf in (a, b, logits):
        assert leaf.grad.isfinite().all()
        assert (leaf.grad != 0).any()


def test_gradients_are_finite_far_in_the_tails_and_where_components_lie_apart():
    loc = torch.tensor([[[-1e3], [1e3]]] * 2).double().requires_grad_()
    scale = torch.tensor([[[1e-3], [1.0]]] * 2).double().requires_grad_()
    logits = torch.tensor([[0.0, 0.0], [0.0, -40.0]]).double().requires_grad_()
    weighed(DiagonalNormal(loc, scale), logits).rsample(
        (200,), generator=torch.Generator().manual_seed(0)
    ).sum().backward()
    for leaf in (loc, scale):
        assert leaf.grad.isfinite().all()
    # A location moves its own samples with it, whatever the gap: 200 in all.
    torch.testing.assert_close(loc.grad.sum((1, 2)), torch.full((2,), 200.0).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "components",
    [
        Poisson(torch.ones(1, 2, 1)),
        PointMass(torch.zeros(1, 2, 1)),
        Product(DiagonalNormal(torch.zeros(1, 2, 1), torch.ones(1, 2, 1)), Poisson(torch.ones(1, 2, 1))),
        Concatenation(DiagonalNormal(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)), PointMass(torch.zeros(1, 1, 1))),
        Concatenation(
            Product(DiagonalNormal(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)), PointMass(torch.zeros(1, 1, 1))),
            DiagonalNormal(torch.zeros(1, 1, 2), torch.ones(1, 1, 2)),
        ),
    ],
    ids=["counts", "atoms", "a count beside a length", "an atom in a mixture", "an atom in one of two dimensions"],
)
def test_counts_and_atoms_are_refused(components):
    mixture = Mixture(Categorical(torch.ones(1, 2)), components)
    assert not mixture.has_rsample
    with pytest.raises(InputError) as caught:
        mixture.rsample((3,))
    assert str(caught.value) == SENTENCE


def test_an_empty_batch_and_no_samples_are_no_special_case():
    mixture = weighed(DiagonalNormal(torch.zeros(0, 2, 3), torch.ones(0, 2, 3)), torch.zeros(0, 2))
    assert mixture.rsample((4,)).shape == (4, 0, 3)
    mixture = weighed(DiagonalNormal(torch.zeros(2, 2, 3), torch.ones(2, 2, 3)), torch.zeros(2, 2))
    assert mixture.rsample().shape == (2, 3)
    assert mixture.rsample((0,)).shape == (0, 2, 3)


def test_samples_with_gradients_are_the_same_inside_no_grad():
    loc = torch.zeros(1, 2, 1).requires_grad_()
    mixture = weighed(DiagonalNormal(loc, torch.ones(1, 2, 1)), torch.zeros(1, 2))
    with torch.no_grad():
        quiet = mixture.rsample((3,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(quiet, mixture.sample((3,), generator=torch.Generator().manual_seed(0)))
    assert not quiet.requires_grad
