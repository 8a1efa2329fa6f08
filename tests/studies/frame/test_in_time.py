import numpy as np
import pytest

from manymodes.studies.frame.in_time import block_rows, held_out, random_rows, stretch_rows


def test_rows_drawn_at_random_are_the_share_that_was_asked_for():
    assert random_rows(100, 0.2, seed=0).sum() == 20
    assert (random_rows(100, 0.2, seed=0) != random_rows(100, 0.2, seed=1)).any()


def test_blocks_are_held_out_whole():
    rows = block_rows(200, 0.2, seed=3, size=20)
    assert rows.sum() == 40
    assert set(rows.reshape(-1, 20).mean(1)) == {0.0, 1.0}


def test_a_last_block_that_is_short_is_a_block():
    assert len(block_rows(205, 0.2, seed=0, size=20)) == 205


def test_stretches_judge_every_row_once_and_come_round():
    assert (sum(stretch_rows(13, 5, number).astype(int) for number in range(5)) == 1).all()
    np.testing.assert_array_equal(stretch_rows(13, 5, 7), stretch_rows(13, 5, 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_row_both_teaches_and_judges(seed):
    y = np.arange(50.0)
    part = held_out(y[:, None], y, stretch_rows(50, 5, seed), seed)
    assert sorted([*part.y, *part.y_test]) == list(y)
    np.testing.assert_array_equal(part.X_test[:, 0], part.y_test)
    assert list(part.y_test) != sorted(part.y_test)
