import copy
import functools
import pickle
import warnings

import pytest
import torch
from torch import nn

import manymodes as mm
from manymodes._checks import InputError
from manymodes.distributions import (
    Beta,
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Incomplete,
    Log,
    Logit,
    LogNormal,
    PointMass,
    Poisson,
    Product,
    SphericalNormal,
    Transformed,
    Truncated,
    VonMises,
    given,
)
from manymodes.distributions.constraints import Scaling
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead

from ..distributions.test_blueprints import Case, every_case, learning, scalable


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make(d=2, k=3, f=4, **head) -> MixtureDensityNetwork:
    return MixtureDensityNetwork(MLP(f, (16,)), MixtureHead(16, target_dim=d, n_components=k, **head))


def data(n=50, f=4, d=2, dtype=torch.float64):
    x = 5 + 3 * torch.randn(n, f, generator=generator(), dtype=dtype)
    y = 100 * x[:, :d] + torch.randn(n, d, generator=generator(), dtype=dtype)
    return x, y


def built(case: Case, unit: float = 1.0, dtype=torch.float64) -> MixtureDensityNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = MixtureHead(8, target_dim=case.target_dim, n_components=case.n_components, family=case.make(unit))
        return MixtureDensityNetwork(MLP(2, (8,)), head).to(dtype)


def alone(family, **settings) -> MixtureDensityNetwork:
    """Return a network without hidden layers, of one feature."""
    settings = {"target_dim": 1, "n_components": 1, "family": family, **settings}
    return MixtureDensityNetwork(nn.Linear(1, 4), MixtureHead(4, **settings))


def test_the_density_is_in_the_users_units_with_the_exact_jacobian():
    network, (x, y) = make(), data()
    network.initialise(x, y, generator())
    ours = network(x).log_prob(y)
    scaled = network.scaled_distribution(network.scale_input(x)).to(torch.float64)
    expected = scaled.log_prob(network.target_scaling(y)) - network.target_scaling.scale.log().sum()
    torch.testing.assert_close(ours, expected)


def test_the_density_integrates_to_one_in_the_users_units():
    network, (x, y) = make(d=1), data(d=1)
    network.initialise(x, y, generator())
    grid = torch.linspace(-3e3, 4e3, 200_001, dtype=torch.float64)
    density = network(x[:1]).log_prob(grid[:, None, None]).exp()
    assert (density.sum() * (grid[1] - grid[0])).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_answer_has_the_precision_of_the_question(dtype):
    network, (x, y) = make(), data(dtype=dtype)
    assert network(x).mean.dtype == dtype
    network.initialise(x, y, generator())
    assert network(x).log_prob(y).dtype == dtype


def test_large_offsets_cost_no_precision():
    network, (x, y) = make(), data()
    network.initialise(x, y, generator())
    before = network(x).to(torch.float64)
    network.initialise(x + 1e9, y + 1e9, generator())
    after = network(x + 1e9)
    torch.testing.assert_close(after.mean - 1e9, before.mean, rtol=1e-5, atol=1e-5)


def test_the_state_survives_a_round_trip_into_an_unscaled_network():
    network, (x, y) = make(), data()
    network.initialise(x, y, generator())
    again = make()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(x).log_prob(y), network(x).log_prob(y))


def test_initial_locations_are_spread_over_the_quantiles_of_the_target():
    network, (x, y) = make(d=1, k=4), data(n=2000, d=1)
    network.initialise(x, y, generator())
    centres = torch.quantile(y, torch.tensor([0.125, 0.375, 0.625, 0.875], dtype=torch.float64), dim=0)
    locations = network.head.linear.bias[4:8, None].double() * y.std(0, correction=0) + y.mean(0)
    torch.testing.assert_close(locations, centres, rtol=1e-4, atol=1e-3)


def test_initial_locations_in_several_dimensions_find_separate_clusters():
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    y = corners.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=generator())
    network = make(d=2, k=4)
    network.initialise(torch.randn(200, 4, generator=generator()), y, generator())
    loc = network.head.linear.bias[4:12].unflatten(0, (4, 2))
    in_units = loc * y.std(0, correction=0) + y.mean(0)
    distance = torch.cdist(corners, in_units)
    assert distance.amin(1).max() < 0.2


