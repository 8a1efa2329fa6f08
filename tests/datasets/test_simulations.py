"""Simulators beside the shared reference samples, whose true densities come from another implementation."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from manymodes import datasets, metrics
from manymodes._checks import InputError

REFERENCES = {
    "econ": datasets.make_econ,
    "arma-jump": datasets.make_arma_jump,
    "gmm-k5-x1-y1": datasets.make_gaussian_mixture,
    "gmm-k10-x1-y1": partial(datasets.make_gaussian_mixture, n_components=10),
    "gmm-k5-x2-y2": partial(datasets.make_gaussian_mixture, n_features=2, n_targets=2),
    "gmm-k5-x4-y4": partial(datasets.make_gaussian_mixture, n_features=4, n_targets=4),
    "skew-normal": datasets.make_skew_normal,
    "linear-gaussian-x1": datasets.make_linear_gaussian,
    "linear-student-t-x5": partial(datasets.make_linear_student_t, n_features=5),
    "linear-student-t-x10": datasets.make_linear_student_t,
    "inverse-sinusoid": datasets.make_toy_inverse,
    "bishop-inverse": datasets.make_inverse_sinusoid,
}
SIMULATORS = {
    **REFERENCES,
    "econ, one width": partial(datasets.make_econ, heteroscedastic=False),
    "ring": datasets.make_ring,
    "two sinusoids": datasets.make_two_sinusoids,
    "sinusoid": datasets.make_sinusoid,
}
every_simulator = pytest.mark.parametrize("simulate", SIMULATORS.values(), ids=SIMULATORS)


@pytest.fixture(scope="session")
def reference(shared_folder):
    """Return a function that reads a file of reference samples."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(shared_folder("cde-simulations") / "cde-simulations" / f"{name}.npz") as arrays:
            return dict(arrays)

    return read


def truth(simulate):
    return simulate(1, return_density=True, random_state=0)[2]


# --- the references ---


