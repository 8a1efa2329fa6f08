"""Rows a second, of training and of prediction, from a thousand to ten million; and what two processes bring."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import manymodes as mm
from benchmarks.figure import Figure
from manymodes.distributions import Mixture

F, K = 8, 5
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
_BATCH, _CHUNK = 256, 10_000  # rows of a step; rows predicted at a time
_AT_LEAST = 200_000  # rows that a figure is taken of
LEVELS = torch.linspace(0.1, 0.9, 9)[:, None, None]

Question = Callable[[Mixture, Tensor], object]
QUESTIONS: Mapping[str, Question] = {
    "the density alone": lambda density, y: density,
    "log_prob": lambda density, y: density.log_prob(y),
    "mean": lambda density, y: density.mean,
    "9 quantiles": lambda density, y: density.icdf(LEVELS),
    "region": lambda density, y: density.highest_density_region(0.9),
}


def training() -> Iterator[Figure]:
    """Train the small network for one pass, or as many as make enough rows; steps are compiled."""
    yield _flat("training, 8-64-64-15, batch 256", {n: _train(n) for n in SIZES})


def prediction() -> Iterator[Figure]:
    """Ask the same network everything, chunk by chunk."""
    network = _network().eval()
    for name, question in QUESTIONS.items():
        yield _flat(f"prediction, {name}", {n: _predict(network, question, n) for n in SIZES})


def processes() -> Iterator[Figure]:
    """Train the default network with batches of 1,024 rows, and a small one to its end, in one process and in two."""
    (alone, loss), (together, other) = (_together(n) for n in (1, 2))
    beside = f"one process {alone:.1f} s: {alone / together:.2f} times as fast, of one thread each"
    yield Figure("80 steps of the default network, batch 1,024, two processes", f"{together:.1f} s", beside)
    yield Figure("best validation NLL of 8-64-64-15, two processes", f"{other:.4f}", f"one process {loss:.4f}")


def _network() -> mm.nn.MixtureDensityNetwork:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(F, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
    return mm.nn.MixtureDensityNetwork(body, mm.nn.MixtureHead(64, target_dim=1, n_components=K))


def _rows(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, F, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1].sin() + 0.1 * x[:, 1:2]


def _train(n: int) -> float:
    """Return seconds a row, validation of 256 rows after every pass and all; the pass that compiles does not count."""
    x, y = _rows(n)
    ends: list[float] = []
    mm.fit(
        _network(),
        (x, y),
        validation=(x[:256], y[:256]),
        batch_size=min(_BATCH, n),
        max_epochs=1 + max(1, _AT_LEAST // n),
        compile=True,
        random_state=0,
        progress=False,
        callbacks=[lambda history: ends.append(time.perf_counter())],
    )
    n_batches = -(-n // _BATCH)
    return (ends[-1] - ends[0]) / (len(ends) - 1) / (n // n_batches * n_batches)


@torch.no_grad()
def _predict(network: mm.nn.MixtureDensityNetwork, question: Question, n: int) -> float:
    """Return seconds a row."""
    x, y = _rows(min(n, _AT_LEAST))
    chunk, total = min(n, _CHUNK), max(n, _AT_LEAST)
    question(network(x[:chunk]), y[:chunk])  # warm
    started = time.perf_counter()
    for first in range(0, total, chunk):
        part = slice(first % len(x), first % len(x) + chunk)
        question(network(x[part]), y[part])
    return (time.perf_counter() - started) / total


def _flat(name: str, seconds: dict[int, float]) -> Figure:
    value = f"{1 / seconds[SIZES[-1]]:,.0f} rows a second at {SIZES[-1]:,} rows"
    costs = ", ".join(f"{n:,}: {1e6 * cost:.2f} us" for n, cost in seconds.items())
    return Figure(
        name,
        value,
        f"cost of a row {costs}; dearest {max(seconds.values()) / min(seconds.values()):.2f} times the cheapest",
    )


_FIT = """
import sys, time, torch, torch.distributed as dist
import manymodes as mm
from benchmarks.rows import _network
from benchmarks.steps import DEFAULT
if sys.argv[1] != "1":
    dist.init_process_group("gloo")
torch.manual_seed(0)
x = torch.randn(20 * 1024, 8)
y = x[:, :1].sin() + 0.2 * torch.randn(len(x), 1)
new = (x[:500], y[:500])
def fit(network, rows, epochs, batch_size):
    settings = {"batch_size": batch_size, "max_epochs": epochs, "random_state": 0, "progress": False}
    return mm.fit(network, (x[500:rows], y[500:rows]), validation=new, **settings)
fit(DEFAULT.network(8), 2000, 1, 1024)
started = time.perf_counter()
fit(DEFAULT.network(8), len(x), 4, 1024)
seconds = time.perf_counter() - started
history = fit(_network(), 4500, 60, 256)
if sys.argv[1] == "1" or dist.get_rank() == 0:
    print(seconds, history.best_validation_loss)
if dist.is_initialized():
    dist.destroy_process_group()
"""


def _together(n: int) -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.py"
        script.write_text(_FIT)
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(n), "--master-port", "0"] if n > 1 else []
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"] if n > 1 else []
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, *launcher, str(script), str(n)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return tuple(float(number) for number in result.stdout.split())


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (training, prediction, processes)
