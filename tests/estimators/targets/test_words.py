import numpy as np
import pytest

from manymodes.estimators.targets.facts import inspect_target
from manymodes.estimators.targets.words import about_target

N = 2000


def normal(n=N):
    return np.random.default_rng(0).normal(size=n)


def test_the_lattice_is_told_and_the_rounding_cell_offered():
    y = np.repeat(np.arange(950, 1001) / 1000, 30)
    facts = inspect_target(y)
    floor = facts.floor(1e-3)
    assert about_target(facts, "wear", floor=floor) == [
        "'wear' takes 51 values on a lattice of step 0.001; component scales do not fall below a sixth of it. To score "
        "the rounding cell itself, pass rounding=0.001."
    ]
    assert about_target(facts, "wear", rounding=0.001) == [
        "'wear' takes 51 values on a lattice of step 0.001; what counts is the probability of rounding cells 0.001 "
        "wide."
    ]
    assert "do not fall below 0.29 of it" in about_target(facts, "wear", floor=0.02)[0]
    assert about_target(facts, "wear", floor=0.05) == []
    assert "rounding" not in about_target(facts, "wear", floor=floor, n_targets=2)[0]


def test_a_lattice_that_no_scale_can_see_is_not_told():
    assert about_target(inspect_target(np.round(normal(), 3)), "y") == []


def test_zeros_are_told_and_a_probability_offered():
    facts = inspect_target(np.concatenate([np.zeros(N), np.random.default_rng(0).lognormal(size=N)]))
    assert about_target(facts, "rain") == [
        "50.0% of 'rain' are exactly 0; pass atoms=(0.0,) to give that value a probability of its own."
    ]
    assert about_target(facts, "rain", atoms=(0.0,)) == [
        f"{N} rows (50.0%) of 'rain' are exactly 0, which has a probability of its own."
    ]


def test_a_ceiling_is_told_with_all_the_atoms_to_pass():
    facts = inspect_target(np.clip(normal(), -1.5, 1))
    assert facts.atoms[0].count > facts.atoms[1].count
    assert about_target(facts, "y")[0] == (
        f"{facts.atoms[0].count} rows ({facts.atoms[0].share:.1%}) of 'y' sit at the largest value, 1: the target may "
        "be cut off there; hand them in as censored (y_lower or y_upper), or pass atoms=(1.0, -1.5)."
    )


def test_advice_can_be_followed_as_it_stands():
    facts = inspect_target(np.concatenate([np.zeros(N), np.round(np.random.default_rng(0).lognormal(3, 1, N))]))
    assert facts.step == 1
    together = " ".join(about_target(facts, "rain"))
    assert "pass atoms=(0.0,)" in together
    assert "pass rounding" not in together  # a cell of values holds no single one
    assert "pass rounding" not in " ".join(about_target(facts, "rain", atoms=(0.0,)))
    assert "pass" not in " ".join(about_target(facts, "rain", rounding=1.0))
    assert "pass" not in " ".join(about_target(facts, "rain", n_targets=2))


def test_a_number_that_stands_for_nothing_is_told_apart():
    (told,) = about_target(inspect_target(np.concatenate([normal(), np.full(40, -999.0)])), "y")
    assert told == (
        "40 rows (2.0%) of 'y' are -999, far from all others; if that stands for a missing value, drop them."
    )


def test_repeated_values_without_a_lattice_are_told():
    y = np.random.default_rng(1).choice(normal(50), 500)
    (told,) = about_target(inspect_target(y), "y")
    assert told == (
        "100.0% of 'y' repeat values of other rows, though on no lattice: a density can rise there without knowing "
        "more; a larger min_scale limits it."
    )


def test_outliers_are_told_by_row_and_students_t_offered_once():
    facts = inspect_target(np.concatenate([[77.0], normal()]))
    assert about_target(facts, "y") == [
        "1 row (0.05%) of 'y' lies more than 8 robust standard deviations out (first: row 1); check them; pass "
        "family='student_t' if they are right."
    ]
    assert about_target(facts, "y", family="student_t") == [
        "1 row (0.05%) of 'y' lies more than 8 robust standard deviations out (first: row 1); check them."
    ]


def test_heavy_tails_without_outliers_are_told():
    y = np.concatenate([normal(), [5.9, -6.2, 6.4, 5.8, -6.0, 6.3, -5.7, 6.6]])
    assert about_target(inspect_target(y), "y") == [
        "The tails of 'y' are heavier than those of normals; pass family='student_t' where its density matters there."
    ]


def test_an_ordinary_target_needs_no_words():
    assert about_target(inspect_target(normal()), "y") == []


@pytest.mark.parametrize("y", [[], [1.0], [1.0] * 5])
def test_columns_with_hardly_anything_in_them_need_no_words(y):
    assert about_target(inspect_target(np.array(y, dtype=float)), "y") == []
