"""Conformal sets: coverage whatever the model, small where it is right."""

import json
import math

import pytest
import torch
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.calibration import ConformalSets, fit_conformal
from manymodes.distributions import (
    Concatenation,
    DiagonalNormal,
    FullNormal,
    Mixture,
    PITMap,
    PointMass,
    Poisson,
    Recalibrated,
)
from tests.calibration.simulated import DOUBLE, simulated


def length(region):
    return (region.high - region.low).nansum(-1)


@pytest.mark.parametrize("kind", ["region", "central"])
@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (0.4, 0.0), (3.0, 0.0), (1.0, 0.5)])
def test_sets_cover_at_their_level_however_wrong_the_model_is(kind, factor, shift):
    wrong, _, y = simulated(2000, factor=factor, shift=shift)
    new, _, targets = simulated(4000, factor=factor, shift=shift, seed=1)
    sets = fit_conformal(wrong, y, 0.9, kind=kind)
    error = math.sqrt(0.09 * (1 / 2000 + 1 / 4000))  # of the threshold and of the share
    assert sets.contains(new, targets).double().mean().item() == pytest.approx(0.9, abs=4 * error)


@pytest.mark.parametrize("kind", ["region", "central"])
def test_coverage_of_small_samples_is_that_of_the_theory(kind):
    covered = []
    for seed in range(100):
        some, _, y = simulated(39, factor=0.5, seed=seed)
        sets = fit_conformal(some[:19], y[:19], 0.9, kind=kind)
        covered.append(sets.contains(some[19:], y[19:]).double().mean())
    expected = math.ceil(20 * 0.9) / 20  # exactly, for scores without ties
    error = torch.stack(covered).std() / math.sqrt(100)
    assert torch.stack(covered).mean().item() == pytest.approx(expected, abs=4 * error.item())


@pytest.mark.parametrize("kind", ["region", "central"])
def test_listed_intervals_hold_the_targets_that_belong_to_the_set(kind):
    some, _, y = simulated(500)
    sets = fit_conformal(some, y, 0.8, kind=kind)
    region = sets.predict(some)
    agree = region.contains(y) == sets.contains(some, y)
    assert agree.double().mean() > 0.995  # but for the row whose score is the threshold
    assert bool((region.mass.sum(-1) - sets.levels[0]).abs().max() < 1e-6)


def test_regions_of_bimodal_predictions_are_unions_and_shorter_than_intervals():
    some, _, y = simulated(2000)
    region, central = (fit_conformal(some, y, 0.9, kind=kind).predict(some) for kind in ("region", "central"))
    assert region.count.double().mean() > 1.5
    assert length(region).mean() < 0.75 * length(central).mean()


def test_groups_are_covered_one_by_one():
    some, _, y = simulated(3000, seed=3)
    labels = ["left" if first < 0 else "right" for first in some.components.loc[:, 0, 0].tolist()]
    scale = torch.where(some.components.loc[:, :1] < 0, 0.5, 2.0)
    wrong = Mixture(some.mixture_distribution, DiagonalNormal(some.components.loc, some.components.scale * scale))
    learns, new = slice(0, 1500), slice(1500, 3000)
    sets = fit_conformal(wrong[learns], y[learns], 0.9, groups=labels[learns])
    held = sets.contains(wrong[new], y[new], groups=labels[new])
    for label in ("left", "right"):
        own = torch.tensor([other == label for other in labels[new]])
        assert held[own].double().mean().item() == pytest.approx(0.9, abs=4 * math.sqrt(0.09 * 2 / int(own.sum())))
    assert sets.levels["left"] > 0.95 > 0.7 > sets.levels["right"]


def test_adaptive_sets_cover_wherever_predictions_are_narrow_or_wide():
    some, _, y = simulated(6000, seed=4)
    wide = some.components.scale[:, 0, 0] > 0.48
    factor = torch.where(wide, 0.5, 1.5)[:, None, None].double()
    wrong = Mixture(some.mixture_distribution, DiagonalNormal(some.components.loc, some.components.scale * factor))
    learns, new = slice(0, 3000), slice(3000, 6000)
    plain, adaptive = (fit_conformal(wrong[learns], y[learns], 0.9, adaptive=adaptive) for adaptive in (False, True))
    gaps = []
    for sets in (plain, adaptive):
        held = sets.contains(wrong[new], y[new]).double()
        gaps.append(max(abs(held[part].mean().item() - 0.9) for part in (wide[new], ~wide[new])))
    assert gaps[0] > 0.06
    assert gaps[1] < 0.5 * gaps[0]
    assert len(adaptive.thresholds) == 5
    assert adaptive.contains(wrong[new], y[new]).double().mean().item() == pytest.approx(0.9, abs=0.03)


