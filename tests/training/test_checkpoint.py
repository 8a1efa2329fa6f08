import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

import manymodes as mm
from manymodes._checks import InputError
from manymodes.nn import MixtureDensityNetwork, MixtureHead, Retrieval
from manymodes.nn.members import Members
from manymodes.training import Checkpoint, Interrupted

from .test_loop import data, network, same, weights

OPTIONS = {"max_epochs": 6, "batch_size": 32, "lr": 1e-2, "random_state": 3, "progress": False}


class KilledError(Exception):
    """What ends a fit in the middle."""


def killed_after(n_losses):
    """Return an objective that kills the fit when it is asked once more."""
    asked = 0

    def nll(distribution, y, weight=None):
        nonlocal asked
        asked += 1
        if asked > n_losses:
            raise KilledError
        return mm.objectives.nll(distribution, y, weight)

    nll.__qualname__ = mm.objectives.nll.__qualname__
    return nll


def plain():
    return network(dropout=0.3)


def ensemble():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Dropout(0.2))
        return MixtureDensityNetwork(Members(body, 3), MixtureHead(8, target_dim=1, n_components=2, n_members=3))


def with_statistics():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU())
        return MixtureDensityNetwork(body, MixtureHead(8, target_dim=1, n_components=2))


def with_retrieval():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        retrieval = Retrieval(8, n_rows=200, row_features=1, target_dim=1, n_candidates=50)
        body = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh())
        return MixtureDensityNetwork(body, MixtureHead(8, target_dim=1, n_components=2), retrieval=retrieval)


@pytest.mark.parametrize("make", [plain, ensemble, with_statistics, with_retrieval])
@pytest.mark.parametrize("n_losses", [3, 8, 21])  # in the first epoch, at the judging of it, later
def test_a_fit_that_was_killed_ends_with_the_weights_of_one_that_ran_through(make, n_losses, tmp_path):
    settings = {**OPTIONS, "input_noise": 0.1, "patience": 5}
    through = make()
    expected = mm.fit(through, data(), **settings)
    checkpoint = Checkpoint(tmp_path, seconds=1e-9)  # after every step
    with pytest.raises(KilledError):
        mm.fit(make(), data(), objective=killed_after(n_losses), checkpoint=checkpoint, **settings)
    resumed = make()
    history = mm.fit(resumed, data(), checkpoint=checkpoint, **settings)
    assert same(weights(through), weights(resumed))
    assert history.validation_loss == expected.validation_loss
    assert history.train_loss == expected.train_loss
    assert history.best_epochs == expected.best_epochs
    assert history.findings == expected.findings


def test_a_fit_that_writes_after_epochs_goes_on_from_the_last_one(tmp_path):
    seen = []
    with pytest.raises(KilledError):
        mm.fit(plain(), data(), objective=killed_after(16), checkpoint=Checkpoint(tmp_path, epochs=2), **OPTIONS)
    mm.fit(plain(), data(), checkpoint=tmp_path, callbacks=[lambda history: seen.append(history.n_epochs)], **OPTIONS)
    assert seen == [3, 4, 5, 6]  # six steps and a judgement make an epoch: the third was under way


