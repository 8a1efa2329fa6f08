import numpy as np
import pytest
import torch

from manymodes.estimators.forecasting.fitting import _origins, _partition
from manymodes.estimators.forecasting.reading import read_panel
from manymodes.estimators.forecasting.series import Columns
from manymodes.estimators.forecasting.windows import Level, View, inputs_of, past_of, targets_of, units_of

from .small import small, walk

COLUMNS = Columns("unique_id", "ds", ("y",))


def seen(series, view, over, exogenous=None):
    """Return what a network sees of an array at some origins, and the targets there."""
    panel = read_panel(series, exogenous, COLUMNS)
    origins = [(0, np.array(over))]
    past = past_of(panel, origins, {0: Level.of(panel.series[0].values[:10])}, view)
    return past, inputs_of(past, units_of(past, view), view), targets_of(panel, origins, view.horizon)


def test_a_window_ends_before_its_origin_and_targets_begin_with_it():
    past, _, targets = seen(np.arange(40.0), View(3, 2), [10, 20])
    assert past.values[:, :, 0].tolist() == [[7, 8, 9], [17, 18, 19]]
    assert targets[:, :, 0].tolist() == [[10, 11], [20, 21]]


@pytest.mark.parametrize("scaling", ["series", "window"])
def test_nothing_from_the_origin_on_is_seen(scaling):
    series, known = walk(40), walk(40, 1)[:, None]
    changed = np.where(np.arange(40) < 20, series, 99.0)
    view = View(5, 4, scaling=scaling)
    one, other = (seen(values, view, [12, 20], known)[1] for values in (series, changed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_last_known_value_is_nothing_and_the_units_of_a_window_do_not_matter():
    series = walk(40)
    series[19] = np.nan
    view = View(6, 2, has_gaps=True)
    one, other = (seen(values, view, [20])[1] for values in (series, 5 - 0.0 + 8 * series))
    for name in one:
        torch.testing.assert_close(one[name], other[name])
    steps = one["steps"][0]
    assert steps[4].tolist() == [0.0, 0.0]  # the last known value
    assert steps[5].tolist() == [0.0, 1.0]  # and the missing one after it


@pytest.mark.parametrize("lengths", [[200], [120, 40, 12]])
def test_no_member_learns_from_a_step_that_it_is_judged_on(lengths):
    panel = read_panel([walk(length, seed) for seed, length in enumerate(lengths)], None, COLUMNS)
    settings, view = small(n_members=3)._settings(), View(6, 4)
    origins = _origins(panel, view, 10_000)
    partition = _partition(panel, origins, view, settings)
    steps = np.concatenate([1000 * number + over for number, over in origins])[:, None] + np.arange(4)
    everywhere = set()
    for learns, held_out in zip(partition.learns, partition.held_out, strict=True):
        learned = set(steps[learns].flatten().tolist())
        assert not learned & set(steps[held_out].flatten().tolist())
        everywhere |= learned
    assert everywhere == set(steps.flatten().tolist())


def test_the_first_member_is_judged_on_the_end_and_the_others_before_it():
    panel = read_panel(walk(206), None, COLUMNS)
    partition = _partition(panel, _origins(panel, View(6, 4), 10_000), View(6, 4), small()._settings())
    held_out = partition.held_out + 6  # as steps that are over
    assert held_out.aminmax(dim=1).min.tolist() == [186, 96]
    assert held_out.aminmax(dim=1).max.tolist() == [202, 112]


def test_series_that_are_just_long_enough_leave_something_to_learn_from():
    model = small(n_members=4, n_steps=1).fit(walk(14))
    assert (model.history_.n_train, model.history_.n_validation) == (1, 1)