def test_several_dimensions_have_sets_that_know_their_members():
    generator = torch.Generator().manual_seed(0)
    scale_tril = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=DOUBLE).expand(600, 1, 2, 2)
    true = Mixture(Categorical(torch.ones(600, 1)), FullNormal(torch.zeros(600, 1, 2, dtype=DOUBLE), scale_tril))
    y = true.sample(generator=generator)
    narrow = Mixture(
        Categorical(torch.ones(600, 1)), FullNormal(torch.zeros(600, 1, 2, dtype=DOUBLE), 0.5 * scale_tril)
    )
    sets = fit_conformal(narrow[:300], y[:300], 0.8)
    assert sets.contains(narrow[300:], y[300:]).double().mean().item() == pytest.approx(0.8, abs=0.1)
    with pytest.raises(InputError) as error:
        sets.predict(narrow)
    assert str(error.value) == (
        "distribution must have one target dimension to list intervals; got 2. For several, see contains."
    )


@pytest.mark.parametrize("kind", ["region", "central"])
def test_counts_and_atoms_are_covered_at_least_at_the_level(kind):
    generator = torch.Generator().manual_seed(0)
    poisson = Mixture(Categorical(torch.ones(2000, 1)), Poisson(torch.full((2000, 1, 1), 2.0, dtype=DOUBLE)))
    parts = (PointMass(torch.zeros(2000, 1, 1, dtype=DOUBLE)), DiagonalNormal(*torch.ones(2, 2000, 1, 1, dtype=DOUBLE)))
    zeros = Mixture(Categorical(torch.tensor([0.4, 0.6]).expand(2000, 2)), Concatenation(*parts))
    for density in (poisson, zeros):
        y = density.sample(generator=generator)
        sets = fit_conformal(density[:1000], y[:1000], 0.8, kind=kind)
        assert sets.contains(density[1000:], y[1000:]).double().mean() >= 0.8 - 4 * math.sqrt(0.16 / 500)
        assert bool((sets.predict(density).contains(y) == sets.contains(density, y)).double().mean() > 0.99)


def test_recalibrated_predictions_have_sets_too():
    some, _, y = simulated(400)
    bent = Recalibrated(some, [PITMap(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 2.0, 0.3]))])
    sets = fit_conformal(bent, y, 0.9)
    assert sets.predict(bent).contains(y).double().mean().item() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("kind", ["region", "central"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.2, 0.05])
def test_a_model_that_is_far_too_sure_gets_sets_of_the_right_size(kind, dtype, scale):
    y = torch.randn(3000, 1, generator=torch.Generator().manual_seed(0), dtype=dtype)
    sure = Mixture(
        Categorical(torch.ones(3000, 1)),
        DiagonalNormal(torch.zeros(3000, 1, 1, dtype=dtype), torch.full((3000, 1, 1), scale, dtype=dtype)),
    )
    sets = fit_conformal(sure[:1500], y[:1500], 0.9, kind=kind)
    new, targets = sure[1500:], y[1500:]
    assert sets.contains(new, targets).double().mean().item() == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 750))
    region = sets.predict(new)
    assert bool((region.contains(targets) == sets.contains(new, targets)).double().mean() > 0.998)
    assert length(region).double().mean().item() == pytest.approx(2 * 1.645, rel=0.08)  # the central 90 % of the truth


def test_far_too_sure_predictions_of_several_dimensions_do_not_get_everything():
    generator = torch.Generator().manual_seed(0)
    scale_tril = 0.1 * torch.eye(2, dtype=DOUBLE).expand(400, 1, 2, 2)
    sure = Mixture(Categorical(torch.ones(400, 1)), FullNormal(torch.zeros(400, 1, 2, dtype=DOUBLE), scale_tril))
    y = torch.randn(400, 2, generator=generator, dtype=DOUBLE)
    sets = fit_conformal(sure[:200], y[:200], 0.8)
    assert sets.contains(sure[200:], y[200:]).double().mean().item() == pytest.approx(0.8, abs=0.12)
    assert not bool(sets.contains(sure[200:], y[200:] + 20).any())


@pytest.mark.parametrize("kind", ["region", "central"])
def test_where_nothing_of_a_density_is_left_sets_are_everything(kind):
    far = Mixture(Categorical(torch.ones(50, 1)), DiagonalNormal(torch.zeros(50, 1, 1), torch.full((50, 1, 1), 1e-3)))
    region = fit_conformal(far, torch.full((50, 1), 50.0), 0.9, kind=kind).predict(far)
    assert bool((region.low[:, 0] == -torch.inf).all())
    assert bool((region.high[:, 0] == torch.inf).all())


def test_counts_beyond_all_that_is_told_get_everything():
    few = Mixture(Categorical(torch.ones(50, 1)), Poisson(torch.full((50, 1, 1), 0.5, dtype=DOUBLE)))
    sets = fit_conformal(few, torch.full((50, 1), 400.0, dtype=DOUBLE), 0.9)
    assert bool(sets.predict(few).contains(torch.full((50, 1), 400.0, dtype=DOUBLE)).all())
    assert bool(sets.contains(few, torch.full((50, 1), 400.0, dtype=DOUBLE)).all())


def test_adaptive_sets_of_few_rows_use_them_all():
    some, _, y = simulated(10)
    assert fit_conformal(some, y, 0.9, adaptive=True).thresholds == fit_conformal(some, y, 0.9).thresholds


