import copy
import math
import pickle

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import (
    Autoregressive,
    Beta,
    DiagonalNormal,
    Incomplete,
    LogNormal,
    Poisson,
    Pooled,
    Product,
    StudentT,
    VonMises,
)
from manymodes.nn import MLP, AutoregressiveHead, MixtureDensityNetwork, Retrieval

N, M, D, K, F = 6, 2, 4, 3, 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head(n_members=None, **settings) -> AutoregressiveHead:
    """Return a head all of whose weights matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = {"target_dim": D, "n_components": K, "hidden_sizes": (8, 8), "n_members": n_members} | settings
        made = AutoregressiveHead(F, **settings)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.5)
    return made


def network(n_members=None, **settings) -> MixtureDensityNetwork:
    return MixtureDensityNetwork(nn.Sequential(), head(n_members, **settings)).eval()


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, F, generator=generator(1))


def targets(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, D, generator=generator(2))


# --- masks ---


@pytest.mark.parametrize("order", [None, [2, 0, 3, 1]])
@pytest.mark.parametrize("hidden_sizes", [(4,), (8, 8), (7, 9, 9)])
def test_no_conditional_sees_its_own_target_or_one_after_it(order, hidden_sizes):
    made = head(order=order, hidden_sizes=hidden_sizes)
    y = targets(N).requires_grad_()
    mixture = made(features(N)).conditionals(y)
    rank = {dim: place for place, dim in enumerate(made.order)}
    for d in range(D):
        parameters = mixture.logits[:, d].square().sum() + mixture.components.loc[:, d].square().sum()
        (slope,) = torch.autograd.grad(parameters, y, retain_graph=True, allow_unused=True)
        for j in range(D):
            assert (slope[:, j] != 0).all() if rank[j] < rank[d] else (slope[:, j] == 0).all()


def test_one_dimension_at_a_time_is_what_all_at_once_are():
    density, y = head().double()(features(N).double()), targets(N).double()
    whole = density.conditionals(y)
    for d in range(D):
        alone = density._mixture(y, slice(d, d + 1))
        torch.testing.assert_close(alone.components.loc, whole.components.loc[:, d : d + 1])
        torch.testing.assert_close(alone.logits, whole.logits[:, d : d + 1])


def test_a_sample_has_the_density_of_the_masks():
    """Under the density F(y_d | y_<d) are uniform; false alarms: D tests of 1e-4 each."""
    density, n = head()(features(1)), 5000
    y = density.sample((n,), generator=generator())
    levels = density.conditionals(y).cdf(y.unsqueeze(-1))[:, 0, :, 0]
    gap = (levels.sort(0).values - (torch.arange(n).unsqueeze(-1) + 0.5) / n).abs().amax(0)
    assert (gap < math.sqrt(math.log(2 / 1e-4) / (2 * n))).all()


@torch.no_grad()
def test_the_density_integrates_to_one():
    density = head(target_dim=2)(features(1)).to(torch.float64)
    line = torch.linspace(-25, 25, 401, dtype=torch.float64)
    mass = density.log_prob(torch.cartesian_prod(line, line).unsqueeze(1)).exp().sum() * (line[1] - line[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=1e-3)


# --- members ---


def test_members_side_by_side_are_heads_alone():
    both, x, y = head(M), features(M, N), targets(M, N)
    for m in range(M):
        alone = head()
        state = {name: value[m] for name, value in both.state_dict().items()}
        state["linear.weight"] = state["linear.weight"].T
        alone.load_state_dict(state)
        torch.testing.assert_close(both(x).log_prob(y)[m], alone(x[m]).log_prob(y[m]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(both(x)[m].log_prob(y[m]), alone(x[m]).log_prob(y[m]), rtol=1e-4, atol=1e-4)


def test_an_ensemble_pools_its_members():
    net, x, y = network(M), features(N), targets(N)
    pooled = net(x)
    assert isinstance(pooled, Pooled)
    each = net.members(x).log_prob(y.expand(M, N, D))
    torch.testing.assert_close(pooled.log_prob(y), each.logsumexp(0) - math.log(M))


def test_features_at_every_step_make_a_density_at_every_step():
    for made in (head(), head(M)):
        shape = (3, 2) if made.n_members is None else (M, 3, 2)
        density = made(features(*shape))
        assert density.batch_shape == shape
        assert density.log_prob(targets(*shape)).shape == shape
        assert density.sample((5,)).shape == (5, *shape, D)


# --- gradients ---


@pytest.mark.parametrize("n_members", [None, M])
def test_gradients_reach_every_parameter(n_members):
    made = head(n_members)
    shape = (N,) if n_members is None else (n_members, N)
    made(features(*shape)).log_prob(targets(*shape)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_gradients_are_those_of_finite_differences():
    made = head(target_dim=2, n_components=2, hidden_sizes=(3, 3)).double()
    weights, y = dict(made.named_parameters()), targets(2)[:, :2].double()

    def log_prob(x, *values):
        return torch.func.functional_call(made, dict(zip(weights, values, strict=True)), (x,)).log_prob(y)

    x = features(2).double().requires_grad_()
    assert torch.autograd.gradcheck(log_prob, (x, *weights.values()), fast_mode=True)


def test_the_energy_objective_reaches_every_parameter():
    made = head()
    mm.objectives.energy(made(features(N)), targets(N)).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


# --- the start ---


def test_locations_start_spread_over_the_quantiles_of_each_target():
    made = AutoregressiveHead(F, target_dim=2, n_components=4)
    y = torch.stack([torch.linspace(0, 1, 401), 10 * torch.linspace(0, 1, 401) ** 2], -1)
    made.spread(y, generator())
    with torch.no_grad():
        for weight in (made.inward[0], made.outward, made.direct):
            weight.zero_()
    mixture = made(torch.zeros(1, F)).conditionals(torch.zeros(1, 2))
    levels = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(mixture.components.loc[0, 0, :, 0], levels)
    torch.testing.assert_close(mixture.components.loc[0, 1, :, 0], 10 * levels**2, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mixture.weights, torch.full((1, 2, 4), 0.25))


def test_floors_are_those_of_each_target():
    floors = [0.5, 1e-3, 2.0, 1e-3]
    made = head(min_scale=floors)
    with torch.no_grad():
        made.linear.bias.fill_(-1e4)
        for weight in (made.linear.weight, made.outward, made.direct):
            weight.zero_()
    scale = made(features(N)).conditionals(targets(N)).components.scale
    torch.testing.assert_close(scale[0, :, 0, 0], torch.tensor(floors))
    assert made(features(N)).sample().isfinite().all()


@pytest.mark.parametrize("family", [StudentT, LogNormal, Poisson])
def test_other_families_make_conditionals(family):
    made = head(family=family)
    y = targets(N).abs().ceil()
    made.spread(y, generator())
    density = made(features(N))
    assert density.log_prob(y).isfinite().all()
    assert density.has_density is (family is not Poisson)
    made.support().check(density.sample())


# --- in a network ---


def problem(n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets of which the second follows a curve of the first."""
    x = torch.rand(n, 1, generator=generator(3))
    noise = torch.randn(n, 2, generator=generator(4))
    first = x + noise[:, :1]
    return x, torch.cat([first, first.square() + 0.1 * noise[:, 1:]], -1)