def test_training_starts_with_scales_as_wide_as_the_gaps_and_with_the_biases_alone():
    network, (x, y) = make(d=1, k=4), data(n=2000, d=1)
    network.initialise(x, y, generator())
    first, second = network(x[:1]), network(x[1:2])
    scaled = network.target_scaling(y)
    centres = torch.quantile(scaled, torch.tensor([0.125, 0.375, 0.625, 0.875], dtype=torch.float64), dim=0)
    typical = (torch.cdist(scaled, centres).amin(1).square().mean()).sqrt() * network.target_scaling.scale
    torch.testing.assert_close(first.components.scale.mean(), typical[0], rtol=0.1, atol=0)
    spread = network.target_scaling.scale
    assert (first.components.loc - second.components.loc).abs().max() < 0.1 * spread


def test_scales_never_fall_below_their_floor():
    network = make(min_scale=0.01)
    with torch.no_grad():
        network.head.linear.weight.zero_()
        network.head.linear.bias.fill_(-1e4)
    assert network(torch.zeros(1, 4)).components.scale.min().item() == pytest.approx(0.01)


@pytest.mark.parametrize("family", [None, SphericalNormal])
def test_a_loss_reaches_every_parameter(family):
    network, (x, y) = make(**({} if family is None else {"family": family})), data()
    (-network(x).log_prob(y)).mean().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
        assert (parameter.grad != 0).any()


def test_scales_do_not_mix_across_components_of_a_spherical_head():
    head = MixtureHead(1, target_dim=2, n_components=3, family=SphericalNormal)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([0.0, 0, 0, 10, 11, 20, 21, 30, 31, -5, 0, 5]))
    components = head(torch.zeros(1, 1)).components
    assert components.loc[0].tolist() == [[10, 11], [20, 21], [30, 31]]
    assert components.scale[0, :, 0].diff().gt(0).all()


def test_inputs_that_are_no_table_of_numbers_reach_the_backbone_as_they_are():
    words = nn.Sequential(nn.Embedding(10, 8), nn.Flatten())
    network = MixtureDensityNetwork(words, MixtureHead(24, target_dim=1, n_components=2))
    tokens = torch.randint(10, (6, 3), generator=generator())
    network.initialise(tokens, torch.randn(6, 1), generator())
    assert network(tokens).mean.shape == (6, 1)
    assert network.input_scaling.loc.dim() == 0


@pytest.mark.parametrize("shape", [(7, 3), (7, 5)])
def test_inputs_of_another_shape_than_fitted_are_refused_not_left_unscaled(shape):
    network, (x, y) = make(), data()
    network.initialise(x, y, generator())
    with pytest.raises(InputError) as caught:
        network(torch.zeros(shape))
    assert str(caught.value) == f"x must have shape (N, 4) as the network was fitted with; got {shape}."
    with pytest.raises(InputError, match=r"got \(4,\)\.$"):
        network(x[0])


def test_integers_are_scaled_like_the_numbers_that_they_are():
    network, (x, y) = make(), data()
    x = x.round()
    network.initialise(x, y, generator())
    torch.testing.assert_close(network(x.long()).mean, network(x).mean, check_dtype=False)


def test_parts_of_the_wrong_kind_are_refused():
    with pytest.raises(TypeError, match=r"^backbone must be a Module; got str\.$"):
        MixtureDensityNetwork("resnet", MixtureHead(1, target_dim=1, n_components=1))
    with pytest.raises(TypeError, match=r"^head must be a Head, say a MixtureHead; got Linear\.$"):
        MixtureDensityNetwork(nn.Identity(), nn.Linear(1, 1))
    with pytest.raises(TypeError, match=r"^x must be a Tensor; got list\.$"):
        make()([[1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"k": 0}, "n_components must be an integer >= 1; got 0."),
        ({"d": 0}, "target_dim must be an integer >= 1; got 0."),
        ({"min_scale": 0.0}, "min_scale must be a number > 0; got 0.0."),
    ],
)
def test_a_head_of_impossible_size_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        make(**settings)
    assert str(caught.value) == sentence


