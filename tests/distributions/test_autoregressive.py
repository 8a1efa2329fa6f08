import math

import pytest
import torch
from torch.distributions import Categorical

from manymodes import metrics, objectives
from manymodes._checks import InputError
from manymodes.distributions import Autoregressive, Conditionals, DiagonalNormal, Incomplete, Mixture, Poisson, Pooled

N, M, D, K = 3, 4, 2, 2


class Curve(Conditionals):
    """y_1 of two normals about the context; y_2, likewise, about sin(3 y_1); members are shifted by their number."""

    def __init__(self, n_members: int | None = None, shift: float = 0.0) -> None:
        self.n_members, self.shift = n_members, shift

    def __call__(self, context, y, dims=slice(None)):
        member = torch.zeros(()) if self.n_members is None else torch.arange(self.n_members, dtype=y.dtype)
        shift = self.shift + member.reshape(-1, *(1,) * (y.dim() - 2)) if self.n_members else self.shift
        first = (context[..., 0] + shift).expand(torch.broadcast_shapes(context.shape[:-1], y.shape[:-1]))
        second = torch.sin(3 * y[..., 0]).expand(first.shape)
        centre = torch.stack([first, second], -1)[..., dims, None, None]
        loc = torch.cat([centre - 0.5, centre + 0.7], -2)  # (..., d, K, 1)
        weights = torch.tensor([0.4, 0.6], dtype=y.dtype).expand(loc.shape[:-1])
        return Mixture(Categorical(weights), DiagonalNormal(loc, torch.full_like(loc, 0.3)))

    def member(self, index):
        return Curve(shift=self.shift + float(range(self.n_members)[index]))


class Counts(Conditionals):
    """y_1 and y_2 of a Poisson, the second with a rate of 1 + y_1."""

    def __call__(self, context, y, dims=slice(None)):
        rate = torch.stack([context[..., 0].expand(y.shape[:-1]), 1 + y[..., 0]], -1)[..., dims, None, None]
        return Mixture(Categorical(torch.ones(rate.shape[:-1])), Poisson(rate))


def rows(n: int = N) -> torch.Tensor:
    return torch.linspace(-1, 1, n, dtype=torch.float64).unsqueeze(-1)


def curve(n: int = N) -> Autoregressive:
    return Autoregressive(Curve(), rows(n), target_dim=D)


def ensemble() -> Autoregressive:
    return Autoregressive(Curve(M), rows().expand(M, N, 1), target_dim=D)


def counts() -> Autoregressive:
    return Autoregressive(Counts(), torch.full((N, 1), 2.0), target_dim=D, kind="count")


