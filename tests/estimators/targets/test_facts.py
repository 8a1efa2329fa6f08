import dataclasses
import json

import numpy as np
import pytest

from manymodes.datasets import load_geyser
from manymodes.estimators.targets.facts import inspect_target

N = 2000


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(n=N, seed=0):
    return rng(seed).normal(size=n)


def has_atom(facts, place) -> bool:
    return any(atom.place == place for atom in facts.atoms)


# --- the lattice ---


@pytest.mark.parametrize("step", [1.0, 0.1, 0.001, 0.25, 500.0, 1 / 3, 0.07])
@pytest.mark.parametrize("origin", [0.0, 0.05, -17.3])
def test_the_step_of_a_lattice_is_found(step, origin):
    y = origin + step * np.rint(20 * normal())
    assert inspect_target(y).step == pytest.approx(step, rel=1e-12)
    assert inspect_target(y).share_on_lattice == 1


def test_a_step_that_is_a_decimal_number_comes_back_as_that_number():
    for step in (0.1, 0.001, 0.3, 7.0):
        values = np.array([float(f"{k * step:.12g}") for k in np.rint(20 * normal())])
        assert inspect_target(values).step == step


@pytest.mark.parametrize("n", [6, 12, 40])
def test_the_step_is_the_greatest_common_divisor_of_decimals(n):
    for seed in range(50):
        whole = np.unique(rng(seed).integers(0, 5000, n))
        step = np.gcd.reduce(np.diff(whole))
        assert inspect_target(whole / 100).step == pytest.approx(step / 100, rel=1e-12)


def test_targets_stored_in_single_precision_lie_on_the_lattice_that_they_were_rounded_to():
    y = np.round(10 + 3 * normal(), 1).astype(np.float32).astype(np.float64)
    assert inspect_target(y).step == 0.1


def test_sixtieths_that_were_written_as_decimals_are_found():
    assert inspect_target(load_geyser()[1]).step == pytest.approx(1 / 60, rel=1e-4)


def test_values_that_differ_by_rounding_only_are_one():
    y = np.concatenate([np.full(50, 0.3), np.full(50, 0.1 + 0.2), np.arange(20) / 10])
    facts = inspect_target(y)
    assert facts.n_distinct == 20
    assert facts.step == 0.1


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_density_has_no_lattice(scale):
    for seed in range(20):
        y = scale * normal(int(rng(seed).integers(5, 200)), seed)
        assert inspect_target(y).step is None
        assert inspect_target(y.astype(np.float32).astype(np.float64)).step is None


def test_a_lattice_too_fine_to_matter_is_none():
    assert inspect_target(np.round(normal(), 5)).step is None
    assert inspect_target(1.7e9 + rng().integers(0, 86_400, N)).step is None


def test_a_few_values_beside_a_lattice_do_not_hide_it():
    facts = inspect_target(np.concatenate([np.rint(50 + 9 * normal()), [24.37, 51.123, 60.9]]))
    assert facts.step == 1
    assert facts.share_on_lattice == pytest.approx(N / (N + 3))


def test_half_of_the_values_beside_a_lattice_leave_none():
    assert inspect_target(np.concatenate([np.rint(20 * normal()), 20 * normal(seed=1)])).step is None


def test_the_floor_lets_three_scales_reach_over_a_rounding_cell():
    y = np.round(normal(), 1)
    facts = inspect_target(y)
    assert facts.floor(1e-3) == pytest.approx(0.1 / 6 / y.std())
    assert facts.floor(0.2) == 0.2
    assert inspect_target(normal()).floor(1e-3) == 1e-3


# --- atoms ---


def test_exact_zeros_are_an_atom():
    y = np.where(rng(1).uniform(size=N) < 0.25, 0.0, rng().lognormal(size=N))
    (atom,) = inspect_target(y).atoms
    assert (atom.value, atom.place) == (0.0, "smallest")
    assert atom.share == (y == 0).mean()
    assert has_atom(inspect_target(y), "smallest")
    assert not has_atom(inspect_target(y), "largest")


@pytest.mark.parametrize("decimals", [1, 15])
def test_a_ceiling_and_a_floor_are_atoms(decimals):
    y = np.clip(np.round(normal(), decimals), -1.5, 1.6)
    facts = inspect_target(y)
    assert {(atom.value, atom.place) for atom in facts.atoms} == {(-1.5, "smallest"), (1.6, "largest")}
    assert has_atom(facts, "smallest")
    assert has_atom(facts, "largest")


def test_a_ceiling_off_the_lattice_is_an_atom():
    y = np.round(2 + normal(), 3)
    facts = inspect_target(np.where(y >= 3.5, 3.50001, y))
    assert [atom.value for atom in facts.atoms] == [3.50001]
    assert has_atom(facts, "largest")