def test_a_network_without_layers_is_refused():
    with pytest.raises(InputError) as caught:
        MLP(3, ())
    assert str(caught.value) == "hidden_sizes must name at least one layer; got ()."


def test_targets_of_another_dimension_are_refused():
    network, (x, y) = make(), data()
    with pytest.raises(InputError) as caught:
        network.initialise(x, y[:, :1], generator())
    assert str(caught.value) == "y must have shape (N, 2) to match the head's target_dim=2; got (50, 1)."


# --- over every family ---


@every_case
def test_the_density_of_every_family_is_that_of_scaled_targets_with_the_jacobian_of_what_is_continuous(case):
    network, (x, y) = built(case), case.data()
    network.initialise(x, y, generator())
    ours = network(x)
    scaled = network.scaled_distribution(network.scale_input(x)).log_prob(network.scale_target(y))
    scale = network.target_scaling.scale.expand(y.shape)
    _, atoms = atom_or_not(ours, y)
    expected = scaled - torch.where(atoms, 0.0, scale.log()).sum(-1)
    torch.testing.assert_close(ours.log_prob(y), expected)


def atom_or_not(mixture, y):
    """Return which targets are zeros that an atom stands for, as the cases have them at 0 alone."""
    at_zero = [(mixture.marginal(dim).probability(0.0, 0.0)[:, 0] > 0) & (y[:, dim] == 0) for dim in range(y.shape[-1])]
    return mixture, torch.stack(at_zero, -1)


@scalable
def test_the_units_of_y_do_not_matter_where_it_may_be_scaled(case):
    x, y = case.data()
    free = torch.tensor([scaling is not Scaling.NONE for scaling in case.scalings])
    losses = []
    for unit in (1.0, 1000.0):
        network = built(case, unit)
        targets = torch.where(free, unit * y, y)
        network.initialise(x, targets, generator())
        losses.append(network.scaled_distribution(network.scale_input(x)).log_prob(network.scale_target(targets)))
    torch.testing.assert_close(*losses, rtol=1e-8, atol=1e-8)


