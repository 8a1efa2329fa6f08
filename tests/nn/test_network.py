import pytest
import torch
from torch import nn

from manymodes._checks import InputError
from manymodes.distributions import SphericalNormal
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make(d=2, k=3, f=4, **head) -> MixtureDensityNetwork:
    return MixtureDensityNetwork(MLP(f, (16,)), MixtureHead(16, target_dim=d, n_components=k, **head))


def data(n=50, f=4, d=2, dtype=torch.float64):
    x = 5 + 3 * torch.randn(n, f, generator=generator(), dtype=dtype)
    y = 100 * x[:, :d] + torch.randn(n, d, generator=generator(), dtype=dtype)
    return x, y


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


@pytest.mark.parametrize("shape", [(7, 3), (7, 5), (2, 7, 4)])
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
    with pytest.raises(TypeError, match=r"^head must be a MixtureHead; got Linear\.$"):
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
