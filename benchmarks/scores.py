"""What the heavy scores cost: seconds and memory, beside the usual ways of doing it on a part of the rows."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.figure import Figure
from benchmarks.memory import PEAK

N_ROWS, K, N_JOINT_ROWS = 1_000_000, 40, 100_000

_MAKE = (
    PEAK
    + """
import sys, time
import torch
from torch.distributions import Categorical
from manymodes import metrics
from manymodes.distributions import DiagonalNormal, Mixture, StudentT

def make(n, k, d, heavy=False):
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(n, k, d, generator=generator)
    scale = torch.rand(n, k, d, generator=generator) + 0.1
    parts = StudentT(torch.full((n, k, d), 4.0), loc, scale) if heavy else DiagonalNormal(loc, scale)
    return Mixture(Categorical(torch.rand(n, k, generator=generator)), parts), torch.randn(n, d, generator=generator)

def timed(call):
    started = time.perf_counter()
    with torch.no_grad():
        call()
    return time.perf_counter() - started

n, k = int(sys.argv[1]), int(sys.argv[2])
"""
)
_CRPS = (
    _MAKE
    + """
import scoringrules
mixture, y = make(n, k, 1)
mixture.logits
timed(lambda: metrics.crps(mixture[:1000], y[:1000]))
before = peak()
seconds = timed(lambda: metrics.crps(mixture, y))
after, part = peak(), n // 100
some, w = mixture[:part], mixture[:part].weights
m, s, z = some.components.loc[..., 0], some.components.scale[..., 0], y[:part]

def folded(a, v):
    root = v.sqrt()
    return 2 * root * (-0.5 * a * a / v).exp() / (2 * torch.pi) ** 0.5 + a * torch.erf(a / root / 2**0.5)

def all_pairs():
    pairs = folded(m[:, :, None] - m[:, None], s.square()[:, :, None] + s.square()[:, None])
    return (w * folded(z - m, s.square())).sum(-1) - 0.5 * (w[:, :, None] * w[:, None] * pairs).sum((-1, -2))

naive = timed(all_pairs) * n / part
own = [value.numpy() for value in (z[:, 0], m, s, w)]
library = timed(lambda: scoringrules.crps_mixnorm(*own)) * n / part
print(seconds, before, after, naive, library)
"""
)
_ENERGY = (
    _MAKE
    + """
import scoringrules
mixture, y = make(n, k, 3)
mixture.logits
before = peak()
seconds = timed(lambda: metrics.energy_score(mixture, y))
after, part = peak(), n // 100
samples = mixture[:part].sample((200,)).movedim(0, 1).numpy()
library = timed(lambda: scoringrules.es_ensemble(y[:part].numpy(), samples, backend="numpy")) * n / part
print(seconds, before, after, library)
"""
)
_HEAVY = (
    _MAKE
    + """
mixture, y = make(n, k, 1, heavy=True)
mixture.logits
before = peak()
seconds = timed(lambda: metrics.crps(mixture, y))
after = peak()
cdf = timed(lambda: mixture.cdf(y))
print(seconds, before, after, cdf)
"""
)


def crps() -> Iterator[Figure]:
    """Score a million rows of 40 pooled normals, which is exact."""
    seconds, before, after, naive, library = _run(_CRPS, N_ROWS, K)
    beside = f"a sum over all pairs {naive:.0f} s and scoringrules {library:.0f} s, by a part of the rows"
    name = f"CRPS of {N_ROWS:,} rows with {K} pooled normals"
    yield Figure(name, f"{seconds:.1f} s", f"{seconds / naive:.2f} and {seconds / library:.2f} times {beside}")
    yield Figure(f"peak memory of that {name}", f"{after:.2f} GiB", _before(before, after, N_ROWS * K**2 * 4))


def energy() -> Iterator[Figure]:
    """Score the joint density of three targets, from 200 samples a row."""
    seconds, before, after, library = _run(_ENERGY, N_JOINT_ROWS, 5)
    name = f"energy score of {N_JOINT_ROWS:,} rows, 5 normals in 3 dimensions"
    beside = f"{seconds / library:.3f} times scoringrules' on all pairs of as many samples, {library:.0f} s by a part"
    yield Figure(name, f"{seconds:.1f} s", beside)
    yield Figure(f"peak memory of that {name}", f"{after:.2f} GiB", _before(before, after, N_JOINT_ROWS * 200 * 3 * 4))


def other_families() -> Iterator[Figure]:
    """Score heavy tails, whose CRPS is integrated."""
    n_rows, n_components = 2_000, 5
    seconds, before, after, cdf = _run(_HEAVY, n_rows, n_components)
    name = f"CRPS of {n_rows:,} rows with {n_components} Student t components"
    yield Figure(name, f"{seconds:.2f} s", f"{seconds / cdf:.0f} times the cdf once; peak {_before(before, after)}")


def _before(before: float, after: float, n_bytes: float = math.nan) -> str:
    text = f"{after / before:.2f} times the {before:.2f} GiB before it, the predictions among them"
    return text if math.isnan(n_bytes) else f"{text}; the whole at once would take {n_bytes / 2**30:.1f} GiB"


def _run(script: str, *arguments: int) -> list[float]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(number) for number in result.stdout.split()]


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (crps, energy, other_families)