@every_case
def test_a_network_of_every_family_survives_copies_files_and_casts(case):
    network, (x, y) = built(case, dtype=torch.float32), case.data(40)
    network.initialise(x, y, generator())
    expected = network(x).log_prob(y)
    fresh = built(case, dtype=torch.float32)
    fresh.load_state_dict(network.state_dict())
    for again in (fresh, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(x).log_prob(y), expected)
    double = copy.deepcopy(network).double()
    torch.testing.assert_close(double(x).log_prob(y), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(double.to(torch.float32)(x).log_prob(y), expected)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_training_target_has_a_density_in_both_units(case, dtype):
    network, (x, y) = built(case, dtype=torch.float32), case.data(dtype=dtype)
    network.initialise(x, y, generator())
    scaled = network.scaled_distribution(network.scale_input(x))
    assert scaled.log_prob(network.scale_target(y)).isfinite().all()
    ours = network(x).log_prob(y)
    assert ours.isfinite().all()
    assert ours.dtype == dtype


@learning
def test_a_fit_of_every_family_lowers_the_validation_loss(case):
    network, (x, y) = built(case, dtype=torch.float32), case.data(300)
    history = mm.fit(network, (x, y), max_epochs=12, batch_size=64, lr=1e-2, random_state=0, progress=False)
    assert history.skipped_batches == 0
    assert history.best_validation_loss < history.validation_loss[0] - 0.02


@every_case
def test_every_family_takes_targets_of_which_some_are_missing(case):
    network, (x, y) = built(case, dtype=torch.float32), case.data(60)
    gappy = y.clone()
    gappy[::3, 0] = torch.nan
    gappy[1::5] = torch.nan
    known = Incomplete.missing(gappy)
    history = mm.fit(network, (x, known), max_epochs=2, random_state=0, progress=False)
    assert history.skipped_batches == 0
    with torch.no_grad():
        mixture = network(x)
        score = mm.metrics.log_score(mixture, known)
        assert score.isfinite().all()
        torch.testing.assert_close(score[1::5], torch.zeros_like(score[1::5]))
        exact = known.known.all(-1)
        torch.testing.assert_close(score[exact], mm.metrics.log_score(mixture, y)[exact], rtol=1e-9, atol=1e-9)


# --- what the user gives stays exact ---

MARKS = [0.0, 0.1, -3.7, 1e6 + 0.1]
precisions = pytest.mark.parametrize(
    ("x_dtype", "y_dtype"), [(a, b) for a in (torch.float32, torch.float64) for b in (torch.float32, torch.float64)]
)


def on_the_mark(mark: float, side: int, y_dtype) -> torch.Tensor:
    """Targets on one side of a mark and, every second, on it."""
    y = mark + side * torch.rand(40, 1, generator=generator(), dtype=torch.float64)
    y[::2] = mark
    return y.to(y_dtype)


def check_marked(network, x, y) -> None:
    network.initialise(x, y, generator())
    scaled = network.scaled_distribution(network.scale_input(x))
    assert scaled.log_prob(network.scale_target(y)).isfinite().all()
    assert network(x).log_prob(y).isfinite().all()


@precisions
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_target_on_a_bound_of_a_truncation_has_a_density(mark, side, x_dtype, y_dtype):
    bounds = {"low": mark} if side > 0 else {"high": mark}
    network = alone(Truncated.of(DiagonalNormal, **bounds), n_components=2)
    check_marked(network, torch.randn(40, 1, generator=generator(), dtype=x_dtype), on_the_mark(mark, side, y_dtype))


@precisions
@pytest.mark.parametrize("mark", MARKS)
def test_a_target_on_an_atom_has_a_probability(mark, x_dtype, y_dtype):
    network = alone(Concatenation.of((given(PointMass, value=mark), 1), (DiagonalNormal, 2)), n_components=3)
    x, y = torch.randn(40, 1, generator=generator(), dtype=x_dtype), on_the_mark(mark, 1, y_dtype)
    check_marked(network, x, y)
    hits = network(x).log_prob(y)[::2]
    torch.testing.assert_close(hits, network(x).logits[::2, 0].to(hits.dtype))  # the atom's weight and nothing else
    scaled = network.scaled_distribution(network.scale_input(x))
    torch.testing.assert_close(scaled.log_prob(network.scale_target(y))[::2], scaled.logits[::2, 0])


def test_values_that_the_user_gave_come_back_to_all_digits():
    x, y = torch.randn(40, 1, dtype=torch.float64), 1e6 + 0.2 + torch.rand(40, 1, dtype=torch.float64)
    network = alone(given(Beta, low=1e6 + 0.1, high=1e6 + 1.3), n_components=2)
    network.initialise(x, y, generator())
    assert network(x).components.ends()[0].unique().tolist() == [1e6 + 0.1]
    assert network(x).components.ends()[1].unique().tolist() == [1e6 + 1.3]


# --- targets outside the support ---


@pytest.mark.parametrize(
    ("family", "settings", "bad", "sentence"),
    [
        (LogNormal, {}, -0.5, "y must be positive for LogNormal; got -0.5 first in row 3."),
        (LogNormal, {}, 0.0, "y must be positive for LogNormal; got 0 first in row 3."),
        (Gamma, {}, -1.0, "y must be positive for Gamma; got -1 first in row 3."),
        (Poisson, {}, 1.5, "y must be a whole number >= 0 for Poisson; got 1.5 first in row 3."),
        (Poisson, {}, -1.0, "y must be a whole number >= 0 for Poisson; got -1 first in row 3."),
        (given(Beta, low=0, high=10), {}, 12.0, "y must be > 0 and < 10 for Beta; got 12 first in row 3."),
        (given(Beta, low=0, high=10), {}, 10.0, "y must be > 0 and < 10 for Beta; got 10 first in row 3."),
        (given(PointMass, value=1.0), {}, 2.0, "y must be 1 for PointMass; got 2 first in row 3."),
        (
            Concatenation.of((PointMass, 1), (LogNormal, 2)),
            {"n_components": 3},
            -2.0,
            "y must be 0 or positive for PointMass or LogNormal; got -2 first in row 3.",
        ),
        (
            Truncated.of(DiagonalNormal, low=0.5, high=2.0),
            {},
            0.4,
            "y must be >= 0.5 and <= 2 for Truncated; got 0.4 first in row 3.",
        ),
        (Transformed.of(DiagonalNormal, Log()), {}, -1.0, "y must be positive for Transformed; got -1 first in row 3."),
        (
            Transformed.of(DiagonalNormal, Logit.on(0, 100)),
            {},
            100.0,
            "y must be > 0 and < 100 for Transformed; got 100 first in row 3.",
        ),
    ],
)
@pytest.mark.parametrize("fit", [False, True])
def test_targets_outside_the_support_are_refused_with_the_first_row(family, settings, bad, sentence, fit):
    network = alone(family, **settings)
    x, y = torch.randn(20, 1, generator=generator()), torch.ones(20, 1, dtype=torch.float64)
    y[2] = y[7] = bad
    start = functools.partial(network.initialise, x, y, generator())
    fitting = functools.partial(mm.fit, network, (x, y), progress=False)
    with pytest.raises(InputError) as caught:
        (fitting if fit else start)()
    assert str(caught.value) == sentence


def test_a_column_outside_its_support_is_named():
    network = alone(Product.of(DiagonalNormal, Poisson), target_dim=2)
    y = torch.tensor([[-1.0, 2.0], [0.5, 2.5]])
    with pytest.raises(InputError) as caught:
        network.initialise(torch.zeros(2, 1), y, generator())
    assert str(caught.value) == "column 2 of y must be a whole number >= 0 for Poisson; got 2.5 first in row 2."


def test_a_row_that_no_component_takes_as_a_whole_is_refused():
    family = Concatenation.of((given(PointMass, value=0.0), 1), (Poisson, 1))
    network = alone(family, target_dim=2, n_components=2)
    network.check_target(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    family = Concatenation.of((given(PointMass, value=-1.0), 1), (Poisson, 1))
    network = alone(family, target_dim=2, n_components=2)
    with pytest.raises(InputError) as caught:
        network.check_target(torch.tensor([[-1.0, -1.0], [-1.0, 4.0]]))
    assert str(caught.value) == (
        "y must lie in the support of one component in all target dimensions at once; got [-1.0, 4.0] first in row 2."
    )


def test_rows_of_weight_zero_and_validation_rows_are_named_by_their_own_number():
    network = alone(LogNormal)
    x, y = torch.randn(20, 1, generator=generator()), torch.ones(20, 1)
    wrong, weight = y.clone(), torch.ones(20)
    wrong[9], weight[:5] = -1.0, 0.0
    settings = {"random_state": 0, "progress": False}
    with pytest.raises(InputError, match=r"^y must be positive for LogNormal; got -1 first in row 10\.$"):
        mm.fit(network, (x, wrong, weight), **settings)
    with pytest.raises(InputError, match=r"^y in validation must be positive for LogNormal; .* row 10\.$"):
        mm.fit(network, (x, y), validation=(x, wrong), **settings)


def test_angles_may_be_written_with_any_number_of_turns():
    x, y = torch.randn(20, 1, generator=generator()), torch.linspace(0, 6.2, 20).unsqueeze(-1)
    network = alone(VonMises)
    network.initialise(x, y, generator())
    assert network(x).log_prob(y).isfinite().all()


def test_an_integer_tensor_of_counts_is_taken():
    network = alone(Poisson)
    network.initialise(torch.zeros(3, 1), torch.tensor([[0], [3], [5]]), generator())


# --- targets that are not fully known ---


def test_an_interval_outside_the_support_is_refused():
    network = alone(LogNormal)
    low, high = torch.tensor([[1.0], [-2.0], [-2.0]]), torch.tensor([[1.0], [5.0], [-1.0]])
    with pytest.raises(InputError) as caught:
        network.initialise(torch.zeros(3, 1), Incomplete(low, high), generator())
    assert str(caught.value) == "y must be positive for LogNormal; got an interval from -2 to -1 first in row 3."


def test_an_interval_without_an_integer_holds_no_count():
    network = alone(Poisson)
    network.check_target(Incomplete(torch.tensor([[0.5]]), torch.tensor([[1.5]])))
    with pytest.raises(InputError, match=r"got an interval from 0\.2 to 0\.8 first in row 1\.$"):
        network.check_target(Incomplete(torch.tensor([[0.2]]), torch.tensor([[0.8]])))


def test_two_intervals_in_a_row_of_correlated_targets_are_refused_with_the_users_row():
    y = torch.zeros(30, 2)
    low, high = y.clone(), y.clone()
    low[16], high[16] = -1.0, 1.0
    with pytest.raises(InputError, match=r"^y must hold at most one interval per row.*row 17 holds 2"):
        mm.fit(alone(FullNormal, target_dim=2), (torch.randn(30, 1), Incomplete(low, high)), progress=False)


@pytest.mark.parametrize("family", [Gamma, LogNormal, Poisson, DiagonalNormal])
def test_a_target_censored_far_from_where_training_starts_leaves_the_loss_finite(family):
    x, y = torch.randn(50, 1, generator=generator()), 1 + torch.arange(50.0).remainder(4).unsqueeze(-1)
    network = alone(family)
    network.initialise(x, y, generator())
    low = y.clone()
    low[0] = 1000.0
    high = y.clone()
    high[0] = torch.inf
    targets = network.scale_target(Incomplete(low, high))
    assert network.scaled_distribution(network.scale_input(x)).log_prob(targets).isfinite().all()


def test_ends_of_intervals_are_scaled_like_targets_and_infinite_ones_stay():
    network, (x, y) = make(d=2), data()
    network.initialise(x, y, generator())
    low, high = y.clone(), y + 1
    low[0], high[1] = -torch.inf, torch.inf
    scaled = network.scale_target(Incomplete(low, high))
    assert torch.equal(scaled.low[1:], network.scale_target(y)[1:])
    assert (scaled.low[0] == -torch.inf).all()
    assert (scaled.high[1] == torch.inf).all()
    assert scaled.low.dtype == torch.float32


def test_targets_that_are_known_fit_the_same_network_as_tensors_and_as_intervals():
    x, y = data(60)
    states = []
    for targets in (y, Incomplete(y, y)):
        network = make()
        torch.manual_seed(0)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
        mm.fit(network, (x, targets), max_epochs=3, random_state=0, progress=False)
        states.append(network(x).log_prob(y))
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-4)


def test_what_is_partly_known_teaches_more_than_the_complete_rows_alone():
    # A 2-D normal with correlation 0.8: of 600 rows some 400 miss a value, or know only that one is above 0.5.
    # Over 40 seeds the largest error was 0.04 to 0.26 with all rows and 0.48 to 0.67 with the complete ones alone.
    random = torch.Generator().manual_seed(0)
    x = torch.zeros(600, 1, dtype=torch.float64)
    lower = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    y = torch.randn(600, 2, generator=random, dtype=torch.float64) @ lower.T
    censored = y[:, 1] > 0.5
    gone = torch.rand(600, 2, generator=random) < 0.3
    seen = torch.where(gone, torch.nan, y)
    right = torch.stack([torch.zeros_like(censored), censored], -1)
    seen[:, 1] = seen[:, 1].clamp_max(0.5)
    targets = Incomplete.censored(seen, right=right)
    complete = ((targets.low == targets.high).all(-1)).nonzero().squeeze(-1)
    everything = (x, targets)
    dropped = (x[complete], y[complete])
    errors = [moments_error(rows, lower) for rows in (everything, dropped)]
    assert errors[0] < 0.3
    assert errors[1] > 0.4


def moments_error(rows, lower) -> float:
    """Return how far mean and covariance of a fitted normal are from 0 and ``lower`` times its transpose."""
    network = alone(FullNormal, target_dim=2)
    mm.fit(network, rows, max_epochs=60, lr=2e-2, random_state=0, progress=False)
    components = network(rows[0][:1]).components
    mean, covariance = components.loc[0, 0], components.covariance_matrix[0, 0]
    return max(mean.abs().max().item(), (covariance - lower @ lower.T).abs().max().item())


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (
            Incomplete(torch.full((200, 1), -torch.inf), torch.full((200, 1), 1e200, dtype=torch.float64)),
            "y in data must be within ±1e+150; got another value first in row 1. Drop those rows or fill them in.",
        ),
        (
            Incomplete(torch.zeros(200), torch.zeros(200)),
            "y in data must have shape (N, D), also for D = 1, or (N, T, D) with a target at every step; got (200,).",
        ),
        (Incomplete(torch.zeros(9, 1), torch.zeros(9, 1)), "x and y must have the same number of rows; got 200 and 9."),
    ],
)
def test_incomplete_targets_that_cannot_be_used_are_refused(y, sentence):
    with pytest.raises(InputError) as caught:
        mm.fit(alone(DiagonalNormal), (torch.zeros(200, 1), y), progress=False)
    assert str(caught.value) == sentence


