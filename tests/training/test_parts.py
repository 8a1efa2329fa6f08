import pytest
import torch

from manymodes._checks import InputError
from manymodes.training import History
from manymodes.training.files import write_atomically
from manymodes.training.randomness import isolated
from manymodes.training.schedule import default_batch_size, default_max_epochs, warm_up_and_decay


def test_the_learning_rate_rises_and_then_falls_to_nothing():
    factors = [warm_up_and_decay(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == sorted(factors[:10])
    assert max(factors) == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 <= factors[-1] < 0.001


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_the_shortest_schedules_take_a_step(n_steps):
    assert all(0 < warm_up_and_decay(step, n_steps, 0.1) <= 1 for step in range(1))


@pytest.mark.parametrize(("rows", "batch"), [(1, 16), (100, 16), (1000, 128), (10_000, 512), (10**7, 512)])
def test_batches_grow_with_the_table(rows, batch):
    assert default_batch_size(rows) == batch


def test_epochs_make_some_three_thousand_steps_within_bounds():
    assert [default_max_epochs(n) for n in (1, 8, 1000)] == [400, 375, 20]


def test_a_history_survives_json_and_refuses_what_it_does_not_know():
    history = History(train_loss=[2.0, 1.0], validation_loss=[2.5, 1.5], best_epoch=1, max_epochs=5)
    assert History.from_dict(history.to_dict()) == history
    assert history.stopped_early
    assert history.best_validation_loss == 1.5
    assert repr(history) == "History(n_epochs=2, best_epoch=1, best_validation_loss=1.5, skipped_batches=0)"
    with pytest.raises(InputError, match="a history has no 'mood'"):
        History.from_dict({"mood": "good"})


def test_isolated_randomness_is_reproducible_and_leaves_no_trace():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated(7) as generator:
            draws.append((torch.rand(2).tolist(), torch.rand(2, generator=generator).tolist()))
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][1]
    assert torch.equal(torch.get_rng_state(), before)


def test_no_seed_means_a_fresh_one():
    with isolated(None) as first, isolated(None) as second:
        assert torch.rand(3, generator=first).tolist() != torch.rand(3, generator=second).tolist()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "model.mm"
    write_atomically(target, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["model.mm"]
    assert target.read_bytes() == b"old"


def test_a_written_file_is_readable_as_the_umask_says(tmp_path):
    write_atomically(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
