import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import Table
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.calibration.in_time import LAST, PAST, SAME, SOURCES, WEEKLY, in_time
from manymodes.studies.calibration.pictures import over_levels
from manymodes.studies.calibration.repairs import (
    AS_IS,
    BY_GROUP,
    INTERVALS,
    MAP,
    PREDICTED,
    REGIONS,
    TEMPERATURE,
    by_rows,
    repairs,
    sets,
)
from manymodes.studies.calibration.rows import RECENT, Case, Later, _bikes, _homes, _traffic
from manymodes.studies.calibration.words import of_groups, of_order, of_repairs, of_rows, of_sets, of_time
from manymodes.studies.frame.comparison import Comparison, Part, Problem
from manymodes.studies.frame.models import GAUSSIAN, LEAST_SQUARES, MDN

N = 400
SIZES = (60, 40, 30)


def normals(scale=1.0, loc=(0.0,), n=N):
    loc = torch.tensor(loc).double().expand(n, len(loc))[..., None]  # (N, K, D)
    return Mixture(Categorical(torch.ones(loc.shape[:2]).double()), DiagonalNormal(loc, torch.full_like(loc, scale)))


def case_of(y_held, y, group=None, later=None):
    group = np.zeros(N, dtype=np.int64) if group is None else group
    X = np.zeros((N, 1))
    return Case(Part(X, y, X, y), X, y_held, group, group, later)


def drawn(scale=1.0, seed=0):
    return scale * np.random.default_rng(seed).standard_normal(N)


# --- rows ---


def test_homes_at_the_ceiling_are_left_out_and_no_row_has_two_tasks():
    y = np.where(np.arange(300) % 3 == 0, 5.00001, np.arange(300) / 100)
    case = _homes(Table(np.arange(300.0)[:, None], y, ("MedInc",), (), (), {}), 0, SIZES)
    parts = (case.part.y, case.y_held, case.part.y_test)
    assert tuple(map(len, parts)) == SIZES
    assert np.concatenate(parts).max() < 5
    assert len(np.unique(np.concatenate(parts))) == sum(SIZES)
    assert set(case.group) <= set(range(5))