def test_targets_of_another_kind_are_refused():
    with pytest.raises(TypeError) as caught:
        mm.fit(alone(DiagonalNormal), (torch.zeros(2, 1), [[1.0], [2.0]]), progress=False)
    assert str(caught.value) == "y in data must be a torch tensor or Incomplete; got list."
    with pytest.raises(TypeError) as caught:
        mm.fit(alone(DiagonalNormal), (Incomplete(torch.zeros(2, 1), torch.ones(2, 1)), torch.zeros(2, 1)))
    assert str(caught.value) == "x in data must be a torch tensor, or several by name; got Incomplete."


def test_angles_in_degrees_are_refused():
    network = MixtureDensityNetwork(MLP(4, (8,)), MixtureHead(8, target_dim=1, n_components=2, family=VonMises))
    y = torch.tensor([[3.0], [-3.0], [6.2], [103.0]])
    with pytest.raises(InputError, match=r"VonMises; got 103 first in row 4\.$"):
        network.initialise(torch.randn(4, 4, generator=generator()), y, generator())


def test_a_network_compiled_on_request_predicts_the_same_for_any_number_of_rows():
    net = make(f=4).double()
    net.initialise(*data(), generator())
    x = torch.randn(60, 4, dtype=torch.float64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own compiler
        expected = net(x)
        net.compile()
        for n in (60, 17, 33):
            torch.testing.assert_close(net(x[:n]).logits, expected.logits[:n])
            torch.testing.assert_close(net(x[:n]).mean, expected.mean[:n])
    assert torch.equal(pickle.loads(pickle.dumps(net))(x).mean, expected.mean)


def test_missing_targets_do_not_shrink_the_scale_of_those_that_are_known():
    net, (x, y) = make(), data()
    y = 5.0 * y
    y[20:, 0] = torch.nan
    y[:30, 1] = torch.nan
    net.initialise(x, Incomplete.missing(y), generator())
    for column, known in ((0, y[:20, 0]), (1, y[30:, 1])):
        torch.testing.assert_close(net.target_scaling.scale[column], known.double().std(correction=0))
        torch.testing.assert_close(net.target_scaling.loc[column], known.double().mean())


def test_a_target_of_which_nothing_is_known_is_refused():
    net, (x, y) = make(), data()
    y[:, 1] = torch.nan
    with pytest.raises(InputError) as caught:
        net.initialise(x, Incomplete.missing(y), generator())
    assert str(caught.value) == "y must be known somewhere in every target dimension; got missing values only."
