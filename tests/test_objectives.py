import math
import pickle

import numpy as np
import pytest
import scoringrules
import torch
from torch import nn
from torch.distributions import Categorical

import manymodes as mm
from manymodes import metrics, objectives
from manymodes._checks import InputError
from manymodes.distributions import (
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Laplace,
    Logistic,
    Mixture,
    PointMass,
    SphericalNormal,
    StudentT,
)
from manymodes.objectives import OBJECTIVES, mix, named, ngem, nll, regularised, scale_prior, weight_entropy

from .metrics.test_scores import make

MIXED = mix({"nll": 0.5, "crps": 0.3, "energy": 0.2})
REGULARISED = regularised(nll, weight_entropy=0.3, scale_prior=0.2)
AVERAGES = [*OBJECTIVES.values(), MIXED]


def parameters(mixture: Mixture) -> list[torch.Tensor]:
    parts = mixture.components
    return [value.detach().clone().requires_grad_() for value in (mixture.logits, parts.loc, parts.scale)]


def rebuilt(logits, loc, scale) -> Mixture:
    family = DiagonalNormal if scale.shape == loc.shape else SphericalNormal
    return Mixture(Categorical(logits=logits), family(loc, scale))


def gradients(objective, values, y, weight=None) -> list[torch.Tensor]:
    return list(torch.autograd.grad(objective(rebuilt(*values), y, weight).sum(), values))


def test_nll_is_the_mean_log_score():
    mixture, y = make(d=2)
    torch.testing.assert_close(nll(mixture, y), metrics.log_score(mixture, y).mean())


@pytest.mark.parametrize("objective", AVERAGES, ids=lambda objective: objective.__name__)
def test_a_weight_counts_a_row_as_often_as_it_says(objective):
    mixture, y = make(n=3)
    twice = torch.tensor([0, 1, 1, 2])
    weight = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    weighted = objective(mixture, y, weight / weight.mean())
    torch.testing.assert_close(weighted, objective(mixture[twice], y[twice]))


def test_every_objective_has_a_name_and_a_gradient():
    mixture, y = make()
    for objective in OBJECTIVES.values():
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        objective(mixture, y + shift, None).backward()
        assert shift.grad.isfinite()
        assert shift.grad != 0


@pytest.mark.parametrize("objective", [*AVERAGES, REGULARISED], ids=lambda objective: objective.__name__)
def test_members_have_the_loss_and_gradient_that_each_would_have_alone(objective):
    mixture, y = make(n=12, k=3)
    weight = torch.rand(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    flat = parameters(mixture)
    together = [value.unflatten(0, (3, 4)) for value in flat]
    y = y.unflatten(0, (3, 4))
    for case in (None, weight):
        loss = objective(rebuilt(*together), y, case)
        alone = [
            objective(rebuilt(*(value[m] for value in together)), y[m], None if case is None else case[m])
            for m in range(3)
        ]
        assert loss.shape == (3,)
        assert alone[0].shape == ()
        torch.testing.assert_close(loss, torch.stack(alone))
        for ours, theirs in zip(
            torch.autograd.grad(loss.sum(), flat), torch.autograd.grad(sum(alone), flat), strict=True
        ):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("target_dim", [1, 2])
def test_gradients_stay_finite_for_far_targets_and_tiny_scales(objective, dtype, target_dim):
    mixture, y = make(n=4, d=target_dim)
    logits, loc, scale = parameters(mixture.to(dtype))
    y = y.to(dtype)
    y[0], y[1] = 1e6, -1e6
    with torch.no_grad():
        scale[:, 0], scale[:, 1] = 1e-6, 1e-15
        loc[2:, 0] = y[2:]
    for gradient in gradients(objective, (logits, loc, scale), y):
        assert gradient.isfinite().all()


# --- ngem ---


def test_the_value_of_ngem_is_that_of_nll():
    mixture, y = make(d=2)
    weight = torch.linspace(0.5, 1.5, 6, dtype=torch.float64)
    torch.testing.assert_close(ngem(mixture, y, weight), nll(mixture, y, weight))


@pytest.mark.parametrize("spherical", [False, True])
def test_the_gradient_of_ngem_is_the_natural_one(spherical):
    mixture, y = make(n=5, k=3, d=2)
    logits, loc, scale = parameters(mixture)
    if spherical:
        scale = scale[..., :1].detach().requires_grad_()
    mixture = rebuilt(logits, loc, scale)
    share = mixture.responsibilities(y).detach()
    offset = (loc - y.unsqueeze(-2)).detach()
    s = scale.detach().expand_as(offset)
    in_scale = share.unsqueeze(-1) * (s - offset.square() / s) / 2  # s^2 / 2 times the likelihood's
    expected = [
        mixture.weights.detach() - share,
        share.unsqueeze(-1) * offset,  # s^2 times the likelihood's
        in_scale.sum(-1, keepdim=True) if spherical else in_scale,
    ]
    got = torch.autograd.grad(ngem(mixture, y), [logits, loc, scale])
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs / 5, rtol=1e-12, atol=1e-14)


