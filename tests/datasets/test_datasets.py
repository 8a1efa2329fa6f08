import numpy as np
import pytest
from scipy import integrate

from manymodes._checks import InputError
from manymodes.datasets import inverse_sinusoid_log_density, load_geyser, make_inverse_sinusoid


def test_the_geyser_is_that_of_the_source_without_coded_nights(shared_table):
    table = shared_table("geyser")
    waiting, duration = table["waiting_min"], table["duration_min"]
    measured = ~np.isin(duration, [2, 3, 4])
    X, y = load_geyser()
    np.testing.assert_array_equal(X[:, 0], waiting[measured])
    np.testing.assert_allclose(y, duration[measured], atol=1e-4)
    assert X.shape == (221, 1)


def test_the_exact_density_integrates_to_one_for_every_x():
    for x in (-0.05, 0.1, 0.3, 0.5, 0.77, 1.05):
        grid = np.linspace(0, 1, 20_001)
        values = np.exp(inverse_sinusoid_log_density(np.full((len(grid), 1), x), grid))
        assert integrate.trapezoid(values, grid) == pytest.approx(
            1, abs=3e-3
        )  # the ends fall between points of the grid


def test_the_floor_of_the_inverse_sinusoid_is_the_known_one():
    # 200,000 draws have a standard error of .002 about -1.2824.
    X, y = make_inverse_sinusoid(200_000, random_state=0)
    log_density = inverse_sinusoid_log_density(X, y)
    assert -log_density.mean() == pytest.approx(-1.2824, abs=0.01)
    assert np.isfinite(log_density).all()


def test_an_impossible_target_has_density_zero():
    assert inverse_sinusoid_log_density([[0.5], [0.5]], [0.1, 1.5]).tolist() == [-np.inf, -np.inf]


def test_simulations_follow_their_seed_and_no_other():
    np.random.seed(0)
    first = make_inverse_sinusoid(10, random_state=3)[0]
    np.random.seed(1)
    np.testing.assert_array_equal(first, make_inverse_sinusoid(10, random_state=3)[0])
    assert (first != make_inverse_sinusoid(10, random_state=4)[0]).any()


def test_no_rows_and_no_noise_are_refused():
    with pytest.raises(InputError, match=r"^n_rows must be an integer >= 1; got 0\.$"):
        make_inverse_sinusoid(0)
    with pytest.raises(InputError, match=r"^noise must be a number > 0; got 0\.0\.$"):
        make_inverse_sinusoid(5, noise=0.0)