def test_a_value_inside_that_stands_out_is_an_atom():
    y = np.round(3 + normal(), 2)
    u = rng(1).uniform(size=N)
    facts = inspect_target(np.where(u < 0.1, 4.0, np.where(u < 0.15, 2.0, y)))
    assert [(atom.value, atom.place) for atom in facts.atoms] == [(4.0, "inside"), (2.0, "inside")]
    assert not has_atom(facts, "smallest")


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, n: g.poisson(3, n),
        lambda g, n: g.geometric(0.3, n),
        lambda g, n: g.negative_binomial(0.7, 0.05, n),
        lambda g, n: np.round(g.exponential(3, n), 1),
        lambda g, n: np.round(g.normal(5, 2, n), 1),
        lambda g, n: np.rint(g.lognormal(2, 1, n)),
        lambda g, n: g.choice(g.normal(size=n), n),
        lambda g, n: np.clip(np.rint(g.normal(5.6, 0.8, n)), 3, 8),
        lambda g, n: g.integers(0, 2, n),
    ],
    ids=[
        "poisson",
        "geometric",
        "negative binomial",
        "exponential",
        "normal",
        "lognormal",
        "bootstrap",
        "wine",
        "binary",
    ],
)
def test_counts_and_rounded_values_have_no_atoms(draw):
    for seed in range(20):  # no false alarm in 180 columns
        assert inspect_target(draw(rng(seed), 1000).astype(float)).atoms == ()


def test_whole_numbers_that_people_like_are_no_atoms():
    y = np.round(rng().lognormal(1, 1, 5000), 1)
    y = np.where(rng(1).uniform(size=len(y)) < 0.3, np.rint(y), y)
    assert all(atom.value == 0 for atom in inspect_target(y).atoms)


# --- ties and tails ---


def test_repeated_rows_are_counted():
    assert inspect_target(np.array([1.5, 1.5, 2.25, 7.1])).share_repeated == 0.5
    assert inspect_target(normal()).share_repeated == 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, n: g.normal(size=n),
        lambda g, n: g.uniform(size=n),
        lambda g, n: g.exponential(size=n),
        lambda g, n: g.lognormal(size=n),
        lambda g, n: -g.lognormal(sigma=2, size=n),
        lambda g, n: g.gamma(0.3, size=n),
        lambda g, n: np.where(g.uniform(size=n) < 0.5, -5, 5) + g.normal(size=n),
        lambda g, n: np.where(g.uniform(size=n) < 0.97, 0, 100) + g.normal(size=n),
    ],
    ids=["normal", "uniform", "exponential", "lognormal", "wide lognormal", "gamma", "two modes", "far mode"],
)
def test_smooth_tails_and_far_modes_are_no_outliers(draw):
    for seed in range(10):  # no false alarm in 80 columns
        facts = inspect_target(draw(rng(seed), N))
        assert facts.outliers == 0
        assert not facts.heavy_tailed


def test_gross_errors_are_outliers_and_call_for_heavier_tails():
    y = np.concatenate([normal(), [60.0, -45.0, 30.0, 88.0, -71.0, 52.0, 37.0]])
    facts = inspect_target(y)
    assert facts.outliers == 7
    assert facts.outlier_rows == (N, N + 1, N + 2)
    assert facts.heavy_tailed
    skewed = inspect_target(np.concatenate([rng().exponential(size=N), [-30.0]]))
    assert skewed.outlier_rows == (N,)
    assert not skewed.heavy_tailed


def test_students_t_of_three_degrees_is_heavy_tailed():
    assert inspect_target(rng().standard_t(3, size=5000)).heavy_tailed


def test_atoms_are_no_outliers():
    facts = inspect_target(np.where(rng(1).uniform(size=N) < 0.02, -999.0, normal()))
    assert facts.outliers == 0
    assert facts.atoms[0].is_far


# --- edges ---


@pytest.mark.parametrize("y", [[], [1.0], [1.0] * 5, [np.nan, 2.0], [1e150, -1e150, 0.5], [1e-300, 2e-300]])
def test_columns_with_hardly_anything_in_them_are_taken(y):
    assert inspect_target(np.array(y, dtype=float)).floor(1e-3) >= 1e-3


def test_rows_that_are_not_finite_are_left_out_but_counted_as_rows():
    facts = inspect_target(np.concatenate([[np.nan], normal(), [np.inf, 400.0]]))
    assert facts.n_rows == N + 1
    assert facts.outlier_rows == (N + 2,)


def test_facts_can_be_written_as_json():
    facts = inspect_target(np.clip(np.round(normal(), 1), -1, 1))
    assert json.loads(json.dumps(dataclasses.asdict(facts)))["step"] == 0.1