def test_readings_of_ten_minutes_have_one_task():
    n = 1000
    data = Table(np.arange(n, dtype=float)[:, None], np.arange(n, dtype=float), (), (), (), {})
    case = _traffic(data, 3)
    blocks = [set((y // 20).astype(int)) for y in (case.part.y, case.y_held, case.part.y_test)]
    assert not blocks[0] & blocks[1]
    assert not blocks[0] & blocks[2]
    assert not blocks[1] & blocks[2]
    assert len(set.union(*blocks)) == n // 20


def test_bikes_are_judged_a_month_after_what_was_learned_and_are_not_told_the_year():
    day = np.repeat(np.arange(731), 2)
    X = np.column_stack([day // 365, np.tile([3, 18], 731), day])
    data = Table(X, day.astype(float), ("yr", "hr", "weekday"), (), (), {"day": day.astype(np.int32)})
    case = _bikes(data, 1, SIZES, 2)
    cut = 400
    assert max(case.part.y.max(), case.y_held.max(), case.later.y_same.max()) < cut
    assert case.part.y_test.min() >= cut + RECENT
    assert case.part.y_test.max() < cut + RECENT + 14
    np.testing.assert_array_equal(case.later.day, case.part.y_test - cut)
    np.testing.assert_array_equal(case.later.day_after, case.later.y_after - cut)
    np.testing.assert_array_equal(case.group, np.where(case.part.X_test[:, 0] == 3, 0, 3))


# --- what is measured ---


def test_corrections_widen_what_is_too_narrow():
    case = case_of(drawn(seed=1), drawn(seed=2))
    narrow = normals(0.5)
    found = repairs(narrow, narrow, case)
    for repair in (TEMPERATURE, MAP):
        assert found[f"{repair}: log_score"] > found[f"{AS_IS}: log_score"] + 0.3
        assert found[f"{repair}: width"] == pytest.approx(2 * found[f"{AS_IS}: width"], rel=0.15)
        assert found[f"{repair}: calibration_error"] < found[f"{AS_IS}: calibration_error"]
    assert found[f"{AS_IS}: inside"] == pytest.approx(0.59, abs=0.08)  # sd .025
    assert found[f"{MAP}: inside"] == pytest.approx(0.9, abs=0.08)


def test_intervals_fitted_by_group_hold_their_share_in_every_group():
    group = np.arange(N) % 2
    y_held, y = (drawn(seed=seed) * np.where(group == 1, 4, 1) for seed in (3, 4))
    same = normals(2.0)
    found = sets(same, same, case_of(y_held, y, group), 2)
    assert found[f"{INTERVALS}: inside"] == pytest.approx(0.9, abs=0.06)
    assert found[f"{INTERVALS}: groups"][0] == pytest.approx(1.0, abs=0.01)
    assert found[f"{INTERVALS}: groups"][1] < 0.87
    np.testing.assert_allclose(found[f"{BY_GROUP}: groups"], 0.9, atol=0.08)  # sd of each .03


def test_regions_of_two_branches_are_shorter_than_intervals_and_hold_as_much():
    signs = np.random.default_rng(5).choice([-10.0, 10.0], (2, N))
    held = normals(loc=(-10.0, 10.0))
    found = sets(held, held, case_of(signs[0] + drawn(seed=6), signs[1] + drawn(seed=7)), 1)
    assert found[f"{REGIONS}: length"] < 0.5 * found[f"{INTERVALS}: length"]
    assert found[f"{REGIONS}: inside"] == pytest.approx(0.9, abs=0.07)
    assert found[f"{PREDICTED}: inside"] == pytest.approx(0.9, abs=0.06)


def test_groups_that_nobody_judges_have_no_share():
    same = normals()
    found = sets(same, same, case_of(drawn(), drawn(seed=1)), 3)
    assert np.isnan(found[f"{INTERVALS}: groups"][1:]).all()


def test_gains_grow_with_the_rows_that_correct():
    case = case_of(drawn(seed=8), drawn(seed=9))
    narrow = normals(0.4)
    gained = by_rows(narrow, narrow, case, (20, 400), 2)[f"{TEMPERATURE}: gained"]
    assert gained[1] >= gained[0] > 0


class Steady:
    """A model that expects a standard normal whatever the input."""

    def predict_distribution(self, X):
        return normals(n=len(X))


def test_only_weekly_corrections_follow_what_keeps_moving():
    day_after = np.repeat(np.arange(RECENT + 70), 20)
    rng = np.random.default_rng(10)
    y_after = rng.standard_normal(len(day_after)) * (1 + day_after / 20)
    judges = rng.permutation(np.flatnonzero(day_after >= RECENT))[:N]
    X = np.zeros((len(day_after), 1))
    later = Later(X[:N], drawn(seed=11), X, y_after, day_after, day_after[judges])
    case = case_of(drawn(seed=12), y_after[judges], later=later)
    model, same = Steady(), normals()
    found = in_time(model, same, same, case)
    inside = {name: found[f"{name}: inside"] for name in (*SOURCES, f"{SAME}, {PAST}")}
    assert inside[f"{SAME}, {PAST}"] == pytest.approx(0.9, abs=0.06)
    assert inside[PAST] < inside[LAST] < inside[WEEKLY] < 0.9
    assert inside[PAST] == pytest.approx(inside[AS_IS], abs=0.05)
    assert len(found[f"{WEEKLY}: weeks"]) == 10


def test_without_time_nothing_of_it_is_measured():
    same = normals()
    assert in_time(Steady(), same, same, case_of(drawn(), drawn())) == {}


def test_calibrated_levels_hold_what_they_say():
    np.testing.assert_allclose(over_levels((np.arange(1000) + 0.5) / 1000), 0, atol=2e-3)
    assert (over_levels(np.full(10, 0.5)) > 0).all()


# --- what is concluded ---


def compared(**records):
    named = {"mdn": MDN, "gaussian": GAUSSIAN, "squares": LEAST_SQUARES}
    of_models = {named[name]: [record] for name, record in records.items()}
    return Comparison(Problem("homes", lambda seed: None, {}), of_models)


def scored(error=0.01, gain=0.0, base=-1.0):
    return {
        f"{AS_IS}: calibration_error": error, f"{AS_IS}: floor": 0.01, f"{MAP}: calibration_error": 0.01,
        f"{AS_IS}: log_score": base, f"{MAP}: log_score": base + gain, f"{TEMPERATURE}: log_score": base,
    }  # fmt: skip


def test_the_worst_calibrated_model_is_told_with_what_corrections_add():
    told = of_repairs(compared(mdn=scored(), squares=scored(0.06, 0.1)))
    assert f"the stated probabilities of the {LEAST_SQUARES} are off by 0.06; after the map by 0.01" in told
    assert "adds 0.1 nats" in told
    assert "hardly more than the 0.01 that luck makes" in told


def test_a_mixture_that_is_off_is_not_excused_by_luck():
    assert "hardly more" not in of_repairs(compared(mdn=scored(0.05), squares=scored(0.06)))


def test_a_map_that_changes_who_is_best_is_said_to():
    kept = of_order(compared(mdn=scored(), squares=scored(gain=0.1, base=-2)))
    assert kept.startswith(f"Corrected or not, the most likely on homes is the {MDN}")
    changed = of_order(compared(mdn=scored(), squares=scored(gain=0.2, base=-1.1)))
    assert changed == f"With the map the most likely on homes is the {LEAST_SQUARES}; without it, the {MDN}."


@pytest.mark.parametrize(("length", "word"), [(15.0, "25% shorter"), (30.0, "50% longer")])
def test_regions_are_told_beside_intervals(length, word):
    sizes = {f"{INTERVALS}: length": 20.0, f"{INTERVALS}: inside": 0.9, f"{REGIONS}: length": length}
    own = {**sizes, f"{REGIONS}: inside": 0.91}
    assert word in of_sets(compared(mdn=own, gaussian={f"{INTERVALS}: length": 40.0}), "mph")


def test_groups_are_told_from_the_worst_to_the_best():
    record = {f"{kind}: inside": 0.9 for kind in (PREDICTED, INTERVALS, BY_GROUP)}
    record |= {f"{INTERVALS}: groups": np.array([0.8, 1.0, 0.9]), f"{BY_GROUP}: groups": np.array([0.9, 0.89, 0.91])}
    told = of_groups(compared(squares=record), ("poor", "middle", "rich"), LEAST_SQUARES)
    assert "from 80% in the poor to 100% in the middle" in told
    assert told.endswith("from 89% in the middle to 91% in the rich.")


def test_the_first_size_that_gains_clearly_is_named():
    records = {
        "squares": {f"{MAP}: gained": np.array([-0.1, 0.05])}, "gaussian": {f"{MAP}: gained": np.array([0.1, 0.2])},
        "mdn": {f"{MAP}: gained": np.array([-0.1, -0.1])},
    }  # fmt: skip
    told = of_rows(compared(**records), (20, 100))
    assert f"the {LEAST_SQUARES} gains by a map from 100 rows held out on" in told
    assert f"the {GAUSSIAN} gains by a map from 20 rows" in told
    assert f"the {MDN} gains clearly by none of 20 to 100 rows" in told


@pytest.mark.parametrize(("past", "lost"), [(0.4, True), (0.89, False)])
def test_a_lost_coverage_is_explained_only_where_it_is_lost(past, lost):
    inside = {f"{name}: inside": past for name in (*SOURCES, f"{SAME}, {PAST}")}
    record = {**inside, f"{AS_IS}: width": 1.0, "log_score": -1.0}
    record |= {f"{name}: log_score": -1.0 for name in (PAST, WEEKLY)}
    wide = {f"{AS_IS}: inside": 0.92, f"{AS_IS}: width": 3.0}
    told = of_time(compared(mdn=record, squares=wide))
    assert ("has grown" in told[0]) == lost
    assert (LEAST_SQUARES if lost else MDN) in told[2].split(" comes nearest")[0]
    assert ("3.0 times as wide" in told[2]) == lost
