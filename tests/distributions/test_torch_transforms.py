"""Mixtures inside torch.compile, torch.vmap and torch.autocast: the numbers are those of plain execution."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.distributions import (
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Logistic,
    LogNormal,
    LowRankNormal,
    Mixture,
    StudentT,
    Truncated,
    VonMises,
)
from manymodes.nn import MixtureHead

N, K, D = 5, 3, 2


def uniform(low, high, *shape, seed=0, dtype=torch.float32) -> Tensor:
    return (low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


LOGITS = uniform(-1, 1, N, K, seed=1)
LOC = uniform(-1, 1, N, K, D, seed=2)
SCALE = uniform(0.4, 1.2, N, K, D, seed=3)
TRIL = torch.diag_embed(SCALE) + uniform(-0.5, 0.5, N, K, D, D, seed=4).tril(-1)
Y = uniform(0.2, 2, N, D, seed=5)

FAMILIES = {
    "DiagonalNormal": (DiagonalNormal, (LOC, SCALE)),
    "FullNormal": (FullNormal, (LOC, TRIL)),
    "LowRankNormal": (LowRankNormal, (LOC, uniform(-1, 1, N, K, D, 1, seed=6), SCALE)),
    "StudentT": (StudentT, (2 + SCALE, LOC, SCALE)),
    "Laplace": (Laplace, (LOC, SCALE)),
    "Logistic": (Logistic, (LOC, SCALE)),
    "LogNormal": (LogNormal, (LOC, SCALE)),
    "VonMises": (VonMises, (LOC, 3 * SCALE)),
    "Gamma": (Gamma, (3 * SCALE, SCALE)),
}
THROUGH_SCIPY = ("StudentT", "Gamma")  # their cdfs
METHODS = ["log_prob", "cdf", "mean", "variance"]
every_family = pytest.mark.parametrize("name", FAMILIES)
every_method = pytest.mark.parametrize("method", METHODS)
# Dynamo warns about itself, not about this package.
pytestmark = [
    pytest.mark.filterwarnings("default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::FutureWarning"),
    pytest.mark.filterwarnings("default::UserWarning:torch"),
]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()


def ask(name: str, method: str):
    """Return a function of parameters and targets that builds a mixture and asks it something."""
    family = FAMILIES[name][0]

    def run(y, logits, *parameters):
        weights = Categorical(logits=logits, validate_args=False)
        mixture = Mixture(weights, family(*parameters, validate_args=False), validate_args=False)
        return getattr(mixture, method) if method in ("mean", "variance") else getattr(mixture, method)(y)

    return run


@every_family
@every_method
def test_compiled_it_gives_the_same_numbers(name, method):
    run, parameters = ask(name, method), FAMILIES[name][1]
    compiled = torch.compile(run, backend="eager")
    torch.testing.assert_close(compiled(Y, LOGITS, *parameters), run(Y, LOGITS, *parameters))


@every_family
@every_method
def test_it_compiles_into_one_graph(name, method):
    if method == "cdf" and name in THROUGH_SCIPY:
        pytest.skip("SciPy computes it")
    run, parameters = ask(name, method), FAMILIES[name][1]
    compiled = torch.compile(run, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(Y, LOGITS, *parameters), run(Y, LOGITS, *parameters))


@every_family
def test_compiled_with_gradients_it_gives_the_same_gradients(name):
    run, parameters = ask(name, "log_prob"), FAMILIES[name][1]
    results = []
    for function in (run, torch.compile(run, backend="aot_eager")):
        leaves = [value.clone().requires_grad_() for value in (LOGITS, *parameters)]
        (-function(Y, *leaves).sum()).backward()
        results.append([leaf.grad for leaf in leaves])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain)


@every_family
@every_method
def test_mapped_over_a_batch_it_gives_the_same_numbers(name, method):
    if method == "cdf" and name == "Gamma":
        pytest.skip("SciPy computes it")
    run, parameters = ask(name, method), FAMILIES[name][1]
    stacked = [torch.stack([value, value.flip(0), value]) for value in (Y, LOGITS, *parameters)]
    expected = torch.stack([run(*(value[i] for value in stacked)) for i in range(3)])
    torch.testing.assert_close(torch.vmap(run)(*stacked), expected)


@every_family
def test_gradients_of_every_row_come_from_vmap_of_grad(name):
    run, parameters = ask(name, "log_prob"), FAMILIES[name][1]

    def loss(logits, y, *rest):
        return run(y.unsqueeze(0), logits.unsqueeze(0), *(value.unsqueeze(0) for value in rest)).sum()

    each = torch.vmap(torch.func.grad(loss))(LOGITS, Y, *parameters)
    leaf = LOGITS.clone().requires_grad_()
    (whole,) = torch.autograd.grad(run(Y, leaf, *parameters).sum(), leaf)
    torch.testing.assert_close(each, whole)


@every_family
@every_method
def test_under_autocast_full_precision_parameters_keep_their_numbers(name, method):
    run, parameters = ask(name, method), FAMILIES[name][1]
    with torch.autocast("cpu", torch.bfloat16):
        got = run(Y, LOGITS, *parameters)
    torch.testing.assert_close(got.float(), run(Y, LOGITS, *parameters), rtol=1e-5, atol=1e-5)


HEADS = [DiagonalNormal, FullNormal, StudentT, Laplace, LogNormal, Gamma, VonMises]
every_head = pytest.mark.parametrize("family", HEADS, ids=lambda family: family.__name__)
FEATURES = uniform(-1, 1, N, 7, seed=8)


def head(family) -> MixtureHead:
    torch.manual_seed(0)
    return MixtureHead(7, target_dim=D, n_components=K, family=family)


@every_head
def test_a_compiled_head_trains_with_the_same_gradients(family):
    net = head(family)
    params = list(net.parameters())

    def loss(features, y):
        return -net(features).log_prob(y).mean()

    expected = torch.autograd.grad(loss(FEATURES, Y), params)
    compiled = torch.compile(loss, backend="aot_eager")
    torch.testing.assert_close(compiled(FEATURES, Y), loss(FEATURES, Y))
    for got, want in zip(torch.autograd.grad(compiled(FEATURES, Y), params), expected, strict=True):
        torch.testing.assert_close(got, want)


@every_head
def test_a_head_and_its_loss_compile_into_one_graph(family):
    net = head(family)
    compiled = torch.compile(lambda features, y: net(features).log_prob(y), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(FEATURES, Y), net(FEATURES).log_prob(Y))


@every_head
def test_heads_of_an_ensemble_run_in_one_vmap(family):
    nets = [head(family) for _ in range(3)]
    with torch.no_grad():
        for i, net in enumerate(nets):
            net.linear.bias.add_(0.1 * i)
    params, buffers = torch.func.stack_module_state(nets)

    def log_prob(params, buffers, features, y):
        return torch.func.functional_call(_Scored(nets[0]), _prefixed(params | buffers), (features, y))

    got = torch.vmap(log_prob, in_dims=(0, 0, None, None))(params, buffers, FEATURES, Y)
    torch.testing.assert_close(got, torch.stack([net(FEATURES).log_prob(Y) for net in nets]))


class _Scored(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, features, y):
        return self.net(features).log_prob(y)


def _prefixed(state):
    return {f"net.{name}": value for name, value in state.items()}


@every_head
def test_a_head_under_autocast_gives_finite_losses_close_to_full_precision(family):
    net = head(family)
    plain = net(FEATURES).log_prob(Y)
    with torch.autocast("cpu", torch.bfloat16):
        cast = net(FEATURES).log_prob(Y)
    assert cast.isfinite().all()
    torch.testing.assert_close(cast.float(), plain, rtol=0.05, atol=0.1)
    cast.float().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", ["truncated", "incomplete"])
def test_truncation_and_intervals_are_mapped_over_a_batch_too(name):
    def run(y, logits, loc, scale):
        parts = DiagonalNormal(loc, scale, validate_args=False)
        if name == "truncated":
            parts, target = Truncated(parts, -5.0, 5.0, validate_args=False), y
        else:
            low = torch.where(y > 0, y, -math.inf)
            return parts.interval_log_prob(low.unsqueeze(-2), y.unsqueeze(-2) + 1e-9)
        return parts.log_prob(target.unsqueeze(-2))

    expected = run(Y, LOGITS, LOC, SCALE)
    torch.testing.assert_close(torch.vmap(run)(Y, LOGITS, LOC, SCALE), expected)