def test_the_gradient_of_ngem_is_that_of_its_formula():
    mixture, y = make(n=5, k=3, d=2)
    values = parameters(mixture)
    logits, m, s = values
    r, v = mixture.responsibilities(y), s.detach().square()
    square, fixed_square = (y.unsqueeze(-2) - m).square(), (y.unsqueeze(-2) - m.detach()).square()
    bracket = square / 2 + v / 2 * (s.log() + fixed_square / (2 * s.square()))
    formula = (r * (bracket.sum(-1) - torch.log_softmax(logits, -1))).sum(-1).mean()
    for ours, theirs in zip(gradients(ngem, values, y), torch.autograd.grad(formula, values), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_a_component_without_weight_leaves_ngem_and_the_entropy_finite():
    mixture, y = make(n=4, k=3)
    logits, loc, scale = parameters(mixture)
    with torch.no_grad():
        logits[:, 0] = -torch.inf
    for objective in (ngem, regularised(nll, weight_entropy=1.0)):
        assert all(gradient.isfinite().all() for gradient in gradients(objective, (logits, loc, scale), y))


def two_sinusoids(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = math.pi * (2 * torch.rand(n, 1, generator=generator) - 1)
    sign = torch.rand(n, 1, generator=generator).sub(0.5).sign()
    return x, sign * torch.sin(x) + 0.01 * torch.randn(n, 1, generator=generator)


def test_steps_along_the_gradient_of_ngem_lower_the_nll_of_two_sinusoids():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(1, 64), nn.SiLU())
    network = mm.nn.MixtureDensityNetwork(backbone, mm.nn.MixtureHead(64, target_dim=1, n_components=4))
    x, y = two_sinusoids(500, seed=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    before = nll(network(x), y).item()
    for _ in range(100):
        optimizer.zero_grad()
        ngem(network(x), y).backward()
        optimizer.step()
    assert nll(network(x), y).item() < before - 0.3


# --- scores ---


def test_the_crps_objective_matches_an_independent_library():
    mixture, y = make(n=200)
    parts = mixture.components
    expected = scoringrules.crps_mixnorm(
        y[:, 0].numpy(), parts.loc[..., 0].numpy(), parts.scale[..., 0].numpy(), mixture.weights.numpy()
    )
    np.testing.assert_allclose(objectives.crps(mixture, y).item(), expected.mean(), rtol=1e-10)


@pytest.mark.parametrize("family", [Laplace, Logistic, Gamma], ids=lambda family: family.__name__)
def test_the_crps_objective_trains_other_families_too(family):
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(2, 1, 2, 1, generator=generator, dtype=torch.float64).requires_grad_()
    y = 3 + torch.rand(32, 1, generator=generator, dtype=torch.float64)
    logits = torch.zeros(32, 2, dtype=torch.float64)

    def loss():
        first, second = (value.exp().expand(32, 2, 1) for value in raw)
        return objectives.crps(Mixture(Categorical(logits=logits), family(first, second)), y)

    optimizer, before = torch.optim.Adam([raw], lr=0.1), loss().item()
    for _ in range(25):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.7 * before


def test_energy_is_crps_in_one_dimension():
    mixture, y = make()
    torch.testing.assert_close(objectives.energy(mixture, y), objectives.crps(mixture, y))


def test_energy_draws_afresh_for_every_gradient_but_always_alike_without():
    mixture, y = make(d=2)
    mixture = rebuilt(*parameters(mixture))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = objectives.energy(mixture, y), objectives.energy(mixture, y)
        torch.manual_seed(0)
        again = objectives.energy(mixture, y)
    assert first != second
    assert first == again
    with torch.no_grad():
        state = torch.get_rng_state()
        assert objectives.energy(mixture, y) == objectives.energy(mixture, y)
        assert (torch.get_rng_state() == state).all()


def test_a_fit_to_the_energy_score_repeats_itself_and_leaves_the_global_generator_alone():
    x, _ = two_sinusoids(60, seed=2)
    y = torch.cat([x.sin(), x.cos()], -1)
    state = torch.get_rng_state()
    outcomes = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            head = mm.nn.MixtureHead(1, target_dim=2, n_components=2)
            network = mm.nn.MixtureDensityNetwork(nn.Identity(), head)
        history = mm.fit(network, (x, y), objective=objectives.energy, max_epochs=3, random_state=0, progress=False)
        outcomes.append(history.train_loss)
    assert outcomes[0] == outcomes[1]
    assert (torch.get_rng_state() == state).all()


# --- refusals ---


@pytest.mark.parametrize("name", ["ngem", "crps", "energy"])
def test_objectives_of_exact_targets_refuse_incomplete_ones(name):
    mixture, y = make()
    with pytest.raises(TypeError) as caught:
        OBJECTIVES[name](mixture, Incomplete.rounded(y, 0.5))
    assert str(caught.value) == f"y must be a tensor of exact targets for {name}; got Incomplete, which nll takes."


def test_ngem_refuses_components_whose_natural_gradient_it_does_not_know():
    mixture, y = make(d=2)
    loc, scale = mixture.components.loc, mixture.components.scale
    for parts in (Laplace(loc, scale), FullNormal(loc, torch.diag_embed(scale))):
        with pytest.raises(TypeError) as caught:
            ngem(mixture.with_components(parts), y)
        assert str(caught.value) == (
            "ngem needs normal components without correlation, DiagonalNormal or SphericalNormal; got "
            f"{type(parts).__name__}. Take nll."
        )


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_targets_of_another_shape_are_refused(objective):
    mixture, y = make()
    with pytest.raises(InputError, match=r"^y must have shape \(\.\.\., 6, 1\)"):
        objective(mixture, y[:, 0])


# --- mixes ---


def test_a_mix_is_the_weighted_mean_of_its_objectives():
    mixture, y = make()
    weight = torch.linspace(0.5, 1.5, 6, dtype=torch.float64)
    expected = 0.7 * nll(mixture, y, weight) + 0.3 * objectives.crps(mixture, y, weight)
    torch.testing.assert_close(mix({"nll": 0.7, "crps": 0.3})(mixture, y, weight), expected)


def test_an_objective_of_weight_zero_is_not_asked():
    mixture, y = make(d=2)
    full = FullNormal(mixture.components.loc, torch.diag_embed(mixture.components.scale))
    mixture = mixture.with_components(full)
    torch.testing.assert_close(mix({"nll": 1, "ngem": 0})(mixture, y), nll(mixture, y))


@pytest.mark.parametrize("text", ["0.7 nll + 0.3 crps", "0.7*nll + 0.3*crps", " .7  nll+3e-1 * crps "])
def test_mixes_are_read_from_text(text):
    assert named(text) == mix({"nll": 0.7, "crps": 0.3})


def test_a_mix_prints_as_it_is_made_and_as_it_is_read():
    objective = mix({"nll": 2 / 3, "crps": 1 / 3})
    assert repr(objective) == "mix({'nll': 0.6666666666666666, 'crps': 0.3333333333333333})"
    assert objective.__name__ == "0.6666666666666666 nll + 0.3333333333333333 crps"
    assert named(objective.__name__) == objective


def test_a_name_gives_its_function_and_a_function_itself():
    assert named("nll") is nll
    assert named(weight_entropy) is weight_entropy


@pytest.mark.parametrize(
    "text", ["mse", "", "nll + crps", "0.5 nll + 0.5 mse", "0.5 nll + 0.5 nll", "0.5 nll 0.5 crps", "0.5nll", 3, None]
)
def test_a_text_that_names_no_objective_is_refused(text):
    with pytest.raises(InputError) as caught:
        named(text)
    assert str(caught.value) == (
        "objective must be one of 'crps', 'energy', 'ngem', 'nll', or a mix of different ones such as "
        f"'0.7 nll + 0.3 crps'; got {text!r}."
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"nll": 0.7, "crps": 0.4}, "the weights of a mix must sum to 1; got 0.7 + 0.4."),
        ({}, "the weights of a mix must sum to 1; got none."),
        ({"nll": 1.3, "crps": -0.3}, "the weight of nll must be a number >= 0 and <= 1; got 1.3."),
        ({"nll": math.nan}, "the weight of nll must be a number >= 0 and <= 1; got nan."),
        ({"mse": 1.0}, "objective must be one of 'crps', 'energy', 'ngem', 'nll'; got 'mse'."),
    ],
)
def test_mixes_that_are_not_convex_are_refused(parts, message):
    with pytest.raises(InputError) as caught:
        mix(parts)
    assert str(caught.value) == message


