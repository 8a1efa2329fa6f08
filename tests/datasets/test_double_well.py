import math

import numpy as np
import pytest
import torch
from scipy import stats

from manymodes._checks import InputError
from manymodes.datasets import DoubleWell, make_double_well, make_double_well_paths


def test_the_density_is_the_written_one():
    well, x, a, y = DoubleWell(), 0.3, -0.5, 0.9
    middle, calm = x + (x - x**3 + a) * 0.1, 0.3 * math.sqrt(0.1)
    kicked = math.sqrt(calm**2 + 0.1**2)
    expected = 0.96 * stats.norm.pdf(y, middle, calm)
    expected += 0.02 * (stats.norm.pdf(y, middle - 0.7, kicked) + stats.norm.pdf(y, middle + 0.7, kicked))
    found = well.predict_distribution([[x]], [[a]]).log_prob(torch.tensor([[y]], dtype=torch.float64))
    assert float(found) == pytest.approx(math.log(expected), rel=1e-12)


def test_kicks_do_not_move_the_mean():
    means = [DoubleWell(kick_probability=q).predict_distribution([[0.5]], [[0.2]]).mean for q in (0.0, 0.3)]
    torch.testing.assert_close(*means)


def test_paths_start_where_they_are_asked_to_and_are_reproducible():
    paths = make_double_well_paths(4, 7, start=0.5, random_state=1)
    assert paths.shape == (4, 8)
    assert (paths[:, 0] == 0.5).all()
    np.testing.assert_array_equal(paths, make_double_well_paths(4, 7, start=0.5, random_state=1))


def test_from_the_barrier_both_wells_are_as_likely_and_the_barrier_is_left():
    # Four standard errors of a share of 2,000 paths: a false alarm in one of 15,000 seeds; this one is fixed.
    last = make_double_well_paths(2000, 50, random_state=0)[:, -1]
    assert abs((last > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)
    assert (np.abs(last) < 0.25).mean() < 0.5 * (np.abs(np.abs(last) - 1) < 0.25).mean()


def test_paths_take_the_steps_of_the_density():
    # A false alarm in one of 1,000 seeds; this one is fixed.
    paths = make_double_well_paths(100, 20, random_state=0)
    here, after = paths[:, :-1].reshape(-1, 1), torch.from_numpy(paths[:, 1:].reshape(-1, 1))
    level = DoubleWell().predict_distribution(here, np.zeros_like(here)).cdf(after)
    assert stats.kstest(level[:, 0].numpy(), "uniform").pvalue > 1e-3


def test_another_system_can_be_followed():
    calm = make_double_well_paths(3, 200, start=0.1, system=DoubleWell(noise=1e-6, kick_probability=0.0))
    np.testing.assert_allclose(calm[:, -1], 1.0, atol=1e-4)


def test_transitions_can_be_those_of_another_system():
    calm = DoubleWell(noise=1e-6, kick_probability=0.0)
    states, actions, next_states = make_double_well(20, system=calm, random_state=0)
    np.testing.assert_allclose(next_states, calm.predict_distribution(states, actions).mean.numpy(), atol=1e-4)


def test_the_pull_is_the_slope_of_the_potential():
    well, x = DoubleWell(), np.array([-1.3, 0.2, 0.8])
    slope = (well.potential(x + 1e-6) - well.potential(x - 1e-6)) / 2e-6
    moved = well.predict_distribution(x[:, None], np.zeros((3, 1))).mean[:, 0].numpy() - x
    np.testing.assert_allclose(moved, -0.1 * slope, atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_paths": 0, "n_steps": 5}, "n_paths must be an integer >= 1; got 0."),
        ({"n_paths": 5, "n_steps": 0}, "n_steps must be an integer >= 1; got 0."),
        ({"n_paths": 5, "n_steps": 5, "start": math.nan}, "start must be a number > -inf; got nan."),
    ],
)
def test_paths_that_cannot_be_are_refused(arguments, sentence):
    with pytest.raises(InputError) as refusal:
        make_double_well_paths(**arguments)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dt": -1.0}, "dt must be a number > 0; got -1.0."),
        ({"noise": 0.0}, "noise must be a number > 0; got 0.0."),
        ({"kick_probability": 1.5}, "kick_probability must be a number >= 0 and <= 1; got 1.5."),
    ],
)
def test_a_well_that_cannot_be_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        DoubleWell(**settings)
    assert str(caught.value) == sentence


def test_arrays_that_run_backwards_are_taken():
    states = np.linspace(-1, 1, 5)[:, None]
    density = DoubleWell().predict_distribution(states[::-1], states[::-1])
    assert torch.equal(density.mean, DoubleWell().predict_distribution(states, states).mean.flip(0))
