"""Recalibration: it repairs what is wrong, leaves alone what is right, and gives densities."""

import json

import pytest
import torch
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.calibration import Recalibration, fit_recalibration
from manymodes.distributions import (
    DiagonalNormal,
    FullNormal,
    Incomplete,
    Mixture,
    PITMap,
    Poisson,
    Recalibrated,
    VonMises,
)
from tests.calibration.simulated import DOUBLE, simulated


def gain(correction, factor=1.0, shift=0.0):
    """Return the mean log score that a correction gains on new rows, and its standard error."""
    wrong, _, y = simulated(4000, factor=factor, shift=shift, seed=1)
    gained = correction(wrong).log_prob(y) - wrong.log_prob(y)
    return gained.mean().item(), (gained.std() / len(y) ** 0.5).item()


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.5, 2.5])
def test_a_wrong_scale_is_found_and_undone(factor):
    wrong, _, y = simulated(1000, factor=factor)
    correction = fit_recalibration(wrong, y)
    assert correction.spread == pytest.approx(1 / factor, rel=0.08)
    wrong, true, y = simulated(4000, factor=factor, seed=1)
    lost = true.log_prob(y).mean() - correction(wrong).log_prob(y).mean()
    assert lost < 0.02


@pytest.mark.parametrize("kind", ["beta", "spline", "auto"])
@pytest.mark.parametrize(("factor", "shift"), [(0.5, 0.0), (2.0, 0.0), (1.0, 0.3)])
def test_every_kind_of_map_improves_the_score_and_the_calibration_of_wrong_predictions(kind, factor, shift):
    wrong, _, y = simulated(1000, factor=factor, shift=shift)
    correction = fit_recalibration(wrong, y, kind=kind)
    mean, error = gain(correction, factor, shift)
    assert mean > 5 * error
    if kind == "beta":  # three parameters cannot bend like two modes
        return
    wrong, _, y = simulated(4000, factor=factor, shift=shift, seed=1)
    before, after = (metrics.pit(p, y).sort(0).values.squeeze(-1) for p in (wrong, correction(wrong)))
    levels = torch.linspace(0, 1, len(y), dtype=DOUBLE)
    assert (after - levels).abs().mean() < 0.5 * (before - levels).abs().mean()


@pytest.mark.parametrize("seed", range(5))
def test_right_predictions_are_hardly_changed(seed):
    right, _, y = simulated(300, seed=10 + seed)
    mean, _ = gain(fit_recalibration(right, y))
    assert mean > -0.015  # nats: what a temperature fitted by chance costs at most


def test_skewness_is_repaired_by_a_map():
    generator = torch.Generator().manual_seed(0)
    y = torch.empty(2000, 1, dtype=DOUBLE).exponential_(generator=generator)
    symmetric = Mixture(Categorical(torch.ones(2000, 1)), DiagonalNormal(*torch.ones(2, 2000, 1, 1, dtype=DOUBLE)))
    correction = fit_recalibration(symmetric[:1000], y[:1000])
    assert isinstance(correction(symmetric), Recalibrated)
    after = correction(symmetric[1000:]).log_prob(y[1000:]).mean()
    assert after > symmetric[1000:].log_prob(y[1000:]).mean() + 0.25  # the exponential itself scores .42 better
    assert correction(symmetric)[:1].skewness.item() == pytest.approx(2.0, abs=0.8)


def test_counts_are_recalibrated_too():
    generator = torch.Generator().manual_seed(0)
    rate = torch.full((2000, 1, 1), 6.0, dtype=DOUBLE)
    y = _mixed_rates(generator)
    counts = Mixture(Categorical(torch.ones(2000, 1)), Poisson(rate))
    correction = fit_recalibration(counts[:1000], y[:1000], kind="spline")
    gained = correction(counts[1000:]).log_prob(y[1000:]) - counts[1000:].log_prob(y[1000:])
    assert gained.mean() > 0.3


def _mixed_rates(generator):
    half = torch.rand(2000, 1, generator=generator, dtype=DOUBLE) < 0.5
    return torch.poisson(torch.where(half, 2.0, 10.0).double(), generator=generator)


def test_several_dimensions_are_corrected_one_given_the_other():
    generator = torch.Generator().manual_seed(0)
    scale_tril = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=DOUBLE).expand(3000, 1, 2, 2)
    base = Mixture(Categorical(torch.ones(3000, 1)), FullNormal(torch.zeros(3000, 1, 2, dtype=DOUBLE), scale_tril))
    y = base.sample(generator=generator)
    y = torch.stack([y[:, 0], y[:, 1] + 0.3 * (y[:, 1] - 0.8 * y[:, 0]).abs()], -1)  # the second one is skewed
    correction = fit_recalibration(base[:1500], y[:1500], kind="spline")
    gained = correction(base[1500:]).log_prob(y[1500:]) - base[1500:].log_prob(y[1500:])
    assert gained.mean() > 4 * gained.std() / 1500**0.5