def test_weights_in_text_follow_the_same_rule():
    with pytest.raises(InputError, match=r"^the weight of crps must be a number >= 0 and <= 1; got -0.3\.$"):
        named("0.3 nll + -0.3 crps")
    with pytest.raises(InputError, match=r"^the weights of a mix must sum to 1; got 0.7 \+ 0.2\.$"):
        named("0.7 nll + 0.2 crps")


def test_a_mix_of_no_mapping_is_refused():
    with pytest.raises(TypeError) as caught:
        mix(["nll", "crps"])
    assert str(caught.value) == "parts must be a Mapping of names to weights; got list."


@pytest.mark.parametrize("objective", [MIXED, REGULARISED])
def test_made_objectives_survive_pickling(objective):
    assert pickle.loads(pickle.dumps(objective)) == objective


# --- regularisers ---


def test_the_entropy_of_the_weights_is_known_where_they_are_equal_or_certain():
    loc = torch.zeros(2, 4, 1, dtype=torch.float64)
    equal = Categorical(logits=torch.zeros(2, 4, dtype=torch.float64))
    certain = Categorical(logits=torch.tensor([0.0, *[-torch.inf] * 3]).double().expand(2, 4))
    assert weight_entropy(Mixture(equal, DiagonalNormal(loc, loc + 1))).item() == pytest.approx(math.log(4))
    assert weight_entropy(Mixture(certain, DiagonalNormal(loc, loc + 1))).item() == 0


