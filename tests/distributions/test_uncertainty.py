"""The uncertainty split against the laws it follows, quadrature, and members that agree or share nothing."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Mixture,
    PointMass,
    Poisson,
    Product,
    StudentT,
    UncertaintySplit,
    VonMises,
    entropy,
    split_uncertainty,
)

M, N, K = 4, 5, 3


def ensemble(d: int = 1, *, unit: float = 1.0, seed: int = 0, dtype=torch.float64) -> Mixture:
    rng = np.random.default_rng(seed)
    loc = unit * torch.tensor(rng.normal(size=(M, N, K, d)), dtype=dtype)
    scale = unit * torch.tensor(rng.uniform(0.2, 1.0, size=(M, N, K, d)), dtype=dtype)
    return Mixture(
        Categorical(logits=torch.tensor(rng.normal(size=(M, N, K)), dtype=dtype)), DiagonalNormal(loc, scale)
    )


def ones(components) -> Mixture:
    """One component for each member and row."""
    return Mixture(Categorical(torch.ones(components.batch_shape).double()), components)


def normals(loc: list[list[float]], scale: float = 1.0) -> Mixture:
    """Members of one normal each, (M, N)."""
    at = torch.tensor(loc, dtype=torch.float64)[..., None, None]
    return ones(DiagonalNormal(at, torch.full_like(at, scale)))


def columns(split: UncertaintySplit) -> list[Tensor]:
    return [getattr(split, name) for name in UncertaintySplit.__dataclass_fields__]


# --- variances ---


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_both_variances_make_that_of_the_pooled_density(d, unit):
    members = ensemble(d, unit=unit)
    split = split_uncertainty(members, modes=False)
    torch.testing.assert_close(split.total_variance, members.pooled(0).variance, rtol=1e-12, atol=0)
    torch.testing.assert_close(split.aleatoric_variance, members.variance.mean(0))
    torch.testing.assert_close(split.epistemic_share, members.mean.var(0, correction=0) / split.total_variance)


def test_small_disagreement_far_from_zero_keeps_its_digits():
    split = split_uncertainty(normals([[1e6], [1e6 + 1e-3]], scale=1e-3))
    assert split.epistemic_variance.item() == pytest.approx(0.25e-6, rel=1e-4)  # 1e6 + 1e-3 is rounded to 1e-10


def test_both_circular_variances_make_that_of_the_pooled_angle():
    loc = torch.tensor([3.0, -3.0, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    members = ones(VonMises(loc, torch.tensor([5.0, 1.0, 20.0]).double().reshape(3, 1, 1, 1)))
    split = split_uncertainty(members)
    torch.testing.assert_close(split.total_variance, members.pooled(0).variance)
    assert (split.epistemic_variance > 0).all()


def test_angles_beside_the_cut_agree():
    loc = torch.tensor([math.pi - 0.01, 0.01 - math.pi], dtype=torch.float64).reshape(2, 1, 1, 1)
    split = split_uncertainty(ones(VonMises(loc, torch.full_like(loc, 50.0))))
    assert split.epistemic_variance.item() == pytest.approx(1 - math.cos(0.01), rel=0.02)
    assert split.mode_disagreement.item() == pytest.approx(0, abs=1e-9)


def test_targets_without_a_variance_have_none():
    loc = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    split = split_uncertainty(ones(StudentT(torch.full_like(loc, 1.5), loc, torch.ones_like(loc))))
    assert split.aleatoric_variance.item() == math.inf
    assert split.epistemic_variance.item() == pytest.approx(0.25)
    assert 0 < split.mutual_information.item() < math.log(2)


# --- entropies ---


def by_quadrature(members: Mixture, row: int) -> tuple[float, float]:
    """Return the mean entropy of members and the entropy of the pooled density."""
    weights, components = members.weights[:, row].numpy(), members.components
    loc, scale = components.loc[:, row, :, 0].numpy(), components.scale[:, row, :, 0].numpy()

    def density(y, m):
        return float((weights[m] * stats.norm.pdf(y, loc[m], scale[m])).sum())

    def h(p):
        value = integrate.quad(lambda y: -p(y) * math.log(p(y)), -8, 8, points=sorted(loc.ravel()), limit=400)[0]
        return float(value)

    own = np.mean([h(lambda y, m=m: density(y, m)) for m in range(M)])
    return own, h(lambda y: np.mean([density(y, m) for m in range(M)]))


def test_entropies_are_quadratures_within_their_standard_errors():
    members = ensemble()
    split = split_uncertainty(members, n_samples=2000)
    for row in range(N):
        own, total = by_quadrature(members, row)
        # 4.5 standard errors, twice for five rows: a false alarm in 10^4.
        assert abs(float(split.mutual_information[row]) - (total - own)) < 4.5 * float(
            split.mutual_information_error[row]
        )
        assert abs(float(split.entropy[row]) - total) < 4.5 * float(split.entropy_error[row])
    assert split.mutual_information_error.max() < 0.01


def test_standard_errors_are_honest():
    members = ensemble()[:, :1]
    own, total = by_quadrature(ensemble(), 0)
    errors = []
    for seed in range(200):
        split = split_uncertainty(members, modes=False, generator=torch.Generator().manual_seed(seed))
        errors.append(
            (
                (split.mutual_information - (total - own)) / split.mutual_information_error,
                (split.entropy - total) / split.entropy_error,
            )
        )
    for column in torch.tensor(errors).T:  # from 200 seeds a true variance of 1 is within 0.6 to 1.6 but for 1 in 10^5
        assert 0.6 < float(column.var()) < 1.6
        assert abs(float(column.mean())) < 4.5 / math.sqrt(200)


def test_the_entropy_of_several_dimensions_is_that_of_the_pooled_density():
    members = ensemble(2)
    split = split_uncertainty(members, n_samples=500, modes=False)
    reference = entropy(members.pooled(0), standard_error=0.005)
    assert ((split.entropy - reference.value).abs() < 4.5 * torch.hypot(split.entropy_error, torch.tensor(0.005))).all()


def test_the_entropy_of_components_without_a_closed_form_comes_from_samples():
    loc = torch.tensor([0.0, 3.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    whole = Product(DiagonalNormal(loc, torch.ones_like(loc)), Poisson(torch.full_like(loc, 2.0)))
    split = split_uncertainty(ones(whole), n_samples=4000, modes=False)
    expected = stats.norm.entropy() + stats.poisson.entropy(2.0)
    assert abs(split.member_entropy.item() - expected) < 4.5 * split.entropy_error.item()


# --- members that agree, or share nothing ---


@pytest.mark.parametrize("d", [1, 2])
def test_identical_members_disagree_about_nothing(d):
    one = ensemble(d)[0]
    split = split_uncertainty([one, one, one])
    for part in (split.epistemic_variance, split.mutual_information, split.mutual_information_error):
        assert part.abs().max() < 1e-12
    assert split.mode_disagreement.abs().max() < 1e-9


def test_one_member_disagrees_with_nobody():
    split = split_uncertainty(ensemble()[:1])
    for part in (split.epistemic_variance, split.mutual_information, split.mode_disagreement):
        assert part.abs().max() == 0


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_members_that_share_nothing_tell_themselves_apart(unit):
    split = split_uncertainty(normals([[0.0], [100 * unit], [-100 * unit]], scale=unit))
    assert split.mutual_information.item() == pytest.approx(math.log(3), abs=1e-12)
    assert split.mutual_information_error.item() == pytest.approx(0, abs=1e-12)
    assert split.mode_disagreement.item() == pytest.approx(1 - 1 / 3, abs=1e-9)


def test_mutual_information_never_leaves_its_bounds():
    split = split_uncertainty(ensemble(seed=3), n_samples=2)
    assert (split.mutual_information >= 0).all()
    assert (split.mutual_information <= math.log(M)).all()


# --- modes ---


def test_mode_disagreement_is_the_distance_of_masses_between_minima():
    # By symmetry the minimum is at 0: masses below it are Phi(2) w + Phi(-2) (1 - w).
    loc = torch.tensor([-2.0, 2.0], dtype=torch.float64).reshape(1, 1, 2, 1).expand(2, 1, 2, 1)
    weights = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).reshape(2, 1, 2)
    split = split_uncertainty(Mixture(Categorical(weights), DiagonalNormal(loc, torch.ones_like(loc))))
    below = 0.9 * stats.norm.cdf(2) + 0.1 * stats.norm.cdf(-2)
    assert split.mode_disagreement.item() == pytest.approx(below - 0.5)


def test_members_that_disagree_about_spread_alone_agree_about_modes():
    loc = torch.zeros(2, 1, 1, 1).double()
    split = split_uncertainty(ones(DiagonalNormal(loc, torch.tensor([1.0, 5.0]).double().reshape(2, 1, 1, 1))))
    assert split.mode_disagreement.item() == pytest.approx(0, abs=1e-12)
    assert split.mutual_information.item() > 0.2


def test_modes_of_several_dimensions_belong_to_the_components_that_climb_there():
    loc = torch.tensor([[[-3.0, 0.0], [3.0, 0.0]], [[-3.1, 0.1], [3.1, -0.1]]], dtype=torch.float64)[:, None]
    weights = torch.tensor([[0.8, 0.2], [0.4, 0.6]], dtype=torch.float64)[:, None]
    tril = torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2, 2)
    split = split_uncertainty(Mixture(Categorical(weights), FullNormal(loc, tril)))
    assert split.mode_disagreement.item() == pytest.approx(0.2)  # 0.8 and 0.4 beside 0.6


def test_counts_disagree_by_the_masses_of_runs_of_integers():
    rate = torch.tensor([[2.0, 40.0]], dtype=torch.float64).reshape(1, 1, 2, 1).expand(2, 1, 2, 1)
    weights = torch.tensor([[0.7, 0.3], [0.3, 0.7]], dtype=torch.float64).reshape(2, 1, 2)
    split = split_uncertainty(Mixture(Categorical(weights), Poisson(rate)))
    assert split.mode_disagreement.item() == pytest.approx(0.2, abs=1e-3)


def test_atoms_count_as_modes_of_their_own():
    zeros = PointMass(torch.zeros(2, 1, 1, 1).double())
    amounts = Gamma(torch.full((2, 1, 1, 1), 4.0).double(), torch.ones(2, 1, 1, 1).double())
    weights = torch.tensor([[0.5, 0.5], [0.1, 0.9]], dtype=torch.float64).reshape(2, 1, 2)
    split = split_uncertainty(Mixture(Categorical(weights), Concatenation(zeros, amounts)))
    assert split.mode_disagreement.item() == pytest.approx(0.2)
    two, ten = (stats.bernoulli.entropy(p) for p in (0.3, [0.5, 0.1]))
    expected = two - np.mean(ten)
    assert abs(split.mutual_information.item() - expected) < 4.5 * split.mutual_information_error.item()


def test_modes_that_cannot_be_told_are_not_a_number():
    loc = torch.zeros(2, 1, 1, 1).double()
    beside = Concatenation(DiagonalNormal(loc, loc + 1), Poisson(loc + 1))
    members = Mixture(Categorical(torch.ones(2, 1, 2)), beside)
    assert split_uncertainty(members).mode_disagreement.isnan().all()
    assert split_uncertainty(ensemble(), modes=False).mode_disagreement.isnan().all()


# --- form ---


def test_a_list_of_members_is_the_same_as_a_mixture_with_a_member_axis():
    members = ensemble(2)
    for one, other in zip(
        columns(split_uncertainty(members)), columns(split_uncertainty([members[m] for m in range(M)])), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_members_of_different_families_are_split_too():
    first, second = ensemble()[0], ensemble(seed=1)[1]
    heavy = StudentT(torch.full_like(second.components.loc, 5.0), second.components.loc, second.components.scale)
    members = [first, second.with_components(heavy)]
    split = split_uncertainty(members)
    both = 0.5 * (first.mean.square() + members[1].mean.square()) - (0.5 * (first.mean + members[1].mean)).square()
    torch.testing.assert_close(split.epistemic_variance, both)
    assert (split.mutual_information > 0).all()


def test_rows_are_split_in_runs(monkeypatch):
    from manymodes.distributions import uncertainty

    members = ensemble()
    whole = split_uncertainty(members, n_samples=500)
    monkeypatch.setattr(uncertainty, "_VALUES", 1)
    by_row = split_uncertainty(members, n_samples=500)
    torch.testing.assert_close(by_row.total_variance, whole.total_variance)
    torch.testing.assert_close(by_row.mode_disagreement, whole.mode_disagreement)
    gap = (by_row.entropy - whole.entropy).abs() / torch.hypot(by_row.entropy_error, whole.entropy_error)
    assert gap.max() < 4.5


def test_single_precision_and_no_rows_are_split():
    split = split_uncertainty(ensemble(dtype=torch.float32))
    assert {column.dtype for column in columns(split)} == {torch.float32}
    none = split_uncertainty(ensemble()[:, :0])
    assert [tuple(column.shape) for column in columns(none)] == [(0, 1), (0, 1), (0,), (0,), (0,), (0,), (0,)]


def test_the_same_seed_gives_the_same_split():
    one, other = (split_uncertainty(ensemble(), modes=False) for _ in range(2))
    torch.testing.assert_close(one.mutual_information, other.mutual_information, rtol=0, atol=0)


def test_a_split_is_a_table():
    frame = split_uncertainty(ensemble(2)).to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "row",
        "aleatoric_variance_0",
        "aleatoric_variance_1",
        "epistemic_variance_0",
        "epistemic_variance_1",
        "entropy",
        "member_entropy",
        "mutual_information",
        "mutual_information_error",
        "mode_disagreement",
    ]
    assert len(frame) == N
    assert repr(split_uncertainty(normals([[0.0], [100.0]]))) == (
        "UncertaintySplit(rows=1, on average epistemic_share=1, mutual_information=0.693, mode_disagreement=0.5)"
    )


def test_what_are_no_members_is_refused():
    with pytest.raises(
        InputError,
        match=r"^members must have batch_shape \(M, N\), members first, or be a list of mixtures; got \(5,\)\.$",
    ):
        split_uncertainty(ensemble()[0])
    with pytest.raises(InputError, match=r"^members must hold at least 1 prediction; got none\.$"):
        split_uncertainty([])
    with pytest.raises(TypeError, match=r"^member 2 must be a Mixture; got str\.$"):
        split_uncertainty([ensemble()[0], "other"])
    with pytest.raises(
        InputError,
        match=r"^targets of member 2 must have shape \(5, 1\) to describe the same rows as the others; got \(4, 1\)\.$",
    ):
        split_uncertainty([ensemble()[0], ensemble()[1, :4]])
    with pytest.raises(InputError, match=r"^n_samples must be an integer >= 2; got 1\.$"):
        split_uncertainty(ensemble(), n_samples=1)
