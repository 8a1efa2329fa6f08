import json

import pytest

from manymodes._checks import InputError
from manymodes.training import History
from manymodes.training.findings import Findings


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


def test_a_record_of_an_old_version_is_read_without_findings():
    record = History(train_loss=[2.0], validation_loss=[2.5], best_epochs=[0], best_losses=[2.5]).to_dict()
    old = {name: value for name, value in record.items() if name not in ("ended_by", "findings")}
    history = History.from_dict(old)
    assert history.findings is None
    assert history.ended_by == ""
    assert "kept the weights of epoch 1" in history.diagnosis()


def test_findings_survive_json():
    findings = Findings(5, 1.5, 0.0, 1e-3, 0.25, (3, 8), -0.5, None)
    history = History(train_loss=[2.0], validation_loss=[2.5], ended_by="patience", findings=findings)
    assert repr(History.from_dict(json.loads(json.dumps(history.to_dict()))).findings) == repr(findings)