def test_the_scale_prior_is_the_mean_squared_log_scale():
    mixture, _ = make(d=2)
    torch.testing.assert_close(scale_prior(mixture), mixture.components.scale.log().square().mean())


def test_the_scale_prior_pulls_scales_towards_one():
    mixture, _ = make(d=2)
    values = parameters(mixture)
    (gradient,) = torch.autograd.grad(scale_prior(rebuilt(*values)), values[2])
    assert (gradient.sign() == values[2].log().sign()).all()


def test_infinite_variances_and_atoms_do_not_count_in_the_scale_prior():
    loc = torch.zeros(1, 2, 1, dtype=torch.float64)
    df = torch.tensor([[[1.5], [4.0]]], dtype=torch.float64, requires_grad=True)
    weights = Categorical(logits=torch.zeros(1, 2, dtype=torch.float64))
    prior = scale_prior(Mixture(weights, StudentT(df, loc, loc + 1)))
    assert prior.item() == pytest.approx((0.5 * math.log(2)) ** 2 / 2)  # the variance is df / (df - 2)
    prior.backward()
    assert df.grad.isfinite().all()
    assert scale_prior(Mixture(weights, PointMass(loc))).item() == 0


def test_regularisers_give_a_number_for_each_member():
    mixture, _ = make(n=12)
    members = rebuilt(*(value.unflatten(0, (3, 4)) for value in parameters(mixture)))
    for regulariser in (weight_entropy, scale_prior):
        alone = torch.stack([regulariser(members[m]) for m in range(3)])
        torch.testing.assert_close(regulariser(members), alone)


def test_regularised_adds_the_prior_and_rewards_entropy():
    mixture, y = make()
    expected = nll(mixture, y) + 0.2 * scale_prior(mixture) - 0.3 * weight_entropy(mixture)
    objective = regularised(nll, weight_entropy=0.3, scale_prior=0.2)
    torch.testing.assert_close(objective(mixture, y, None), expected)
    assert repr(objective) == "regularised(nll, weight_entropy=0.3, scale_prior=0.2)"
    assert repr(regularised(mix({"nll": 1}), scale_prior=0.2)) == (
        "regularised(1.0 nll, weight_entropy=0.0, scale_prior=0.2)"
    )


def test_without_factors_an_objective_is_itself():
    assert regularised(nll) is nll


@pytest.mark.parametrize("name", ["weight_entropy", "scale_prior"])
def test_negative_factors_are_refused(name):
    with pytest.raises(InputError) as caught:
        regularised(nll, **{name: -0.1})
    assert str(caught.value) == f"{name} must be a number >= 0; got -0.1."
