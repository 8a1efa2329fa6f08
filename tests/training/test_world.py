"""Fits by several processes, started by torchrun as users start them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from manymodes.training.world import World

START = """
import sys
import torch
import torch.distributed as dist
import manymodes as mm
from manymodes.training import Checkpoint, Stream
from manymodes.nn.members import Members
if "RANK" in __import__("os").environ:
    dist.init_process_group("gloo")
rank = dist.get_rank() if dist.is_initialized() else 0
torch.manual_seed(rank)  # every process would begin with other weights
x, y = (torch.tensor(part) for part in mm.datasets.make_inverse_sinusoid(400, random_state=0))
y = y[:, None]

def network(dropout=0.0):
    body = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Dropout(dropout))
    head = mm.nn.MixtureHead(16, target_dim=1, n_components=3, n_members=2)
    return mm.nn.MixtureDensityNetwork(Members(body, 2), head).double()

def fit(net, data, **options):
    return mm.fit(net, data, **{"max_epochs": 5, "batch_size": 90, "random_state": 0, "progress": False, **options})

def leave(net, history):
    state = {name: value for name, value in net.state_dict().items()}
    torch.save((state, history.to_dict()), f"{sys.argv[1]}/{rank}.pt")
"""


def start(folder: Path, script: str, processes: int, *arguments: str) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    file = folder / "script.py"
    file.write_text(START + textwrap.dedent(script))
    launcher = [] if processes == 1 else ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    if processes > 1:
        launcher += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return subprocess.run(
        [sys.executable, *launcher, str(file), str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )


def left(folder: Path, rank: int = 0):
    return torch.load(folder / f"{rank}.pt")


def test_two_processes_take_the_steps_of_one(tmp_path):
    script = """
    torch.manual_seed(0)
    net = network()
    leave(net, fit(net, (x, y)))
    """
    for processes in (1, 2):
        result = start(tmp_path / str(processes), script, processes)
        assert result.returncode == 0, result.stderr
    (alone, told), (first, together) = left(tmp_path / "1"), left(tmp_path / "2")
    second, _ = left(tmp_path / "2", 1)
    assert told["max_epochs"] * -(-told["n_train"] // 90) == 20  # steps
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-9, atol=1e-11)
        assert torch.equal(first[name], second[name])
    assert together["validation_loss"] == pytest.approx(told["validation_loss"], rel=1e-9)


def test_with_dropout_streams_and_time_limits_two_processes_end_alike(tmp_path):
    script = """
    net = network(dropout=0.2)
    blocks = list(zip(x.split(50), y.split(50)))
    history = fit(net, Stream(blocks, buffer_rows=100), max_epochs=60, time_limit=60, input_noise=0.05, lr=1e-2)
    leave(net, history)
    """
    for processes in (1, 2):
        result = start(tmp_path / str(processes), script, processes)
        assert result.returncode == 0, result.stderr
    (_, told), (first, together), (second, _) = left(tmp_path / "1"), left(tmp_path / "2"), left(tmp_path / "2", 1)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    best = [min(one["validation_loss"]) for one in (told, together)]
    assert best[1] == pytest.approx(best[0], abs=0.1)  # of other batches, on 40 rows


def test_two_processes_go_on_from_a_checkpoint_bit_for_bit(tmp_path):
    script = """
    from manymodes.training import Checkpoint
    net, asked = network(dropout=0.2), 0

    def nll(distribution, y, weight=None):
        global asked
        asked += 1
        if asked > 9 and sys.argv[2] == "killed":
            raise SystemExit(3)
        return mm.objectives.nll(distribution, y, weight)

    checkpoint = None if sys.argv[2] == "through" else Checkpoint(sys.argv[1], seconds=1e-9)
    leave(net, fit(net, (x, y), objective=nll, checkpoint=checkpoint))
    """
    assert start(tmp_path / "a", script, 2, "through").returncode == 0
    assert start(tmp_path / "b", script, 2, "killed").returncode != 0
    assert start(tmp_path / "b", script, 2, "resumed").returncode == 0
    through, resumed = left(tmp_path / "a")[0], left(tmp_path / "b")[0]
    assert all(torch.equal(value, resumed[name]) for name, value in through.items())


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (
            "fit(network(), (x[: 400 - rank], y[: 400 - rank]))",
            "the number of rows in data must be the same in all processes; got 400 in process 0 and 399 in process 1. "
            "Hand the same data and settings to all.",
        ),
        (
            "fit(network(), (x, y), max_epochs=5 + rank)",
            "epochs must be the same in all processes; got 5 in process 0 and 6 in process 1.",
        ),
        ("fit(network(), (x, y), batch_size=3)", "batch_size must be at least 2 for each of 2 processes; got 3."),
    ],
)
def test_processes_that_differ_are_refused(tmp_path, script, sentence):
    result = start(tmp_path / "world", script, 2)
    assert result.returncode != 0
    assert sentence in result.stderr


def test_the_failure_of_one_process_ends_all(tmp_path):
    script = """
    def nll(distribution, y, weight=None):
        if rank == 1:
            raise RuntimeError("the disk of process 1 is full")
        return mm.objectives.nll(distribution, y, weight)

    fit(network(), (x, y), objective=nll)
    """
    result = start(tmp_path / "world", script, 2)
    assert result.returncode != 0
    assert "the disk of process 1 is full" in result.stderr


def test_one_process_is_a_world_of_its_own():
    world = World.current()
    assert (world.rank, world.size, world.is_alone, world.is_first) == (0, 1, True, True)
    value = torch.arange(3.0)
    world.average([value], 5)
    world.spread([value])
    world.check_same({"anything": 1})
    assert torch.equal(world.share(value), torch.arange(3.0))
    assert world.agreed("mine") == "mine"
