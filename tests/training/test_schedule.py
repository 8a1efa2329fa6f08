import pytest

from manymodes.training.schedule import WarmUpAndDecay, default_batch_size, default_max_epochs


def test_the_learning_rate_rises_and_then_falls_to_nothing():
    factors = list(map(WarmUpAndDecay(1.0, 0.1, 100), range(100)))
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 <= factors[-1] < 0.001


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_the_shortest_schedules_take_a_step(n_steps):
    assert 0 < WarmUpAndDecay(1.0, 0.1, n_steps)(0) <= 1


@pytest.mark.parametrize(("rows", "batch"), [(1, 16), (100, 16), (1000, 128), (10_000, 512), (10**7, 512)])
def test_batches_grow_with_the_table(rows, batch):
    assert default_batch_size(rows) == batch


def test_epochs_make_some_three_thousand_steps_within_bounds():
    assert [default_max_epochs(n) for n in (1, 8, 1000)] == [400, 375, 20]
