import pytest
import torch
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Laplace,
    LowRankNormal,
    Mixture,
    Poisson,
    Product,
    SphericalNormal,
    StudentT,
    VonMises,
)
from manymodes.metrics import energy

from .test_scores import make


def seeded(seed=1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brute_force(mixture, y, n=40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Average over independent pairs of draws; return it with its standard error."""
    first, second = mixture.sample((n,), generator=seeded(2)), mixture.sample((n,), generator=seeded(3))
    values = (first - y).norm(dim=-1) - 0.5 * (first - second).norm(dim=-1)
    return values.mean(0), values.std(0) / n**0.5


def with_gradient(mixture: Mixture) -> Mixture:
    return Mixture(Categorical(logits=mixture.logits.detach().clone().requires_grad_()), mixture.components)


def families(loc, scale) -> dict[str, object]:
    lower = torch.diag_embed(scale) + 0.5 * torch.diag_embed(scale[..., 1:], -1)
    return {
        "diagonal": DiagonalNormal(loc, scale),
        "spherical": SphericalNormal(loc, scale[..., :1]),
        "full": FullNormal(loc, lower),
        "low rank": LowRankNormal(loc, scale.unsqueeze(-1), scale),
        "laplace": Laplace(loc, scale),
        "student": StudentT(torch.full_like(loc, 5.0), loc, scale),
        "product": Product(DiagonalNormal(loc[..., :1], scale[..., :1]), Laplace(loc[..., 1:], scale[..., 1:])),
        "groups": Concatenation(
            DiagonalNormal(loc[..., :1, :], scale[..., :1, :]), Laplace(loc[..., 1:, :], scale[..., 1:, :])
        ),
    }


FAMILIES = list(families(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stratified", [False, True])
def test_the_energy_score_matches_brute_force(family, stratified):
    # 16 cases of 4 rows within 5 standard errors: a false alarm in fewer than 1 of 10,000 seeds.
    mixture, y = make(n=4, k=3, d=2)
    mixture = mixture.with_components(families(mixture.components.loc, mixture.components.scale)[family])
    expected, error = brute_force(mixture, y)
    mixture = with_gradient(mixture) if stratified else mixture
    got = metrics.energy_score(mixture, y, n_samples=20_000, generator=seeded()).detach()
    assert ((got - expected).abs() < 5 * (error.square() + mixture.variance.sum(-1) / 20_000).sqrt()).all()


@pytest.mark.parametrize("stratified", [False, True])
def test_two_samples_are_enough_to_be_right_on_average(stratified):
    # 5,000 estimates of each of 3 rows within 5 standard errors: a false alarm in 1 of 10^6 seeds.
    mixture, y = make(n=3, k=2, d=2)
    expected, error = brute_force(mixture, y)
    mixture = mixture.expand((5000, 3))
    mixture = with_gradient(mixture) if stratified else mixture
    got = metrics.energy_score(mixture, y.expand(5000, 3, 2), n_samples=2, generator=seeded()).detach()
    joint = (error.square() + got.var(0) / 5000).sqrt()
    assert ((got.mean(0) - expected).abs() < 5 * joint).all()


def test_the_energy_score_is_crps_in_one_dimension():
    mixture, y = make()
    assert (metrics.energy_score(mixture, y) == metrics.crps(mixture, y)).all()
    # Estimated, too: 6 rows within 5 standard errors, a false alarm in 1 of 10^5 seeds.
    estimate = energy._without_gradient(mixture, y, 40_000, seeded())
    assert ((estimate - metrics.crps(mixture, y)).abs() < 5 * (mixture.variance[:, 0] / 40_000).sqrt()).all()


@pytest.mark.parametrize("n_samples", [20, 200])
def test_the_standard_error_is_as_described(n_samples):
    mixture, y = make(n=5, k=3, d=2)
    described = (mixture.variance.sum(-1) / n_samples).sqrt()
    expanded, targets = mixture.expand((400, 5)), y.expand(400, 5, 2)
    seen = metrics.energy_score(expanded, targets, n_samples=n_samples, generator=seeded()).std(0)
    assert (seen < 1.15 * described).all()
    assert (seen > 0.2 * described).all()


def test_the_true_density_has_the_lowest_energy_score_on_average():
    # 4,000 rows; the paired differences exceed 5 standard errors, so a false alarm is rarer than 1 in 10^6 seeds.
    loc = torch.tensor([[[-1.0, 0.0], [1.0, 0.5]]], dtype=torch.float64)
    lower = torch.tensor([[1.0, 0.0], [0.95, 0.3]], dtype=torch.float64).expand(1, 2, 2, 2)
    mixture = Mixture(Categorical(torch.tensor([[0.3, 0.7]]).double()), FullNormal(loc, lower))
    y = mixture.sample((4000,), generator=seeded(11)).squeeze(1)
    true = metrics.energy_score(mixture.expand((4000,)), y, n_samples=400)
    uncorrelated = mixture.with_components(DiagonalNormal(loc, mixture.components.stddev))
    for wrong in (mixture.affine(0.5, 1.0), mixture.affine(0.0, 1.5), mixture.affine(0.0, 0.6), uncorrelated):
        difference = metrics.energy_score(wrong.expand((4000,)), y, n_samples=400) - true
        assert difference.mean() > 5 * difference.std() / 4000**0.5


def test_the_gradient_of_the_energy_score_is_unbiased():
    # In one dimension, where the gradient of crps is exact; 5 standard errors for 10 numbers: 1 of 10^5 seeds.
    mixture, y = make(n=1, k=3)
    values = [mixture.logits, 0.2 * mixture.components.loc, mixture.components.scale]  # they overlap

    def gradient(score, n_rows):
        parts = [value.expand(n_rows, *value.shape[1:]).clone().requires_grad_() for value in values]
        mixture = Mixture(Categorical(logits=parts[0]), DiagonalNormal(parts[1], parts[2]))
        return torch.autograd.grad(score(mixture, y.expand(n_rows, 1)).sum(), parts)

    def estimate(mixture, y):
        return energy._with_gradient(mixture, y, 6, seeded())

    for exact, estimates in zip(gradient(metrics.crps, 1), gradient(estimate, 20_000), strict=True):
        error = estimates.std(0) / 20_000**0.5
        assert ((estimates.mean(0) - exact[0]).abs() < 5 * error).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_finite_and_reaches_every_parameter(family):
    mixture, y = make(n=4, k=3, d=2)
    logits, loc, scale = (
        value.clone().requires_grad_() for value in (mixture.logits, mixture.components.loc, mixture.components.scale)
    )
    mixture = Mixture(Categorical(logits=logits), families(loc, scale)[family])
    for gradient in torch.autograd.grad(metrics.energy_score(mixture, y, n_samples=12).sum(), [logits, loc, scale]):
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


def test_members_are_scored_beside_each_other():
    # 6 rows, each within 5 standard errors of two estimates: a false alarm in 1 of 10^5 seeds.
    mixture, y = make(n=6, k=3, d=2)
    members = mixture[torch.arange(6).reshape(2, 3)]
    got = metrics.energy_score(members, y.reshape(2, 3, 2), n_samples=10_000)
    assert got.shape == (2, 3)
    expected = metrics.energy_score(mixture, y, n_samples=10_000, generator=seeded())
    assert ((got.flatten() - expected).abs() < 5 * (2 * mixture.variance.sum(-1) / 10_000).sqrt()).all()


def test_samples_in_rounds_score_as_samples_at_once(monkeypatch):
    mixture, y = make(n=4, k=3, d=2)
    expected = metrics.energy_score(mixture, y, n_samples=10_001, generator=seeded(5))
    monkeypatch.setattr(energy, "_ROUND", 1000)
    got = metrics.energy_score(mixture, y, n_samples=10_001, generator=seeded(6))
    assert not torch.equal(got, expected)
    assert ((got - expected).abs() < 5 * (2 * mixture.variance.sum(-1) / 10_001).sqrt()).all()


def test_without_a_generator_it_is_the_same_every_time_and_the_global_one_stays():
    mixture, y = make(d=2)
    state = torch.get_rng_state()
    assert torch.equal(metrics.energy_score(mixture, y), metrics.energy_score(mixture, y))
    assert (torch.get_rng_state() == state).all()


def test_counts_are_scored_but_have_no_gradient():
    rate = torch.full((2, 1, 1), 3.0, dtype=torch.float64)
    y = torch.tensor([[3.0], [9.0]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(2, 1).double()), Poisson(rate))
    score = metrics.energy_score(mixture, y)
    assert score[0] < score[1]
    mixture = Mixture(Categorical(torch.ones(2, 1).double()), Poisson(rate.clone().requires_grad_()))
    with pytest.raises(InputError) as caught:
        metrics.energy_score(mixture, y)
    assert str(caught.value) == (
        "energy_score has no gradient for counts and atoms; take log_score, or score under torch.no_grad()."
    )
    with torch.no_grad():
        assert torch.equal(metrics.energy_score(mixture, y), score)


def test_angles_are_refused():
    loc = torch.zeros(1, 1, 1)
    mixture = Mixture(Categorical(torch.ones(1, 1)), VonMises(loc, loc + 1))
    with pytest.raises(InputError) as caught:
        metrics.energy_score(mixture, loc[0])
    assert str(caught.value) == "energy_score needs targets on a line; got an angle. Take log_score."


def test_a_single_sample_is_refused():
    mixture, y = make(d=2)
    with pytest.raises(InputError) as caught:
        metrics.energy_score(mixture, y, n_samples=1)
    assert str(caught.value) == "n_samples must be an integer >= 2; got 1."