def fitted(n_members=None, unit: float = 1.0, **settings) -> MixtureDensityNetwork:
    x, y = problem()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = MLP(1, (8,), n_members=n_members)
        made = AutoregressiveHead(8, target_dim=2, n_components=2, hidden_sizes=(16, 16), n_members=n_members)
    net = MixtureDensityNetwork(backbone, made)
    settings = {"max_epochs": 40, "random_state": 0, "batch_size": 64, "compile": False, "lr": 1e-2} | settings
    net.history = mm.fit(net, (x, unit * y), **settings)
    return net


@torch.no_grad()
@pytest.mark.parametrize("n_members", [None, M])
def test_a_fit_finds_a_curve_that_one_normal_each_cannot(n_members):
    x, y = problem()
    net = fitted(n_members)
    assert isinstance(net(x), Autoregressive if n_members is None else Pooled)
    score = float(mm.metrics.log_score(net(x), y).mean())
    floor = 1.419 + 1.419 + math.log(0.1)  # of the truth
    gaussian = -float(torch.distributions.MultivariateNormal(y.mean(0), y.T.cov()).log_prob(y).mean())
    assert score < floor + 0.4 < gaussian - 1
    findings = net.history.findings
    assert findings.train_score is not None
    assert 0 <= findings.dead_components <= 2


def test_units_of_the_target_change_nothing_but_the_unit():
    x, y = problem()
    small, large = fitted(max_epochs=3), fitted(max_epochs=3, unit=1024.0)
    plain = small(x.double()).log_prob(y.double())
    scaled = large(x.double()).log_prob(1024 * y.double())
    torch.testing.assert_close(scaled, plain - 2 * math.log(1024), rtol=0, atol=1e-4)


def test_energy_trains_it():
    x, y = problem()
    before, after = (
        mm.metrics.energy_score(fitted(max_epochs=n, objective=mm.objectives.energy)(x), y).mean() for n in (1, 5)
    )
    assert after < before