def test_adaptive_sets_of_counts_with_few_spreads_know_every_row():
    generator = torch.Generator().manual_seed(0)
    rate = torch.tensor([1.0, 8.0], dtype=DOUBLE)[torch.randint(2, (2000,), generator=generator)][:, None, None]
    counts = Mixture(Categorical(torch.ones(2000, 1)), Poisson(rate))
    sets = fit_conformal(counts, counts.sample(generator=generator), 0.9, adaptive=True)
    other = Mixture(Categorical(torch.ones(2, 1)), Poisson(torch.tensor([[[0.05]], [[500.0]]], dtype=DOUBLE)))
    assert sets.predict(other).mask.shape[0] == 2


def test_predictions_that_carry_gradients_have_sets():
    some, _, y = simulated(50)
    loc = some.components.loc.clone().requires_grad_()
    traced = Mixture(some.mixture_distribution, DiagonalNormal(loc, some.components.scale))
    for kind in ("region", "central"):
        sets = fit_conformal(traced, y, 0.8, kind=kind)
        assert not sets.predict(traced).low.requires_grad


def test_targets_that_the_family_cannot_be_are_refused():
    rate = torch.full((100, 1, 1), 3.0, dtype=DOUBLE)
    counts = Mixture(Categorical(torch.ones(100, 1, dtype=DOUBLE)), Poisson(rate))
    y = counts.sample(generator=torch.Generator().manual_seed(0))
    fit_conformal(counts, y)
    for wrong in (-1.0, 1.5):
        with pytest.raises(InputError) as error:
            fit_conformal(counts, torch.where(torch.arange(100)[:, None] == 7, wrong, y))
        assert str(error.value) == (
            f"y must hold what the predictions' family can be; got {wrong:g} in row 8, one of 1 row. Fit a family that "
            "can be that."
        )


def test_sets_of_several_targets_are_not_those_of_one():
    some, _, y = simulated(100)
    two = Mixture(
        some.mixture_distribution, DiagonalNormal(some.components.loc.expand(-1, -1, 2), torch.ones(100, 2, 2))
    )
    sets = fit_conformal(two, y.expand(-1, 2), 0.8)
    with pytest.raises(InputError, match=r"^targets of distribution must have shape \(N, 2\) as those of the fit had"):
        sets.contains(some, y)


def test_sets_survive_json():
    some, _, y = simulated(300)
    sets = fit_conformal(some, y, 0.9, groups=["a"] * 150 + ["b"] * 150)
    assert ConformalSets.from_dict(json.loads(json.dumps(sets.to_dict()))) == sets


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, y: fit_conformal(p[:8], y[:8], 0.9), "y must have at least 9 rows for level=0.9; got 8."),
        (lambda p, y: fit_conformal(p, y, 0.999), "y must have at least 999 rows for level=0.999; got 100."),
        (lambda p, y: fit_conformal(p, y, 1.0), "level must be a number > 0 and < 1; got 1.0."),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 95 + ["b"] * 5),
            "y must have at least 9 rows for level=0.9 in every group, and group 'b' has 5.",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 99),
            "groups must have shape (100,) with one for each row; got (99,).",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 99 + [None]),
            "groups must have no missing values; got None in row 100.",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=[*range(99), float("nan")]),
            "groups must have no missing values; got nan in row 100.",
        ),
        (
            lambda p, y: fit_conformal(p, y).predict(p[0]),
            "targets of distribution must have shape (N, 1) as those of the fit had; got (1,).",
        ),
        (
            lambda p, y: ConformalSets.from_dict({"level": 0.9, "kind": "region", "thresholds": []}),
            "values must be what to_dict wrote; got some without 'borders', 'grouped', 'target_dim'.",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 100, adaptive=True),
            "groups must be left out with adaptive=True, which makes its own; got both.",
        ),
        (
            lambda p, y: fit_conformal(p, y, kind="hpd"),
            "kind must be one of 'central', 'region'; got 'hpd'.",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 100).predict(p, groups=["c"] * 100),
            "groups must be among those of the fit, 'a'; got 'c'.",
        ),
        (
            lambda p, y: fit_conformal(p, y, groups=["a"] * 100).predict(p),
            "groups must be given, since the fit had some; got none.",
        ),
        (
            lambda p, y: fit_conformal(p, y).predict(p, groups=["a"] * 100),
            "groups must be left out, since the fit had none; got some.",
        ),
        (
            lambda p, y: fit_conformal(p, torch.where(torch.arange(100)[:, None] == 4, torch.nan, y)),
            "y must hold numbers for fit_conformal; got NaN in row 5. Drop rows with missing targets.",
        ),
        (lambda p, y: fit_conformal(p[:0], y[:0]), "y must have at least 1 row for fit_conformal; got 0."),
        (
            lambda p, y: fit_conformal(p, y[:1]),
            "y must have shape (100, 1) to match distribution; got (1, 1).",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    some, _, y = simulated(100)
    with pytest.raises(InputError) as error:
        call(some, y)
    assert str(error.value) == message