def targets(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def by_hand(context: float, y: torch.Tensor) -> torch.Tensor:
    """Return the log-density of ``Curve`` at targets (..., D), term by term."""
    total = 0.0
    for value, centre in ((y[..., 0], context), (y[..., 1], torch.sin(3 * y[..., 0]))):
        parts = [w * torch.exp(-0.5 * ((value - centre - s) / 0.3) ** 2) for w, s in ((0.4, -0.5), (0.6, 0.7))]
        total = total + torch.log(sum(parts) / 0.3 / math.sqrt(2 * math.pi))
    return total


# --- shapes ---


@pytest.mark.parametrize("make", [curve, ensemble, lambda: ensemble().pooled(0)])
def test_densities_samples_and_moments_have_the_shapes_of_a_distribution(make):
    density = make()
    batch = tuple(density.batch_shape)
    assert tuple(density.event_shape) == (D,)
    assert density.log_prob(targets(*batch)).shape == batch
    assert density.log_prob(targets(5, 2, *batch)).shape == (5, 2, *batch)
    assert density.sample((5, 2)).shape == density.rsample((5, 2)).shape == (5, 2, *batch, D)
    assert density.sample().shape == density.mean.shape == density.variance.shape == density.stddev.shape == (*batch, D)
    assert density.sample((0,)).shape == (0, *batch, D)


@pytest.mark.parametrize("make", [curve, lambda: ensemble().pooled(0)])
def test_no_rows_are_no_trouble(make):
    none = make()[:0]
    assert none.log_prob(targets(0)).shape == (0,)
    assert none.sample((4,)).shape == (4, 0, D)
    assert none.mean.shape == (0, D)


def test_conditionals_are_mixtures_of_every_dimension():
    mixture = ensemble().conditionals(targets(5, M, N))
    assert isinstance(mixture, Mixture)
    assert (mixture.batch_shape, mixture.event_shape) == ((5, M, N, D), (1,))


def test_two_batch_axes_score_as_one():
    square = Autoregressive(Curve(), rows(6).reshape(2, 3, 1), target_dim=D)
    y = targets(2, 3)
    torch.testing.assert_close(square.log_prob(y).flatten(), curve(6).log_prob(y.flatten(0, 1)))


# --- agreement ---


def mass_on_a_grid(density: Autoregressive) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points, (S, 1, D), and the probability about each of them, (S, N, 1)."""
    line = torch.linspace(-4, 4, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).unsqueeze(1)
    return grid, density.log_prob(grid).exp().unsqueeze(-1) * (line[1] - line[0]) ** 2


def test_the_density_integrates_to_one():
    _, mass = mass_on_a_grid(curve())
    torch.testing.assert_close(mass.sum(0).flatten(), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_density_is_the_chain_rule_by_hand():
    y = targets(N)
    expected = torch.stack([by_hand(float(rows()[n]), y[n]) for n in range(N)])
    torch.testing.assert_close(curve().log_prob(y), expected)


def test_conditionals_multiply_to_the_density_in_the_users_units():
    density = curve().affine(torch.tensor([5.0, -1.0]), torch.tensor([100.0, 0.01]))
    y = density.sample((7,), generator=torch.Generator().manual_seed(0))
    parts = density.conditionals(y).log_prob(y.unsqueeze(-1))
    torch.testing.assert_close(parts.sum(-1), density.log_prob(y))


def test_counts_have_the_probabilities_of_both_steps():
    y = torch.tensor([3.0, 4.0])
    expected = torch.distributions.Poisson(2.0).log_prob(y[0]) + torch.distributions.Poisson(4.0).log_prob(y[1])
    torch.testing.assert_close(counts().log_prob(y.expand(N, D)), expected.expand(N))
    assert not counts().has_density


def test_probability_transforms_of_samples_are_uniform():
    """Under the true density z_d = F(y_d | y_<d) are uniform and independent; false alarms: 4 tests of 1e-4 each."""
    n = 20_000
    y = curve(1).sample((n,), generator=torch.Generator().manual_seed(1))
    z = curve(1).conditionals(y).cdf(y.unsqueeze(-1)).flatten(1)  # (S, D)
    for column in (z[:, 0], z[:, 1], (z[:, 0] + z[:, 1]) % 1, (z[:, 0] - z[:, 1]) % 1):
        gap = (column.sort().values - (torch.arange(n) + 0.5) / n).abs().max()
        assert gap < math.sqrt(math.log(2 / 1e-4) / (2 * n))  # Dvoretzky, Kiefer, Wolfowitz and Massart


def test_moments_are_those_of_the_density():
    grid, mass = mass_on_a_grid(curve())
    mean = (mass * grid).sum(0)
    variance = (mass * (grid - mean).square()).sum(0)
    assert ((curve().mean - mean).abs() < 4 * 0.045 * variance.sqrt()).all()  # false alarm: 6e-5 for each of three
    torch.testing.assert_close(curve().mean[:, 0], mean[:, 0])  # the first dimension is exact
    torch.testing.assert_close(curve().variance, variance, rtol=0.15, atol=0)


def test_moments_are_the_same_each_time_and_follow_the_units():
    moved = curve().affine(3.0, 10.0)
    torch.testing.assert_close(moved.mean, 3 + 10 * curve().mean)
    torch.testing.assert_close(moved.variance, 100 * curve().variance)


def test_the_order_of_the_product_is_that_of_the_draws():
    class Backwards(Conditionals):
        def __call__(self, context, y, dims=slice(None)):
            mixture = Curve()(context, y.flip(-1))
            return mixture[..., [1, 0]][..., dims]

    density = Autoregressive(Backwards(), rows(), target_dim=D, order=[1, 0])
    y = targets(N)
    torch.testing.assert_close(density.log_prob(y), curve().log_prob(y.flip(-1)))
    own = [one.sample((3,), generator=torch.Generator().manual_seed(2)) for one in (density, curve())]
    torch.testing.assert_close(own[0], own[1].flip(-1))


def test_many_samples_are_drawn_in_rounds_of_bounded_size(monkeypatch):
    monkeypatch.setattr("manymodes.distributions.autoregressive._ROUND", 10 * N * (D + 1))
    samples = curve().sample((105,), generator=torch.Generator().manual_seed(0))
    assert samples.shape == (105, N, D)
    assert samples.unique().numel() == samples.numel()


# --- units ---


def test_units_change_the_density_by_their_logarithm_alone():
    y, shift, scale = targets(N), torch.tensor([7.0, -2.0]).double(), torch.tensor([1000.0, 0.5]).double()
    moved = curve().affine(shift, scale).log_prob(shift + scale * y)
    torch.testing.assert_close(moved, curve().log_prob(y) - scale.log().sum(), rtol=1e-12, atol=1e-12)
    twice = curve().affine(1.0, 2.0).affine(shift, scale).log_prob(shift + scale * (1 + 2 * y))
    torch.testing.assert_close(twice, moved - 2 * math.log(2))


def test_samples_move_with_the_units():
    samples = [
        density.sample((4,), generator=torch.Generator().manual_seed(0)) for density in (curve(), curve().affine(3, 2))
    ]
    torch.testing.assert_close(samples[1], 3 + 2 * samples[0])


# --- gradients ---


def test_samples_carry_the_gradient_of_expectations():
    """E sin(3 y_1) = E y_2 - 0.22, whose derivative in the context is a closed form; false alarm 6e-5."""
    context = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    y = Autoregressive(Curve(), context, target_dim=D).rsample((20_000,), generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad(y[..., 1].mean(), context)
    damp = math.exp(-0.5 * (3 * 0.3) ** 2)
    expected = sum(w * 3 * math.cos(3 * (0.3 + shift)) * damp for w, shift in ((0.4, -0.5), (0.6, 0.7)))
    assert abs(float(slope) - expected) < 4 * 3 / math.sqrt(20_000)


def test_log_densities_have_the_gradient_of_finite_differences():
    y = targets(N)
    assert torch.autograd.gradcheck(
        lambda c, z: Autoregressive(Curve(), c, target_dim=D).log_prob(z),
        (rows().requires_grad_(), y.requires_grad_()),
    )


# --- members ---


def test_pooled_members_have_their_mean_density():
    y, members = targets(5, N), ensemble()
    pooled = members.pooled(0)
    each = torch.stack([members[m].log_prob(y) for m in range(M)])
    torch.testing.assert_close(pooled.log_prob(y), each.exp().mean(0).log())
    torch.testing.assert_close(members.log_prob(y.unsqueeze(1)), each.movedim(0, 1))
    assert pooled.members is members
    assert pooled.n_members == M


def test_pooled_samples_come_from_every_member_alike():
    """Members lie at 0, 1, 2, 3 in y_1; the mean of n samples is off by 5 standard errors once in 2e6."""
    n = 4000
    pooled = ensemble().pooled(0)
    samples = pooled.sample((n,), generator=torch.Generator().manual_seed(0))
    error = (samples[..., 0].mean(0) - pooled.mean[:, 0]).abs()
    assert (error < 5 * pooled.stddev[:, 0] / math.sqrt(n)).all()
    torch.testing.assert_close(samples[..., 0].var(0), pooled.variance[:, 0], rtol=0.1, atol=0)


def test_pooled_moments_are_those_of_the_members_together():
    members = ensemble()
    pooled = members.pooled(-2)
    torch.testing.assert_close(pooled.mean, members.mean.mean(0))
    torch.testing.assert_close(pooled.variance, members.variance.mean(0) + members.mean.var(0, correction=0))


def test_members_are_taken_one_by_one_or_all():
    members, y = ensemble(), targets(M, N)
    whole, pick = members.log_prob(y), torch.tensor([2, 0])
    torch.testing.assert_close(members[2].log_prob(y[2]), whole[2])
    torch.testing.assert_close(members[-1, 1:].log_prob(y[-1, 1:]), whole[-1, 1:])
    torch.testing.assert_close(members[:, pick].log_prob(y[:, pick]), whole[:, pick])
    torch.testing.assert_close(members[..., pick].log_prob(y[..., pick, :]), whole[..., pick])
    torch.testing.assert_close(members[:, 1].log_prob(y[:, 1]), whole[:, 1])
    column = (torch.arange(M).unsqueeze(-1), pick.expand(M, -1))
    torch.testing.assert_close(members[column].log_prob(y[column]), whole[column])


def test_an_index_that_mixes_members_is_refused():
    for index in ([0, 2], slice(2), (Ellipsis, slice(2), 0)):
        with pytest.raises(InputError, match="^index must begin with the number of one member or a colon; got "):
            ensemble()[index]


def test_pooling_another_axis_is_refused():
    with pytest.raises(InputError, match=r"^dim must be 0, the axis of members in front of all others; got 1\.$"):
        ensemble().pooled(1)


# --- life ---


@pytest.mark.parametrize("make", [curve, lambda: ensemble().pooled(0)])
def test_rows_can_be_picked_and_repeated(make):
    density, y = make(), targets(N)
    picked = torch.tensor([2, 0])
    torch.testing.assert_close(density[picked].log_prob(y[picked]), density.log_prob(y)[picked])
    torch.testing.assert_close(density[1].log_prob(y[1]), density.log_prob(y)[1])
    wide = density[:1].expand((5,))
    torch.testing.assert_close(wide.log_prob(y[:1].expand(5, D)), density.log_prob(y)[:1].expand(5))


def test_a_plain_density_expands_by_axes_and_members_do_not():
    y = targets(N)
    torch.testing.assert_close(curve().expand((2, N)).log_prob(y.expand(2, N, D)), curve().log_prob(y).expand(2, N))
    sentence = r"^batch_shape must have the 4 members in front and 2 axes; got \(2, 4, 3\)\. Take one member, or "
    with pytest.raises(InputError, match=sentence + r"pooled\(0\)\.$"):
        ensemble().expand((2, M, N))


def test_single_precision_answers_in_single_precision():
    single = curve().to(torch.float32)
    y = targets(N).float()
    assert single.sample().dtype == single.log_prob(y).dtype == single.mean.dtype == torch.float32
    torch.testing.assert_close(single.log_prob(y).double(), curve().log_prob(y.double()), rtol=1e-5, atol=1e-5)
    assert single.conditionals(y).logits.dtype == torch.float32


def test_it_prints_its_shapes():
    assert repr(curve()) == "Autoregressive(batch_shape=(3,), event_shape=(2,))"
    assert repr(ensemble().pooled(0)) == "Pooled(Autoregressive(batch_shape=(4, 3), event_shape=(2,)))"


# --- scores ---


@pytest.mark.parametrize("make", [curve, lambda: ensemble().pooled(0)])
def test_scores_of_the_joint_density_take_it(make):
    density, y = make(), targets(N)
    torch.testing.assert_close(metrics.log_score(density, y), -density.log_prob(y))
    assert metrics.energy_score(density, y).shape == metrics.variogram_score(density, y).shape == (N,)


def test_the_energy_score_is_that_of_a_mixture_with_the_same_samples_law():
    """Both estimates have 4,000 samples a row, and errors of about 0.01; the bound is five of them."""
    given = curve(1)
    y = targets(1)
    samples = given.sample((4000,), generator=torch.Generator().manual_seed(3))[:, 0]
    near = torch.linalg.vector_norm(samples - y, dim=-1).mean()
    apart = torch.linalg.vector_norm(samples - samples.roll(1, 0), dim=-1).mean()
    score = metrics.energy_score(given, y, n_samples=4000)
    assert abs(float(score) - float(near - 0.5 * apart)) < 0.1


def test_the_energy_objective_reaches_what_makes_the_density():
    context = rows().requires_grad_()
    objectives.energy(Autoregressive(Curve(), context, target_dim=D), targets(N)).backward()
    assert (context.grad != 0).all()


JOINT = ("log_score", "energy_score", "variogram_score")


@pytest.mark.parametrize("name", [name for name in metrics.SCORES if name not in JOINT])
def test_scores_of_marginals_refuse_it(name):
    extra = {"quantile_weighted_crps": (torch.square,), "pinball_loss": (0.5,), "brier_score": (0.0,)}.get(name, ())
    sentence = " needs marginals in closed form, as mixtures have; got Autoregressive. Take log_score, energy_score or "
    with pytest.raises(TypeError, match=sentence + "variogram_score.$"):
        metrics.SCORES[name].function(curve(), targets(N), *extra)


@pytest.mark.parametrize("make", [curve, lambda: ensemble().pooled(0)])
def test_what_it_does_not_know_is_refused_in_a_sentence(make):
    sentence = "is nothing that an autoregressive density knows; it has log_prob, samples, and the mean and variance "
    asked = {
        "cdf": lambda d: d.cdf(targets(N)),
        "icdf": lambda d: d.icdf(0.5),
        "entropy": lambda d: d.entropy(),
        "mode": lambda d: d.mode,
        "modes": lambda d: d.modes(),
        "components": lambda d: d.components,
        "marginal": lambda d: d.marginal(0),
        "responsibilities": lambda d: d.responsibilities(targets(N)),
    }
    for name, question in asked.items():
        with pytest.raises(InputError, match=f"^{name} {sentence}of many samples.$"):
            question(make())
    assert not hasattr(make(), "modes")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        make().nonsense  # noqa: B018


# --- what is refused ---


def test_incomplete_targets_are_refused():
    y = Incomplete.missing(targets(N))
    sentence = (
        "^y must be a tensor of exact targets for an autoregressive density; got Incomplete, which a mixture takes.$"
    )
    for density in (curve(), ensemble().pooled(0)):
        with pytest.raises(TypeError, match=sentence):
            density.log_prob(y)


def test_targets_of_another_shape_are_refused():
    sentence = r"^y must have shape \(\.\.\., 3, 2\) to match batch_shape \+ event_shape; got \(3, 1\)\.$"
    with pytest.raises(InputError, match=sentence):
        curve().log_prob(targets(N)[:, :1])


def test_missing_numbers_are_refused():
    with pytest.raises(InputError, match="^y must not hold NaN; "):
        curve().log_prob(torch.full((N, D), math.nan))


def test_an_order_that_is_none_is_refused():
    sentence = r"^order must name each of the 2 target dimensions once, counted from 0; got \[0, 0\]\.$"
    with pytest.raises(InputError, match=sentence):
        Autoregressive(Curve(), rows(), target_dim=D, order=[0, 0])


def test_a_context_without_members_is_refused():
    with pytest.raises(
        InputError, match=r"^context must have shape \(4, \.\.\., C\) to match the members; got \(3, 1\)\.$"
    ):
        Autoregressive(Curve(M), rows(), target_dim=D)


def test_counts_stay_as_they_are():
    with pytest.raises(InputError, match="^affine needs targets with a density; counts stay as they are.$"):
        counts().affine(0.0, 2.0)
    with pytest.raises(InputError, match="^rsample needs components with a density; "):
        counts().rsample()
    assert counts().affine(0.0, 1.0).sample((2,)).shape == (2, N, D)


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="^scale must be > 0 in every dimension; got 0.0.$"):
        curve().affine(1.0, 0.0)


def test_pooled_is_what_pooling_returns():
    assert isinstance(ensemble().pooled(), Pooled)
