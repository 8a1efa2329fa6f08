import pytest

from manymodes.training.schedule import (
    Pace,
    WarmUpAndDecay,
    default_batch_size,
    default_max_epochs,
    dropout_level,
)


def test_the_learning_rate_rises_and_then_falls_to_nothing():
    pace = Pace(100, None)
    factors = [WarmUpAndDecay(1.0, 0.1)(pace.advance()) for _ in range(100)]
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) > 0.99
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 <= factors[-1] < 0.001


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_the_shortest_schedules_take_a_step(n_steps):
    pace = Pace(n_steps, None)
    assert all(0 < WarmUpAndDecay(1.0, 0.1)(pace.advance()) <= 1 for _ in range(n_steps))


def test_a_time_limit_lets_the_learning_rate_fall_with_the_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(1000, 20.0)
    assert pace.advance() == 0.0005
    now[0] = 110.0
    assert pace.advance() == 0.5
    assert not pace.is_over
    now[0] = 121.0
    assert pace.advance() == 1.0
    assert pace.is_over


@pytest.mark.parametrize(("rows", "batch"), [(1, 16), (100, 16), (1000, 128), (10_000, 512), (10**7, 512)])
def test_batches_grow_with_the_table(rows, batch):
    assert default_batch_size(rows) == batch


def test_epochs_make_some_three_thousand_steps_within_bounds():
    assert [default_max_epochs(n) for n in (1, 8, 1000)] == [400, 375, 20]


def test_a_least_number_of_epochs_holds_with_and_without_a_number_of_steps():
    assert default_max_epochs(1, None, 1000) == 1000
    assert default_max_epochs(100, 100, 7) == 7


def test_dropout_is_full_at_first_and_gone_after_three_tenths_of_a_fit():
    levels = [dropout_level(progress / 100) for progress in range(101)]
    assert levels[0] == 1
    assert levels == sorted(levels, reverse=True)
    assert levels[29] > 0
    assert levels[30:] == [0.0] * 71
