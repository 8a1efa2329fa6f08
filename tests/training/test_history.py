import pytest

from manymodes._checks import InputError
from manymodes.training import History


def test_a_history_survives_json_and_refuses_what_it_does_not_know():
    history = History(train_loss=[2.0, 1.0], validation_loss=[2.5, 1.5], best_epoch=1, max_epochs=5)
    assert History.from_dict(history.to_dict()) == history
    assert history.stopped_early
    assert history.best_validation_loss == 1.5
    assert repr(history) == "History(n_epochs=2, best_epoch=1, best_validation_loss=1.5, skipped_batches=0)"
    with pytest.raises(InputError, match="a history has no 'mood'"):
        History.from_dict({"mood": "good"})
