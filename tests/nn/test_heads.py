import copy
import pickle

import pytest
import torch

from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    LogNormal,
    PointMass,
    Poisson,
    Product,
    Truncated,
    VonMises,
    constraints,
    given,
)
from manymodes.nn import MixtureHead

from ..distributions.test_blueprints import Case, every_case, learning, leaves

FLOOR = 0.01
IN = 4


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make(case: Case, dtype=torch.float32) -> MixtureHead:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = MixtureHead(
            IN,
            target_dim=case.target_dim,
            n_components=case.n_components,
            family=case.family,
            min_scale=FLOOR,
        )
    return head.to(dtype)


def at(head: MixtureHead, raw: torch.Tensor):
    """Return the mixture of a head that gives the raw numbers, (total,)."""
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(raw)
        return head(torch.zeros(1, IN, dtype=head.linear.weight.dtype))


def check_legal(components) -> None:
    for leaf in leaves(components):
        values = {name: getattr(leaf, name) for name in leaf.parameters}
        assert all(value.isfinite().all() for value in values.values())
        type(leaf)(**values, validate_args=True)
        slack = 1 + 4 * torch.finfo(next(iter(values.values())).dtype).eps
        for name, parameter in leaf.parameters.items():
            if parameter.constraint is constraints.scale:
                assert (values[name] * slack >= FLOOR).all()
            if parameter.constraint is constraints.concentration:
                assert (values[name] <= slack**3 * FLOOR**-2).all()
            if parameter.constraint is constraints.scale_tril:
                assert (values[name].diagonal(dim1=-2, dim2=-1) * slack >= FLOOR).all()


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_are_legal_whatever_the_network_gives(case, dtype):
    head = make(case, dtype)
    total = head.linear.out_features
    raws = [torch.full((total,), raw) for raw in (-1e4, -50.0, 0.0, 50.0, 1e4)]
    raws += [2e4 * torch.rand(total, generator=generator()) - 1e4 for _ in range(3)]
    for raw in raws:
        mixture = at(head, raw)
        assert mixture.batch_shape == (1,)
        assert mixture.event_shape == (case.target_dim,)
        assert mixture.n_components == case.n_components
        check_legal(mixture.components)


@learning
def test_a_loss_reaches_every_parameter_of_the_head_and_is_finite(case):
    head, (_, y) = make(case), case.data(dtype=torch.float32)
    head.spread(y, generator())
    head(torch.randn(len(y), IN, generator=generator())).log_prob(y).mean().neg().backward()
    for gradient in (head.linear.weight.grad, head.linear.bias.grad):
        assert gradient.isfinite().all()
        _, parts = head._layout.split(gradient.movedim(0, -1))
        assert all((part != 0).any() for part in parts.values())


@every_case
def test_a_spread_head_is_legal_and_gives_every_target_a_density(case):
    head, (_, y) = make(case), case.data(dtype=torch.float32)
    head.spread(y, generator())
    mixture = head(torch.zeros(1, IN))
    check_legal(mixture.components)
    assert mixture.log_prob(y.unsqueeze(1)).isfinite().all()


@every_case
def test_a_spread_head_is_centred_on_the_targets(case):
    head, (_, y) = make(case), case.data(1000, dtype=torch.float32)
    head.spread(y, generator())
    mixture = head(torch.zeros(1, IN))
    for dim, (kind, mean) in enumerate(zip(mixture.components.kinds, mixture.mean[0], strict=True)):
        if kind == "angle":
            direction = torch.atan2(y[:, dim].sin().mean(), y[:, dim].cos().mean())
            assert (mean - direction).cos() > 0.8
        else:
            assert (mean - y[:, dim].mean()).abs() <= 1.5 * y[:, dim].std()