def test_a_network_in_double_precision_answers_in_it():
    net = network()
    density = net(features(N).double())
    y = targets(N).double()
    assert density.dtype == density.log_prob(y).dtype == torch.float64
    torch.testing.assert_close(net(features(N)).log_prob(y.float()).double(), density.log_prob(y), rtol=1e-4, atol=1e-4)


def test_a_prediction_stays_as_it_is_when_training_goes_on():
    net = network()
    density, y = net(features(N)), targets(N)
    before = density.log_prob(y)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(density.log_prob(y), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_predict_the_same(copied):
    net = fitted(max_epochs=1)
    x, y = problem()
    torch.testing.assert_close(copied(net)(x).log_prob(y), net(x).log_prob(y))


def test_saved_weights_bring_back_the_prediction():
    net, (x, y) = fitted(max_epochs=1), problem()
    other = MixtureDensityNetwork(
        MLP(1, (8,)), AutoregressiveHead(8, target_dim=2, n_components=2, hidden_sizes=(16, 16))
    )
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other.eval()(x).log_prob(y), net(x).log_prob(y))


def test_a_head_prints_its_sizes():
    assert repr(head()).startswith(
        "AutoregressiveHead(\n  target_dim=4, n_components=3, n_members=None, min_scale=0.001"
    )
    assert "hidden_sizes=[8, 8], order=[0, 1, 2, 3]" in repr(head())


# --- what is refused ---


def test_layers_too_narrow_to_tell_targets_apart_are_refused():
    with pytest.raises(InputError, match=r"^every size in hidden_sizes must be an integer >= 4; got 3\.$"):
        head(hidden_sizes=(8, 3))
    with pytest.raises(InputError, match=r"^hidden_sizes must name at least one layer; got \(\)\.$"):
        head(hidden_sizes=())


def test_an_order_that_is_none_is_refused():
    with pytest.raises(InputError, match="^order must name each of the 4 target dimensions once, counted from 0; "):
        head(order=[0, 1, 2, 4])


def test_families_that_are_no_conditionals_are_refused():
    sentence = "^family must be on the line, with all parameters from the network, for AutoregressiveHead; got "
    with pytest.raises(InputError, match=sentence + r"VonMises, whose targets are angles\.$"):
        head(family=VonMises)
    with pytest.raises(InputError, match=sentence + r"Beta, whose low the user gives\.$"):
        head(family=Beta)
    with pytest.raises(TypeError, match="^family must be a class of components for AutoregressiveHead; got "):
        head(family=Product.of((DiagonalNormal, D)))


def test_a_retrieval_beside_it_is_refused():
    memory = Retrieval(F, n_rows=10, row_features=F, target_dim=D)
    sentence = "^head must be a MixtureHead beside a retrieval; got AutoregressiveHead.$"
    with pytest.raises(TypeError, match=sentence):
        MixtureDensityNetwork(nn.Sequential(), head(), retrieval=memory)


def test_objectives_of_marginals_refuse_it():
    density, y = head()(features(N)), targets(N)
    with pytest.raises(TypeError, match=r"^distribution must be a Mixture for ngem; got Autoregressive\.$"):
        mm.objectives.ngem(density, y)
    with pytest.raises(TypeError, match="^crps needs marginals in closed form, as mixtures have; got Autoregressive. "):
        mm.objectives.crps(density, y)
    with pytest.raises(InputError, match="^weights is nothing that an autoregressive density knows; "):
        mm.objectives.weight_entropy(density)


def test_missing_targets_are_refused_in_a_fit():
    x, y = problem()
    y[3, 1] = math.nan
    net = MixtureDensityNetwork(MLP(1, (8,)), AutoregressiveHead(8, target_dim=2, n_components=2))
    with pytest.raises(TypeError, match="^y must be a tensor of exact targets for an autoregressive density; "):
        mm.fit(net, (x, Incomplete.missing(y)), max_epochs=1, compile=False)


def test_one_row_of_several_members_is_that_row():
    net, y = network(M), targets(N)
    density = net(features(N))
    torch.testing.assert_close(density[3].log_prob(y[3]), density.log_prob(y)[3])
    torch.testing.assert_close(
        density.members[:, 3].log_prob(y[3].expand(M, D)), density.members.log_prob(y.expand(M, N, D))[:, 3]
    )
    assert density[3].sample((2, 5), generator=generator()).shape == (2, 5, D)
    draws = density[3].sample((20_000,), generator=generator())
    torch.testing.assert_close(draws.mean(0), density.mean[3], atol=0.1, rtol=0)  # errors of some .01
