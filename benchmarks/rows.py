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
_CHUNK, _AT_LEAST = 10_000, 100_000  # rows predicted at a time; rows that a figure is taken of, at least
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
    _train(SIZES[0])  # compile
    yield _flat("training, 8-64-64-15, batch 256", {n: _train(n) for n in SIZES})


def prediction() -> Iterator[Figure]:
    """Ask the same network everything, chunk by chunk."""
    network = _network().eval()
    for name, question in QUESTIONS.items():
        yield _flat(f"prediction, {name}", {n: _predict(network, question, n) for n in SIZES})


def processes() -> Iterator[Figure]:
    """Train eight members of 256 x 3 with batches of 1,024 rows each, in one process and in two of one thread each."""
    seconds = {n: _together(n) for n in (1, 2)}
    beside = f"one process {seconds[1]:.1f} s; {seconds[1] / seconds[2]:.2f} times as fast"
    yield Figure("60 steps of the default network, batch 1,024, two processes", f"{seconds[2]:.1f} s", beside)


def _network() -> mm.nn.MixtureDensityNetwork:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(F, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
    return mm.nn.MixtureDensityNetwork(body, mm.nn.MixtureHead(64, target_dim=1, n_components=K))


def _rows(n: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, F, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1].sin() + 0.1 * x[:, 1:2]


def _train(n: int) -> float:
    """Return seconds a row, without what a fit takes that has one step."""
    x, y = _rows(n)
    passes = max(1, _AT_LEAST // n)
    seconds = []
    for max_epochs in (1, 1 + passes):
        network = _network()
        started = time.perf_counter()
        mm.fit(
            network,
            (x, y),
            validation=(x[:256], y[:256]),
            batch_size=256,
            max_epochs=max_epochs,
            compile=True,
            random_state=0,
            progress=False,
        )
        seconds.append(time.perf_counter() - started)
    return (seconds[1] - seconds[0]) / passes / n


@torch.no_grad()
def _predict(network: mm.nn.MixtureDensityNetwork, question: Question, n: int) -> float:
    """Return seconds a row."""
    x, y = _rows(min(n, _AT_LEAST))
    chunk, total = min(n, _CHUNK), max(n, _AT_LEAST)
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
from benchmarks.steps import DEFAULT
if sys.argv[1] != "1":
    dist.init_process_group("gloo")
torch.manual_seed(0)
x = torch.randn(1024 * 20, 8)
y = x[:, :1].sin()
def fit(epochs):
    network = DEFAULT.network(8)
    settings = {"batch_size": 1024, "max_epochs": epochs, "random_state": 0, "progress": False}
    mm.fit(network, (x, y), validation=(x[:64], y[:64]), **settings)
fit(1)
started = time.perf_counter()
fit(3)
if sys.argv[1] == "1" or dist.get_rank() == 0:
    print(time.perf_counter() - started)
if dist.is_initialized():
    dist.destroy_process_group()
"""


def _together(n: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.py"
        script.write_text(_FIT)
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(n), "--master-port", "0"] if n > 1 else []
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"] if n > 1 else []
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, *launcher, str(script), str(n)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(result.stdout.split()[-1])


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (training, prediction, processes)