def test_a_process_that_is_killed_outright_loses_nothing(tmp_path):
    script = textwrap.dedent("""
        import sys, torch, manymodes as mm
        from manymodes.training import Checkpoint
        x = torch.linspace(-1, 1, 300, dtype=torch.float64)[:, None]
        torch.manual_seed(0)
        network = mm.nn.MixtureDensityNetwork(mm.nn.MLP(1, (16,), dropout=.1),
            mm.nn.MixtureHead(16, target_dim=1, n_components=3))
        history = mm.fit(network, (x, x.sin()), max_epochs=int(sys.argv[2]), random_state=0, progress=False,
            checkpoint=Checkpoint(sys.argv[1], seconds=1e-9))
        torch.save([value.clone() for value in network.state_dict().values()], sys.argv[1] + "/weights.pt")
    """)

    def start(folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        return subprocess.Popen([sys.executable, "-c", script, str(tmp_path / folder), "60"])

    first = start("killed")
    while not (tmp_path / "killed" / "fit.checkpoint").exists():
        assert first.poll() is None
        time.sleep(0.01)
    time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.pt").exists()
    assert start("killed").wait() == 0
    assert start("through").wait() == 0
    kept = [torch.load(tmp_path / folder / "weights.pt") for folder in ("killed", "through")]
    assert same(*kept)
    assert sorted(file.name for file in (tmp_path / "killed").iterdir()) == ["fit.checkpoint", "weights.pt"]


def test_a_finished_fit_gives_its_result_at_once(tmp_path):
    first, second = plain(), plain()
    history = mm.fit(first, data(), checkpoint=tmp_path, **OPTIONS)
    again = mm.fit(second, data(), objective=killed_after(0), checkpoint=tmp_path, **OPTIONS)
    assert same(weights(first), weights(second))
    assert again == history
    assert not second.training


def test_a_seed_that_was_drawn_is_kept(tmp_path):
    settings = {**OPTIONS, "random_state": None}
    with pytest.raises(KilledError):
        mm.fit(plain(), data(), objective=killed_after(16), checkpoint=Checkpoint(tmp_path, epochs=1), **settings)
    for copy in ("one", "two"):
        (tmp_path / copy).mkdir()
        (tmp_path / copy / "fit.checkpoint").write_bytes((tmp_path / "fit.checkpoint").read_bytes())
    ends = []
    for copy in ("one", "two"):
        net = plain()
        mm.fit(net, data(), checkpoint=tmp_path / copy, **settings)
        ends.append(weights(net))
    assert same(*ends)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"lr": 2e-2}, "lr was 0.01, and now it is 0.02"),
        ({"random_state": 4}, "random_state was 3, and now it is 4"),
        ({"objective": mm.objectives.crps}, "objective was 'nll', and now it is 'crps'"),
        ({"objective": mm.objectives.named("0.6 nll + 0.4 crps")}, "objective was 'nll', and now it is \"mix("),
        ({"max_epochs": 7}, "max_epochs was 6, and now it is 7"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(change, what, tmp_path):
    mm.fit(plain(), data(), checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(InputError) as caught:
        mm.fit(plain(), data(), checkpoint=tmp_path, **{**OPTIONS, **change})
    told = str(caught.value)
    assert told.startswith(f"checkpoint must name a folder of the same fit; in {str(tmp_path)!r} {what}")
    assert told.endswith(". Name another folder, or delete that one to begin anew.")


def test_a_checkpoint_of_other_rows_or_another_network_is_refused(tmp_path):
    mm.fit(plain(), data(), checkpoint=tmp_path, **OPTIONS)
    x, y = data()
    with pytest.raises(InputError, match=" rows was '"):
        mm.fit(plain(), (x, y + 1e-9), checkpoint=tmp_path, **OPTIONS)
    others = [network(k=4, dropout=0.3), network(dropout=0.2), network(dropout=0.3).double()]
    laplace = network(dropout=0.3)
    laplace.head = MixtureHead(16, target_dim=1, n_components=3, family=mm.distributions.Laplace)
    for other in (*others, laplace):
        with pytest.raises(InputError, match=" network was '"):
            mm.fit(other, (x, y), checkpoint=tmp_path, **OPTIONS)


def test_a_mix_of_other_weights_is_another_objective(tmp_path):
    mm.fit(plain(), data(), objective=mm.objectives.named("0.5 nll + 0.5 crps"), checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(InputError, match="objective was"):
        mm.fit(plain(), data(), objective=mm.objectives.named("0.9 nll + 0.1 crps"), checkpoint=tmp_path, **OPTIONS)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        mm.fit(plain(), data(), objective=killed_after(0), checkpoint=tmp_path / "file", **OPTIONS)
    assert str(caught.value) == f"checkpoint must name a folder to write to; got {str(tmp_path / 'file')!r}."


def test_a_truncated_or_foreign_file_is_refused(tmp_path):
    mm.fit(plain(), data(), checkpoint=tmp_path, **OPTIONS)
    file = tmp_path / "fit.checkpoint"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is not a manymodes checkpoint, or it is damaged"):
        mm.fit(plain(), data(), checkpoint=tmp_path, **OPTIONS)
    X, y = mm.datasets.load_geyser()
    mm.MDNRegressor(2, preset="fast", max_epochs=1).fit(X, y).save(file)
    with pytest.raises(InputError, match="is a safetensors file, but not a manymodes checkpoint"):
        mm.fit(plain(), data(), checkpoint=tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seconds": 0}, "seconds must be a number > 0; got 0."),
        ({"epochs": 0}, "epochs must be an integer >= 1; got 0."),
    ],
)
def test_a_pace_that_never_writes_is_refused(options, sentence, tmp_path):
    with pytest.raises(InputError) as caught:
        Checkpoint(tmp_path, **options)
    assert str(caught.value) == sentence


def test_what_is_no_checkpoint_is_refused():
    with pytest.raises(TypeError, match=r"^checkpoint must be a folder or a training\.Checkpoint; got int\.$"):
        mm.fit(plain(), data(), checkpoint=3, **OPTIONS)


def test_an_interruption_keeps_the_best_weights_so_far(tmp_path):
    net, (x, y) = plain(), data()

    def interrupt(history):
        if history.n_epochs == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        mm.fit(net, (x, y), callbacks=[interrupt], checkpoint=Checkpoint(tmp_path, epochs=1), **OPTIONS)
    history = caught.value.history
    assert history.n_epochs == 3
    assert "when it was interrupted" in history.diagnosis()
    assert history.findings is not None
    assert not net.training
    assert mm.fit(net, (x, y), checkpoint=tmp_path, **OPTIONS).n_epochs == 6


def test_an_interruption_before_the_first_epoch_is_just_that():
    def interrupt(distribution, y, weight):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        mm.fit(plain(), data(), objective=interrupt, **OPTIONS)
    assert not isinstance(caught.value, Interrupted)