@pytest.mark.parametrize("width", [1e-6, 0.01, 1.0, 100.0])
@every_case
def test_a_spread_head_is_legal_for_targets_of_any_width(case, width):
    head, (_, y) = make(case), case.data(dtype=torch.float32)
    kinds = head(torch.zeros(1, IN)).components.kinds
    moved = y.clone()
    for dim, kind in enumerate(kinds):
        if kind == "real" and case.name not in ("Beta", "Logit"):
            moved[:, dim] = y[:, dim] * width
    head.spread(moved, generator())
    mixture = head(torch.zeros(1, IN))
    check_legal(mixture.components)
    assert mixture.log_prob(moved.unsqueeze(1)).isfinite().all()


@every_case
def test_a_head_survives_being_copied_and_pickled(case):
    head, features = make(case), torch.randn(5, IN, generator=generator())
    y = case.data(5, dtype=torch.float32)[1]
    for again in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(again(features).log_prob(y), head(features).log_prob(y))


@every_case
def test_the_precision_of_a_head_is_that_of_its_weights(case):
    y = case.data(5)[1]
    features = torch.randn(5, IN, generator=generator())
    single = make(case)
    double = copy.deepcopy(single).double()
    assert double(features.double()).log_prob(y).dtype == torch.float64
    assert double.to(torch.float32)(features).log_prob(y.float()).dtype == torch.float32


@every_case
def test_leading_axes_of_features_are_those_of_the_mixture(case):
    head = make(case)
    mixture = head(torch.randn(2, 5, IN, generator=generator()))
    assert mixture.batch_shape == (2, 5)
    assert mixture.sample(generator=generator()).shape == (2, 5, case.target_dim)


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        (
            Product.of(DiagonalNormal, VonMises, Poisson),
            {"target_dim": 2},
            "target_dim must be 3, the dimensions of the product; got 2.",
        ),
        (
            Concatenation.of((PointMass, 1), (LogNormal, 3)),
            {"n_components": 3},
            "n_components must be 4, the components of the concatenation; got 3.",
        ),
        (
            Product.of(Concatenation.of((PointMass, 1), (LogNormal, 3)), VonMises),
            {"n_components": 4},
            "blocks must each be of one family; got a Concatenation. Take a Concatenation of Products instead.",
        ),
        (
            given(PointMass, value=[0.0, 1.0, 2.0]),
            {},
            "value must be a number or 2 numbers, one per target dimension; got [0.0, 1.0, 2.0].",
        ),
        (given(Beta, low=3, high=1), {}, "low must be below high for Beta; got 3 and 1."),
        (Truncated.of(DiagonalNormal, low=2.0, high=2.0), {}, "low must be below high for Truncated; got 2 and 2."),
    ],
)
def test_a_family_that_does_not_fit_the_head_is_refused(family, settings, sentence):
    with pytest.raises(InputError) as caught:
        MixtureHead(IN, **{"target_dim": 2, "n_components": 4, "family": family, **settings})
    assert str(caught.value) == sentence


def test_bounds_of_a_truncation_must_fit_the_number_of_dimensions():
    with pytest.raises(InputError) as caught:
        MixtureHead(IN, target_dim=3, n_components=1, family=Truncated.of(DiagonalNormal, low=[0.0, 1.0]))
    assert str(caught.value) == "low must be a number or 3 numbers, one per target dimension; got [0.0, 1.0]."


def test_what_is_no_family_is_refused():
    with pytest.raises(TypeError, match=r"^family must be a class of components or a blueprint, say DiagonalNormal"):
        MixtureHead(IN, target_dim=1, n_components=1, family="normal")


@pytest.mark.parametrize("n_members", [None, 2])
def test_a_head_that_follows_features_starts_with_locations_there(n_members):
    head = MixtureHead(IN, target_dim=2, n_components=3, n_members=n_members)
    features = torch.zeros(n_members or 1, 5, IN)[0 if n_members is None else slice(None)]
    before = head(features).components.loc
    head.follow(1)
    moved = features.clone()
    moved[..., 1], moved[..., 2] = 0.5, -2.0
    after = head(moved).components.loc
    torch.testing.assert_close(after - before, torch.tensor([0.5, -2.0]).expand_as(after))
