"""Did it find all the valid answers, and no others?"""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.distributions import Concatenation, DiagonalNormal, Mixture, PointMass, Poisson, VonMises
from manymodes.metrics.modes import mode_agreement, mode_separation, mode_votes, n_modes

NONE = math.nan


def normals(places: list[list[float]], weights: list[list[float]] | None = None, scale: float = 0.1) -> Mixture:
    """Return one row for each list of places, components of equal width."""
    loc = torch.tensor(places, dtype=torch.float64).unsqueeze(-1)
    probs = torch.ones(loc.shape[:2]).double() if weights is None else torch.tensor(weights, dtype=torch.float64)
    return Mixture(Categorical(probs), DiagonalNormal(loc, torch.full_like(loc, scale)))


def answers(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).unsqueeze(-1)


# --- how many ---


def test_modes_count_from_a_least_mass():
    mixture = normals([[0.0, 5.0], [0.0, 0.05], [0.0, 5.0]], [[0.5, 0.5], [0.5, 0.5], [0.97, 0.03]])
    assert n_modes(mixture).tolist() == [2, 1, 1]
    assert n_modes(mixture, min_mass=0.01).tolist() == [2, 1, 2]


def test_atoms_of_enough_mass_are_answers_too():
    zero = torch.zeros(2, 1, 1, dtype=torch.float64)
    parts = Concatenation(PointMass(zero), DiagonalNormal(zero + 5, zero + 1))
    mixture = Mixture(Categorical(torch.tensor([[0.3, 0.7], [0.01, 0.99]]).double()), parts)
    assert n_modes(mixture).tolist() == [2, 1]
    found = mode_agreement(mixture, answers([[0.0, 5.0], [0.0, 5.0]]), 0.1)
    assert found.recall.tolist() == [1.0, 0.5]
    assert found.mass[0].tolist() == pytest.approx([0.3, 0.7])


def test_members_vote_for_numbers_of_modes():
    loc = torch.tensor([[[0.0, 5.0], [0.0, 5.0]], [[0.0, 5.0], [0.0, 0.01]], [[0.0, 5.0], [0.0, 0.02]]]).double()
    members = Mixture(  # (M, N) = (3, 2)
        Categorical(torch.ones(3, 2, 2).double()),
        DiagonalNormal(loc.unsqueeze(-1), torch.full((3, 2, 2, 1), 0.1).double()),
    )
    votes = mode_votes(members)
    assert votes.tolist() == [pytest.approx([0, 0, 1]), pytest.approx([0, 2 / 3, 1 / 3])]
    torch.testing.assert_close(mode_votes([members[m] for m in range(3)]), votes)
    with pytest.raises(InputError, match=r"^members must have batch_shape \(M, N\), members first"):
        mode_votes(members[0])


# --- the right ones ---


def test_found_missed_and_invented_modes():
    mixture = normals([[0.0, 5.0], [0.0, 5.0], [0.0, 5.0], [0.0, 0.0]], [[0.4, 0.6]] * 4)
    true = answers([[0.02, 5.0], [0.0, NONE], [0.0, 9.0], [0.0, 5.0]])
    found = mode_agreement(mixture, true, 0.3)
    assert found.precision.tolist() == [1.0, 0.5, 0.5, 1.0]
    assert found.recall.tolist() == [1.0, 1.0, 0.5, 0.5]
    assert found.n_found.tolist() == [2, 2, 2, 1]
    assert found.n_true.tolist() == [2, 1, 2, 2]
    assert found.distance[0].tolist() == pytest.approx([0.02, 0.0], abs=1e-6)
    np.testing.assert_allclose(found.mass, [[0.4, 0.6], [0.4, NONE], [0.4, 0.0], [1.0, 0.0]], atol=1e-6)
    assert found.complete.tolist() == [True, True, False, False]
    assert found.exact.tolist() == [True, False, False, False]
    summary = found.summary()
    assert summary["precision"] == summary["recall"] == pytest.approx(0.75)
    assert (summary["complete"], summary["exact"]) == (0.5, 0.25)
    assert repr(found) == (
        "ModeAgreement(rows=4, precision=0.75, recall=0.75, distance=0.004, mass=0.4, complete=0.5, exact=0.25)"
    )


def test_pairs_are_one_to_one_and_the_nearest_come_first():
    # Both true modes are within the tolerance of the one at 0; the nearer has it, and the other takes the next.
    mixture = normals([[0.0, 1.5]])
    found = mode_agreement(mixture, answers([[0.4, 0.1]]), 2.0)
    assert found.recall.item() == 1.0
    assert found.distance[0].tolist() == pytest.approx([1.1, 0.1], abs=1e-6)
    alone = mode_agreement(normals([[0.0, 0.0]]), answers([[0.4, 0.1]]), 2.0)
    assert alone.recall.item() == 0.5
    assert alone.distance[0, 0].isnan()


