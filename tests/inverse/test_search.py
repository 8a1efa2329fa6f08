"""Candidates against exact solutions, SciPy and plain loops."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch.distributions import Categorical

from manymodes._checks import InputError
from manymodes.datasets import make_robot_arm, robot_arm_position, robot_arm_ranges
from manymodes.distributions import Concatenation, DiagonalNormal, Mixture, PointMass, Poisson, VonMises
from manymodes.inverse import error_by_count, solution_agreement, solve, success_at

from .problems import arm, normals

RANGES = tuple(torch.tensor(end) for end in robot_arm_ranges())


# --- right solutions ---


@pytest.mark.parametrize("refine", ["auto", "gauss_newton", "finite_differences"])
def test_all_solutions_of_the_arm_are_found_to_many_digits(refine):
    density, X, solutions = arm()
    found = solve(density, robot_arm_position, X, n_samples=10, bounds=RANGES, refine=refine)
    right = found.within(1e-9)
    agreement = solution_agreement(right, solutions, 1e-5)
    assert agreement.exact.all()
    assert success_at(found, 1e-9).all()
    torch.testing.assert_close(robot_arm_position(found.y[found.mask]), found.x[found.mask])
    np.testing.assert_allclose((found.x - X[:, None]).norm(dim=-1)[found.mask], found.error[found.mask])


def test_small_gradient_steps_lead_there_too():
    density, X, _ = arm(15)
    found = solve(density, robot_arm_position, X, refine="gradient")
    assert success_at(found, 1e-3).all()
    assert found.error[:, 0].median() < 1e-9


def test_without_refinement_candidates_are_the_modes():
    density, X, _ = arm()
    modes, found = density.modes(), solve(density, robot_arm_position, X, refine=None, rank="density")
    torch.testing.assert_close(found.y, modes.location, equal_nan=True)
    torch.testing.assert_close(found.log_prob, modes.log_density)
    torch.testing.assert_close(found.mass, modes.mass)
    torch.testing.assert_close(found.best, density.mode)


def test_arrays_stay_arrays_and_are_not_refined_unless_asked():
    density, X, _ = arm()
    seen = []

    def forward(y):
        seen.append((type(y), y.dtype, y.shape[1]))
        return robot_arm_position(y)

    plain = solve(density, forward, X.numpy())
    assert set(seen) == {(np.ndarray, np.dtype("float64"), 2)}
    assert len(seen) == 1
    torch.testing.assert_close(plain.y, solve(density, robot_arm_position, X, refine=None).y, equal_nan=True)
    refined = solve(density, forward, X.numpy(), refine="finite_differences")
    torch.testing.assert_close(refined.y, solve(density, robot_arm_position, X).y, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("n_outcomes", [2, 4])
@pytest.mark.parametrize("bounded", [False, True])
def test_refinement_ends_where_scipys_least_squares_does(n_outcomes, bounded):
    rng = np.random.default_rng(0)
    slopes, start, x = rng.normal(size=(n_outcomes, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, n_outcomes))

    def forward(y):
        flat = y @ torch.tensor(slopes).T if isinstance(y, torch.Tensor) else y @ slopes.T
        return flat + 0.1 * flat**2

    bounds = (-0.5, 0.7) if bounded else None
    found = solve(normals(start[:, None]), forward, torch.tensor(x), bounds=bounds)
    for row in range(5):
        first, ends = start[row], bounds or (-np.inf, np.inf)
        best = least_squares(
            lambda y, row=row: forward(y) - x[row],
            np.clip(first, *ends),
            bounds=ends,
            xtol=1e-12,
            ftol=1e-13,
            gtol=1e-10,
        )
        assert found.error[row, 0].item() == pytest.approx(np.sqrt(2 * best.cost), abs=1e-6)
        if n_outcomes > 3 and not bounded:
            np.testing.assert_allclose(found.best[row], best.x, atol=2e-3)


def test_no_candidate_leaves_its_bounds_and_none_is_worse_than_where_it_began():
    density, X, _ = arm(off=0.3)
    refined = solve(density, robot_arm_position, X, bounds=RANGES, separation=0.0, rank="density")
    plain = solve(density, robot_arm_position, X, bounds=RANGES, separation=0.0, rank="density", refine=None)
    inside = (refined.y >= RANGES[0]) & (refined.y <= RANGES[1])
    assert inside[refined.mask].all()
    assert (refined.error[:, 0] <= plain.error[:, 0]).all()


def test_angles_go_around_and_are_told_in_the_turn_of_their_bounds():
    loc = torch.tensor([[[3.1], [0.1]]], dtype=torch.float64)
    density = Mixture(Categorical(torch.tensor([[0.7, 0.3]]).double()), VonMises(loc, torch.full_like(loc, 50.0)))
    wanted = torch.tensor([[math.cos(3.2), math.sin(3.2)]], dtype=torch.float64)

    def forward(y):
        return torch.cat([y.cos(), y.sin()], -1)

    assert solve(density, forward, wanted).best.item() == pytest.approx(3.2 - 2 * math.pi)
    assert solve(density, forward, wanted, bounds=(0.0, 2 * math.pi)).best.item() == pytest.approx(3.2)
    assert solve(density, forward, wanted, bounds=(-1.0, 3.0)).best.item() == pytest.approx(3.0)
    assert solve(density, forward, wanted, bounds=(3.5, 6.0)).best.item() == pytest.approx(3.5)


def test_other_units_give_the_same_solutions():
    density, X, _ = arm()
    turn = 180 / math.pi
    degrees = solve(
        density.affine(0.0, turn),
        lambda y: 1e3 * robot_arm_position(y / turn),
        1e3 * X,
        bounds=[turn * e for e in RANGES],
    )
    radians = solve(density, robot_arm_position, X, bounds=RANGES)
    torch.testing.assert_close(degrees.y, turn * radians.y, equal_nan=True, rtol=0, atol=1e-4)
    scaled = solve(density, lambda y: 1e3 * robot_arm_position(y), 1e3 * X, scale=1e3, refine=None)
    torch.testing.assert_close(scaled.error, solve(density, robot_arm_position, X, refine=None).error)


# --- continua, copies and order ---


def test_candidates_of_a_continuum_are_right_and_far_apart():
    X, y = make_robot_arm(8, n_links=3, random_state=0)
    density = normals(y[:, None], scale=0.3)
    settings = {"n_samples": 50, "n_candidates": 6, "bounds": tuple(map(torch.tensor, robot_arm_ranges(3)))}
    spread = solve(density, robot_arm_position, torch.tensor(X), **settings)
    close = solve(density, robot_arm_position, torch.tensor(X), diverse=False, **settings)
    assert spread.count.tolist() == close.count.tolist() == [6] * 8
    assert success_at(spread, 1e-9).all()
    assert (error_by_count(spread)[:, 0] < 1e-9).all()
    assert (spread.error < 1e-9).double().mean() > 0.9
    assert (spread.diversity > close.diversity).all()
    torch.testing.assert_close(spread.best, close.best)


def test_proposals_that_end_at_one_place_are_one_candidate_with_their_mass():
    density = normals([[[1.2], [1.65], [-1.5]]], scale=0.05, weights=[[0.2, 0.5, 0.3]])
    wanted = torch.tensor([[2.0]], dtype=torch.float64)
    found = solve(density, torch.square, wanted, n_samples=20)
    np.testing.assert_allclose(found.y[0, :, 0], [math.sqrt(2), -math.sqrt(2)])
    np.testing.assert_allclose(found.mass[0], [0.7, 0.3], atol=1e-6)
    assert found.from_mode.all()
    apart = solve(density, torch.square, wanted, refine=None, separation=[0.5])
    assert apart.y[0, :, 0].tolist() == pytest.approx([-1.5, 1.2])


def test_right_solutions_come_first_the_most_probable_before_others():
    density = normals([[[1.0], [2.0], [3.0], [5.0]]], scale=0.1, weights=[[0.1, 0.3, 0.2, 0.4]])
    wanted = torch.tensor([[2.0]], dtype=torch.float64)

    def places(**settings):
        return solve(density, lambda y: y, wanted, refine=None, **settings).y[0, :, 0].round().tolist()

    assert places() == [2, 3, 1, 5]  # 1 and 3 are equally wrong but for rounding
    assert places(tolerance=1.5) == [2, 3, 1, 5]
    assert places(tolerance=10.0) == places(rank="density") == [5, 2, 3, 1]
    assert places(n_candidates=2) == [2, 3]
    assert places(n_candidates=2, rank="density", diverse=False) == [5, 2]
    assert places(n_candidates=2, rank="density") == [5, 1]


def test_few_right_ones_are_filled_up_with_the_best_of_the_others():
    density = normals([[[1.0], [2.0], [4.0], [8.0]]], scale=0.1)
    found = solve(density, lambda y: y, torch.tensor([[2.0]]).double(), refine=None, n_candidates=3)
    assert found.y[0, :, 0].round().tolist() == [2, 1, 4]


def test_the_same_call_gives_the_same_samples_and_a_generator_others():
    density, X, _ = arm(5)
    settings = {"n_samples": 4, "refine": None}
    first, again = (solve(density, robot_arm_position, X, **settings) for _ in range(2))
    torch.testing.assert_close(first.y, again.y, equal_nan=True)
    other = solve(density, robot_arm_position, X, generator=torch.Generator().manual_seed(5), **settings)
    assert not torch.equal(first.y, other.y)
    assert not first.from_mode.all()


# --- kinds of predictions ---


def test_single_precision_stays_so_and_no_rows_give_none():
    density, X, _ = arm(5)
    found = solve(density.to(torch.float32), robot_arm_position, X)
    assert found.y.dtype == found.error.dtype == torch.float32
    assert success_at(found, 1e-6).all()
    nothing = solve(density[:0], robot_arm_position, X[:0], n_samples=3)
    assert nothing.y.shape == (0, 0, 2)
    assert repr(nothing) == "Candidates(rows=0, count=0 to 0, median error of the first=nan)"


def test_gradients_of_others_are_neither_needed_nor_touched():
    density, X, _ = arm(5)
    network = torch.nn.Linear(2, 2).double()
    with torch.inference_mode():
        found = solve(density, network, X)
    assert success_at(found, 1e-9).all()
    assert network.weight.grad is None


def test_counts_are_proposed_but_not_moved():
    rate = torch.tensor([[[3.5], [20.5]]], dtype=torch.float64)
    density = Mixture(Categorical(torch.ones(1, 2).double()), Poisson(rate))
    found = solve(density, lambda y: y * y, torch.tensor([[380.0]]).double())
    assert found.y[0, :, 0].tolist() == [20.0, 3.0]
    with pytest.raises(
        InputError, match=r"^refine must be None or 'auto' where solutions are counts; got 'gradient'\.$"
    ):
        solve(density, torch.square, torch.tensor([[380.0]]).double(), refine="gradient")


def test_atoms_are_proposed_too():
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    parts = Concatenation(PointMass(zero), DiagonalNormal(zero + 2, zero + 0.1))
    density = Mixture(Categorical(torch.tensor([[0.4, 0.6]]).double()), parts)
    found = solve(density, lambda y: y, torch.zeros(1, 1).double(), refine=None)
    assert found.y[0, :, 0].tolist() == pytest.approx([0.0, 2.0])
    np.testing.assert_allclose(found.mass[0], [0.4, 0.6])


def test_outcomes_that_are_no_numbers_come_last():
    density = normals([[[-1.0], [1.5]]], scale=0.1, weights=[[0.7, 0.3]])
    found = solve(density, torch.log, torch.tensor([[0.0]]).double())
    assert found.y[0, 0].item() == pytest.approx(1.0)
    assert found.error[0, 1].item() == math.inf


# --- what does not fit ---


def test_what_does_not_fit_is_refused():
    density, X, _ = arm(5)

    def refused(kind, sentence, forward=robot_arm_position, x=X, **settings):
        with pytest.raises(kind) as caught:
            solve(density, forward, x, **settings)
        assert str(caught.value) == sentence

    refused(InputError, "x must have shape (5, F) to have the rows of the distribution; got (4, 2).", x=X[:4])
    refused(TypeError, "x must be a Tensor or an array, as forward takes them; got list.", x=X.tolist())
    refused(
        InputError,
        "x must hold finite numbers; drop the other rows of it and of the distribution.",
        x=torch.full_like(X, math.nan),
    )
    refused(TypeError, "forward must be a function of solutions; got 3.", forward=3)
    refused(
        InputError,
        "what forward returns must have shape (10, 2) to match its solutions and x; got (10,).",
        forward=lambda y: y[:, 0],
    )
    refused(TypeError, "what forward returns must be a Tensor, as x is one; got list.", forward=lambda y: y.tolist())
    refused(
        InputError,
        "forward must have a gradient to refine solutions; take refine='finite_differences' or None.",
        forward=lambda y: robot_arm_position(y.detach()),
    )
    refused(
        InputError,
        "refine must be 'finite_differences', 'auto' or None where x is an array; got 'gauss_newton'.",
        x=X.numpy(),
        refine="gauss_newton",
    )
    refused(
        InputError,
        "refine must be one of 'auto', 'finite_differences', 'gauss_newton', 'gradient'; got 'newton'.",
        refine="newton",
    )
    refused(InputError, "rank must be one of 'density', 'error'; got 'mass'.", rank="mass")
    refused(InputError, "n_candidates must be an integer >= 1; got 0.", n_candidates=0)
    refused(InputError, "n_samples must be an integer >= 0; got -1.", n_samples=-1)
    refused(InputError, "tolerance must be a number > 0; got 0.", tolerance=0)
    refused(InputError, "scale must be > 0 for every outcome; got 0.0.", scale=0.0)
    refused(InputError, "separation must be >= 0 in every dimension; got -1.0.", separation=-1.0)
    refused(InputError, "separation must have shape (2,) or be a number; got (3,).", separation=[1.0, 1.0, 1.0])
    refused(TypeError, "bounds must be a pair of low and high ends; got 3.", bounds=3)
    refused(InputError, "bounds must be low ends below high ends; got [1.0, 1.0] and [0.0, 2.0].", bounds=(1, [0, 2]))
    refused(InputError, "each of bounds must have shape (2,) or be a number; got (3,).", bounds=([1, 2, 3], 4))