@pytest.mark.parametrize("name", REFERENCES)
def test_true_densities_agree_with_the_references(reference, name):
    samples = reference(name)
    density = truth(REFERENCES[name])(samples["X_test"][:500])
    y = torch.from_numpy(samples["y_test"][:500])
    error = 1e-6 if name == "inverse-sinusoid" else 1e-10  # there the reference is integrated on a grid
    np.testing.assert_allclose(density.log_prob(y), samples["logpdf_test"][:500], atol=error)
    if "cdf_test" in samples:
        np.testing.assert_allclose(density.cdf(y).flatten(), samples["cdf_test"][:500].flatten(), atol=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_rows_look_like_those_of_the_references(reference, name):
    # Two samples of 5,000; a false alarm for about one seed in 500 of one of the 48 columns.
    samples = reference(name)
    X, y = REFERENCES[name](5000, random_state=1)
    columns = np.column_stack([X, y])
    wanted = np.column_stack([samples["X_train"], samples["y_train"]])
    step = 25 if name == "arma-jump" else 1  # its rows depend on those before
    for ours, theirs in zip(columns[::step].T, wanted[::step].T, strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > 4e-5


def test_parameters_of_the_gaussian_mixture_are_the_published_ones(reference):
    samples = reference("gmm-k5-x2-y2")
    parts = truth(REFERENCES["gmm-k5-x2-y2"]).build.keywords["parts"]
    np.testing.assert_allclose(parts.weights, samples["weights"])
    np.testing.assert_allclose(parts.means, samples["means"])
    covariance = np.swapaxes(parts.factors, 1, 2) @ parts.factors
    np.testing.assert_allclose(covariance[:, :2, :2], samples["cov_x"])
    np.testing.assert_allclose(covariance[:, 2:, 2:], samples["cov_y"])


def shocks(X, y):
    """Return the shocks of a market from one day to the next: three standard normal ones, and returns in units."""
    moved = (X[:-1] > 0).all(-1) & (X[1:] > 0).all(-1)
    (v, slow, part), (v_next, slow_next, part_next), y = X[:-1][moved].T, X[1:][moved].T, y[:-1][moved]
    day, rate = 1 / 252, part + 90 * v + 25 * slow
    of_part = (part_next - part - 0.662 * (0.101 - part) * day) / (0.204 * np.sqrt(part * day))
    of_slow = (slow_next - slow - 2.353 * (0.171 - slow) * day) / (0.158 * np.sqrt(slow * day))
    pull = 3.011 * (0.0365 - v) * day + 0.4 * 2.353 * (0.171 - slow_next) * day
    own = v_next - v - pull - 0.4 * 0.158 * np.sqrt(slow_next * day) * of_slow
    growth = (-0.5 * v_next + 1.554 * np.sqrt(v_next) - np.expm1(-0.037 + 0.031**2 / 2) * rate) * day
    return of_part, of_slow, own / (0.346 * np.sqrt(v * day)), (y - growth) / np.sqrt(v_next * day)


def test_the_market_moves_like_the_reference(reference):
    # A false alarm for one seed in 1,000.
    samples = reference("jump-diffusion")
    X, y = datasets.make_jump_diffusion(5000, random_state=0)
    assert X[0].tolist() == [0.0365, 0.171, 0.101]
    ours, theirs = shocks(X, y), shocks(samples["X_train"], samples["y_train"][:, 0])
    for own, other in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(own, other).pvalue > 1e-4
    for normal in ours[:3]:
        assert stats.kstest(normal, "norm").pvalue > 1e-4
    assert np.corrcoef(ours[2], ours[3])[0, 1] == pytest.approx(np.corrcoef(theirs[2], theirs[3])[0, 1], abs=0.08)


# --- the contract ---


@every_simulator
def test_rows_and_density_have_the_declared_shapes(simulate):
    X, y, density = simulate(20, return_density=True, random_state=0)
    again = simulate(20, random_state=0)
    assert len(again) == 2
    np.testing.assert_array_equal(again[0], X)
    np.testing.assert_array_equal(again[1], y)
    assert X.shape == (20, density.n_features)
    distribution = density(X)
    target_dim = 1 if y.ndim == 1 else y.shape[1]
    assert (distribution.batch_shape, distribution.event_shape) == ((20,), (target_dim,))
    assert distribution.log_prob(torch.from_numpy(y.reshape(20, -1))).dtype == torch.float64
    torch.testing.assert_close(density(torch.from_numpy(X)).mean, distribution.mean)


@every_simulator
def test_targets_have_uniform_ranks_in_their_true_distributions(simulate):
    # A false alarm for one seed in 500 of one of the 20 dimensions.
    X, y, density = simulate(400, return_density=True, random_state=4)
    ranks = density(X).cdf(torch.from_numpy(y.reshape(len(X), -1)))
    for column in ranks.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4


def test_the_ring_agrees_with_scipy():
    for x in (1e-4, 0.7, 3.0, 6.0):
        density = truth(datasets.make_ring)([[x]])

        def height(y, x=x):
            distance = np.hypot(x, y)
            return (stats.norm.pdf(distance - 4) + stats.norm.pdf(distance + 4)) / distance

        points = sorted({x, 0.01, 0.1, 1.0, 4.0})
        half = sum(
            integrate.quad(height, low, high, epsabs=0, epsrel=1e-11, limit=200)[0]
            for low, high in zip([0.0, *points], [*points, 15.0], strict=True)
        )
        y = torch.tensor([[1.3]], dtype=torch.float64)
        assert density.log_prob(y).item() == pytest.approx(np.log(height(1.3) / (2 * half)), abs=1e-9)
        below = 0.5 + integrate.quad(height, 0, 1.3, epsabs=0, epsrel=1e-11, points=[x, 0.01, 0.1])[0] / (2 * half)
        assert density.cdf(y).item() == pytest.approx(below, abs=1e-9)


def test_the_ring_has_two_answers_inside_and_one_outside():
    modes = truth(datasets.make_ring)([[1.0], [5.0], [0.0]]).modes()
    assert modes.count_above(0.05).tolist() == [2, 1, 2]


def test_the_modes_of_the_truth_are_found_by_the_truth():
    density = truth(datasets.make_toy_inverse)(np.linspace(-8, 8, 9)[:, None])
    agreement = metrics.mode_agreement(density, density.modes().location, tolerance=1e-6, min_mass=0.0)
    assert agreement.exact.all()


# --- bad input ---


def test_inputs_that_do_not_fit_are_refused():
    density = truth(datasets.make_econ)
    for X, message in (
        ([0.5, 1.0], "X must have shape (N, 1) to match the simulation; got (2,)."),
        ([[0.5], [np.nan]], "X must hold finite numbers; row 2 does not."),
        ([[0.5], [-1.0]], "X must hold numbers >= 0; got -1 in row 2."),
    ):
        with pytest.raises(InputError) as caught:
            density(X)
        assert str(caught.value) == message
    with pytest.raises(InputError, match=r"^X must hold inputs whose mean is > -5; row 1 does not\.$"):
        truth(datasets.make_linear_gaussian)([[-6.0]])


def test_settings_that_make_no_sense_are_refused():
    for simulate in (*SIMULATORS.values(), datasets.make_jump_diffusion):
        with pytest.raises(InputError, match=r"^n_rows must be an integer >= 1; got 0\.$"):
            simulate(0)
    with pytest.raises(InputError, match=r"^n_components must be an integer >= 1; got 0\.$"):
        datasets.make_gaussian_mixture(n_components=0)
    with pytest.raises(TypeError, match=r"^return_density must be True or False; got 1\.$"):
        datasets.make_ring(3, return_density=1)