def test_agreement_is_a_table_of_rows():
    found = mode_agreement(normals([[0.0, 5.0], [0.0, 5.0]]), answers([[0.02, 5.0], [3.0, NONE]]), 0.3)
    frame = found.to_frame()
    assert list(frame.columns) == ["row", "precision", "recall", "n_found", "n_true"]
    assert frame["recall"].tolist() == found.recall.tolist()
    assert frame["n_true"].tolist() == [2, 1]


def test_pairs_are_those_of_a_plain_greedy_search():
    generator = torch.Generator().manual_seed(0)
    loc = 3 * torch.randn(40, 5, 2, generator=generator, dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(40, 5).double()), DiagonalNormal(loc, torch.full_like(loc, 0.3)))
    true = 3 * torch.randn(40, 4, 2, generator=generator, dtype=torch.float64)
    found, modes = mode_agreement(mixture, true, 1.5), mixture.modes()
    for row in range(40):
        places = modes.location[row, modes.mask[row] & (modes.mass[row] >= 0.05)]
        far = torch.cdist(places, true[row])
        expected, taken = [math.nan] * 4, set()
        for own, t in sorted(itertools.product(range(len(places)), range(4)), key=lambda pair: far[pair].item()):
            if far[own, t] <= 1.5 and own not in taken and math.isnan(expected[t]):
                expected[t] = far[own, t].item()
                taken.add(own)
        np.testing.assert_allclose(found.distance[row], expected, rtol=1e-9)
        assert found.precision[row].item() == pytest.approx(len(taken) / len(places))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_agreement_is_the_same_in_other_units(scale):
    true = answers([[0.02, 5.0], [3.0, NONE]])
    mixture = normals([[0.0, 5.0], [0.0, 5.0]])
    one, other = mode_agreement(mixture, true, 0.3), mode_agreement(mixture.affine(0, scale), scale * true, 0.3 * scale)
    assert torch.equal(one.recall, other.recall)
    np.testing.assert_allclose(other.distance, scale * one.distance, rtol=1e-5, atol=1e-7 * scale)


def test_a_tolerance_for_each_dimension_is_an_ellipsoid():
    loc = torch.zeros(2, 1, 2, dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(2, 1).double()), DiagonalNormal(loc, loc + 1))
    true = torch.tensor([[[0.0, 3.0]], [[3.0, 0.0]]], dtype=torch.float64)
    assert mode_agreement(mixture, true, [1.0, 4.0]).recall.tolist() == [1.0, 0.0]