def test_angles_get_a_temperature_or_nothing():
    generator = torch.Generator().manual_seed(0)
    loc, sharp = torch.zeros(400, 1, 1, dtype=DOUBLE), torch.full((400, 1, 1), 8.0, dtype=DOUBLE)
    y = Mixture(Categorical(torch.ones(400, 1)), VonMises(loc, sharp)).sample(generator=generator)
    angles = Mixture(Categorical(torch.ones(400, 1)), VonMises(loc, sharp / 4))
    correction = fit_recalibration(angles, y)
    assert correction.maps is None
    with pytest.raises(InputError) as error:
        fit_recalibration(angles, y, kind="spline")
    assert str(error.value) == "base must have targets on a line; got an angle, whose cdf begins nowhere."


def test_slopes_stay_above_the_floor_and_no_density_becomes_zero():
    wrong, _, y = simulated(500, factor=10.0)
    correction = fit_recalibration(wrong, y, kind="spline", min_slope=0.1)
    assert all(float(pit_map.slopes.min()) >= 0.1 for pit_map in correction.maps)
    far = torch.full((500, 1), 60.0, dtype=DOUBLE)
    assert bool((correction(wrong).log_prob(far) >= wrong.log_prob(far) - 2.4).all())


def test_several_dimensions_keep_their_modes_unless_maps_are_asked_for():
    generator = torch.Generator().manual_seed(0)
    base = Mixture(Categorical(torch.ones(200, 1)), DiagonalNormal(*torch.ones(2, 200, 1, 2, dtype=DOUBLE)))
    correction = fit_recalibration(base, 1 + 2 * torch.randn(200, 2, generator=generator, dtype=DOUBLE))
    assert correction.maps is None
    assert correction(base).modes().count.tolist() == [1] * 200
    assert correction.spread == pytest.approx(2.0, rel=0.15)


def test_right_counts_whose_targets_come_from_a_usual_seed_are_hardly_changed():
    counts = Mixture(Categorical(torch.ones(2000, 1)), Poisson(torch.ones(2000, 1, 1, dtype=DOUBLE)))
    level = torch.rand(2000, 1, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    correction = fit_recalibration(counts, counts.icdf(level))
    y = counts.sample(generator=torch.Generator().manual_seed(5))
    assert (correction(counts).log_prob(y) - counts.log_prob(y)).mean() > -0.004


def test_a_correction_survives_json():
    correction = Recalibration(1.25, 0.8, (PITMap(torch.tensor([0.0, 0.3, 1.0]), torch.tensor([1.0, 2.0, 0.5])),))
    wrong, _, y = simulated(50)
    again = Recalibration.from_dict(json.loads(json.dumps(correction.to_dict())))
    assert again == correction
    assert again != Recalibration(1.25, 0.8)
    torch.testing.assert_close(again(wrong).log_prob(y), correction(wrong).log_prob(y), rtol=0, atol=0)
    assert repr(again) == "Recalibration(temperature=1.25, spread=0.8, maps=3 knots)"


def test_a_fit_depends_on_its_generator_alone():
    wrong, _, y = simulated(200, factor=2.0)
    state = torch.random.get_rng_state()
    first, second = (fit_recalibration(wrong, y, kind="spline").to_dict() for _ in range(2))
    assert first == second
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda p, y: fit_recalibration(p[:10], y[:10]),
            InputError,
            "y must have at least 20 rows for fit_recalibration; got 10.",
        ),
        (
            lambda p, y: fit_recalibration(p, y, kind="isotonic"),
            InputError,
            "kind must be one of 'auto', 'beta', 'spline', 'temperature'; got 'isotonic'.",
        ),
        (
            lambda p, y: fit_recalibration(p, y[:50]),
            InputError,
            "y must have shape (100, 1) to match distribution; got (50, 1).",
        ),
        (
            lambda p, y: fit_recalibration(p, y, min_slope=0.0),
            InputError,
            "min_slope must be a number > 0 and < 1; got 0.0.",
        ),
        (
            lambda p, y: fit_recalibration(p, Incomplete.missing(torch.full_like(y, torch.nan)), kind="spline"),
            TypeError,
            "y must be a tensor of exact targets for fit_recalibration; got Incomplete, which no correction takes.",
        ),
        (
            lambda p, y: fit_recalibration(y, y),
            TypeError,
            "distribution must be a Mixture; got Tensor.",
        ),
        (
            lambda p, y: fit_recalibration(Recalibrated(p, [PITMap.identity()]), y),
            TypeError,
            "distribution must be a Mixture; got Recalibrated.",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, error, message):
    right, _, y = simulated(100)
    with pytest.raises(error) as caught:
        call(right, y)
    assert str(caught.value) == message
