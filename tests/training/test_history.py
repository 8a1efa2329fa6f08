import pytest

from manymodes._checks import InputError
from manymodes.training import History


def test_a_history_survives_json_and_refuses_what_it_does_not_know():
    history = History(
        train_loss=[2.0, 1.0], validation_loss=[2.5, 1.5], best_epochs=[1], best_losses=[1.5], max_epochs=5
    )
    assert History.from_dict(history.to_dict()) == history
    assert history.stopped_early
    assert history.best_validation_loss == 1.5
    assert repr(history) == "History(n_epochs=2, best_epoch=1, best_validation_loss=1.5, skipped_batches=0)"
    with pytest.raises(InputError, match="a history has no 'mood'"):
        History.from_dict({"mood": "good"})


def test_the_best_epoch_of_several_members_is_the_middle_one():
    history = History(best_epochs=[9, 2, 5, 7], best_losses=[1.0, 2.0, 3.0, 6.0])
    assert history.n_members == 4
    assert history.best_epoch == 5
    assert history.best_validation_loss == 3.0