def test_angles_are_apart_the_shorter_way_around():
    loc = torch.tensor([[[3.1]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(1, 1).double()), VonMises(loc, torch.full_like(loc, 50.0)))
    found = mode_agreement(mixture, answers([[-3.1]]), 0.2)
    assert found.distance.item() == pytest.approx(2 * math.pi - 6.2)


def test_modes_of_counts_agree_too():
    rate = torch.tensor([[[3.5], [40.5]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.ones(1, 2).double()), Poisson(rate))
    found = mode_agreement(mixture, answers([[3.0, 40.0]]), 0.5)
    assert found.distance.tolist() == [[0.0, 0.0]]


def test_rows_without_answers_or_modes_are_left_out():
    mixture = normals([[0.0, 5.0], [0.0, 5.0]])
    found = mode_agreement(mixture, answers([[NONE], [0.0]]), 0.3)
    assert found.recall[0].isnan()
    assert found.summary()["recall"] == 1.0
    nothing = mode_agreement(mixture, answers([[0.0], [0.0]]), 0.3, min_mass=0.9)
    assert nothing.precision.isnan().all()
    assert nothing.recall.tolist() == [0.0, 0.0]
    assert mode_agreement(mixture[:0], torch.zeros(0, 2, 1).double(), 0.3).recall.shape == (0,)


def test_a_forgotten_mode_halves_the_recall_and_one_made_up_the_precision():
    from .simulated import bimodal, without_a_mode

    truth = bimodal(300)
    true = truth.components.loc
    right = mode_agreement(truth, true, 0.3)
    assert right.exact.all()
    assert right.mass.mean(0).tolist() == pytest.approx([0.4, 0.6], abs=0.01)
    wrong = mode_agreement(without_a_mode(truth), true, 0.3)
    assert (wrong.summary()["recall"], wrong.summary()["precision"]) == (0.5, 1.0)


def test_truths_that_do_not_fit_are_refused():
    mixture = normals([[0.0, 5.0], [0.0, 5.0]])
    with pytest.raises(InputError) as caught:
        mode_agreement(mixture, torch.zeros(2, 1).double(), 0.3)
    assert str(caught.value) == "true_modes must have shape (2, T, 1) to match batch_shape and event_shape; got (2, 1)."
    with pytest.raises(InputError, match=r"^tolerance must be > 0 in every dimension; got 0\.$"):
        mode_agreement(mixture, answers([[0.0], [0.0]]), 0)
    with pytest.raises(InputError, match=r"^min_mass must be a number >= 0 and < 1; got 1\.0\.$"):
        n_modes(mixture, min_mass=1.0)
    plane = torch.zeros(1, 1, 2, dtype=torch.float64)
    joint = Mixture(Categorical(torch.ones(1, 1).double()), DiagonalNormal(plane, plane + 1))
    with pytest.raises(InputError, match=r"^true_modes must hold numbers, or NaN in all dimensions"):
        mode_agreement(joint, torch.tensor([[[0.0, NONE]]]).double(), 0.3)


# --- how separate ---


def test_ashmans_d_and_the_valley_of_two_normals():
    found = mode_separation(normals([[0.0, 4.0], [0.0, 10.0], [0.0, 0.5]], scale=1.0))
    # Where components overlap the mode lies a little inside, and others' spread counts in its own.
    assert found.ashman_d[1].item() == pytest.approx(10.0, rel=1e-6)
    assert found.ashman_d[0].item() == pytest.approx(4.0, rel=0.01)
    assert found.valley[0].item() == pytest.approx(2 * math.exp(-2) / (1 + math.exp(-8)), rel=1e-3)
    assert found.valley[1].item() == pytest.approx(2 * math.exp(-12.5), rel=1e-6)
    assert found.distance[1].item() == pytest.approx(10.0)
    assert found.ashman_d[2].isnan()
    assert found.valley[2].isnan()


def test_the_two_heaviest_modes_are_taken_and_not_the_highest():
    loc = torch.tensor([[[0.0], [10.0], [20.0]]], dtype=torch.float64)
    scale = torch.tensor([[[1.0], [0.01], [1.0]]], dtype=torch.float64)
    mixture = Mixture(Categorical(torch.tensor([[0.45, 0.1, 0.45]]).double()), DiagonalNormal(loc, scale))
    assert mode_separation(mixture).distance.item() == pytest.approx(20.0)


def test_the_valley_is_the_lowest_density_on_a_fine_grid():
    generator = torch.Generator().manual_seed(3)
    loc = 6 * torch.rand(30, 4, 1, generator=generator, dtype=torch.float64)
    width = 0.1 + torch.rand(30, 4, 1, generator=generator, dtype=torch.float64)
    mixture = Mixture(Categorical(torch.rand(30, 4, generator=generator).double()), DiagonalNormal(loc, width))
    found, modes = mode_separation(mixture), mixture.modes()
    for row in range(30):
        if modes.count[row] < 2:
            assert found.valley[row].isnan()
            continue
        a, b = modes.location[row, modes.mass[row].topk(2).indices, 0]
        grid = torch.linspace(a.item(), b.item(), 20_001, dtype=torch.float64).reshape(-1, 1, 1)
        heights = mixture[row : row + 1].log_prob(grid).flatten()
        expected = (heights.min() - torch.minimum(heights[0], heights[-1])).exp().item()
        assert found.valley[row].item() == pytest.approx(expected, rel=1e-5)


def test_separation_in_several_dimensions_is_along_the_line_between_modes():
    loc = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]], dtype=torch.float64)
    scale = torch.tensor([0.5, 0.5], dtype=torch.float64).expand_as(loc)
    mixture = Mixture(Categorical(torch.ones(1, 2).double()), DiagonalNormal(loc, scale))
    found = mode_separation(mixture)
    assert found.distance.item() == pytest.approx(5.0, rel=1e-6)
    assert found.ashman_d.item() == pytest.approx(10.0, rel=1e-6)
    assert found.valley.item() == pytest.approx(2 * math.exp(-12.5), rel=1e-4)


def test_separation_of_angles_and_counts():
    loc = torch.tensor([[[3.0], [-2.0]]], dtype=torch.float64)
    angles = Mixture(Categorical(torch.ones(1, 2).double()), VonMises(loc, torch.full_like(loc, 50.0)))
    assert mode_separation(angles).distance.item() == pytest.approx(2 * math.pi - 5, rel=1e-4)
    counts = Mixture(Categorical(torch.ones(1, 2).double()), Poisson(torch.tensor([[[2.5], [30.5]]]).double()))
    found = mode_separation(counts)
    integers = torch.arange(2, 31).double().reshape(-1, 1, 1)
    heights = counts.log_prob(integers).flatten()
    assert found.distance.item() == 28
    assert found.valley.item() == pytest.approx((heights.min() - torch.minimum(heights[0], heights[-1])).exp().item())


def test_rows_are_taken_in_runs_and_single_precision_stays_close(monkeypatch):
    mixture = normals([[0.0, 4.0], [0.0, 6.0], [0.0, 0.1]] * 3, scale=1.0)
    whole = mode_separation(mixture)
    monkeypatch.setattr("manymodes.metrics.modes._ROWS", 2)
    np.testing.assert_allclose(mode_separation(mixture).valley, whole.valley)
    np.testing.assert_allclose(mode_separation(mixture.to(torch.float32)).valley, whole.valley, rtol=1e-4)
    assert repr(whole).startswith("ModeSeparation(rows=9, with two modes=6, ashman_d=")


def test_atoms_have_no_separation():
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    mixture = Mixture(
        Categorical(torch.ones(1, 2).double()), Concatenation(PointMass(zero), DiagonalNormal(zero, zero + 1))
    )
    with pytest.raises(InputError, match=r"^mode_separation needs components without atoms"):
        mode_separation(mixture)
