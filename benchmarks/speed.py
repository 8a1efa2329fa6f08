"""How fast: each figure beside the usual way of doing it, measured in the same run."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from benchmarks.figure import Figure, median_seconds
from manymodes.distributions import DiagonalNormal, Mixture

N, K = 100_000, 5


def start_up() -> Iterator[Figure]:
    """Time `manymodes --help` beside an empty Python program."""
    commands = {
        "help": [sys.executable, "-m", "manymodes", "--help"],
        "nothing": [sys.executable, "-c", "pass"],
    }
    calls = {name: (lambda c=command: subprocess.run(c, capture_output=True)) for name, command in commands.items()}
    seconds = median_seconds(calls)
    yield Figure("manymodes --help", f"{seconds['help']:.3f} s", f"an empty program {seconds['nothing']:.3f} s")


def log_density() -> Iterator[Figure]:
    """Time log_prob of 5-component mixtures beside torch's mixture and a fused formula."""
    mixture, y = _mixture()
    components = Independent(Normal(mixture.components.loc, mixture.components.scale), 1)
    usual = MixtureSameFamily(Categorical(logits=mixture.logits), components)
    logits, loc, scale = mixture.logits, mixture.components.loc[..., 0], mixture.components.scale[..., 0]

    def fused() -> torch.Tensor:
        z = (y - loc) / scale
        return torch.logsumexp(logits - 0.5 * z * z - scale.log() - 0.5 * math.log(2 * math.pi), -1)

    seconds = median_seconds({"ours": lambda: mixture.log_prob(y), "usual": lambda: usual.log_prob(y), "fused": fused})
    yield _ratio(f"log_prob of {N:,} rows", seconds, "usual", "MixtureSameFamily")
    yield _ratio(f"log_prob of {N:,} rows", seconds, "fused", "a hand-fused logsumexp")


def quantiles() -> Iterator[Figure]:
    """Time quantiles beside the cdf that the search evaluates."""
    mixture, y = _mixture()
    seconds = median_seconds({"ours": lambda: mixture.icdf(0.9), "cdf": lambda: mixture.cdf(y)}, repeats=7)
    yield _rate(f"quantiles of {N:,} 5-component mixtures", seconds, "cdf", "the cdf once")


def regions() -> Iterator[Figure]:
    """Time highest-density regions, of two intervals on average, beside the cdf."""
    mixture, y = _mixture()
    calls = {"ours": lambda: mixture.highest_density_region(0.9), "cdf": lambda: mixture.cdf(y)}
    seconds = median_seconds(calls, repeats=3)
    yield _rate(f"highest-density regions of {N:,} 5-component mixtures", seconds, "cdf", "the cdf once")


def modes() -> Iterator[Figure]:
    """Time all modes, certified and in double precision, beside the density at one point."""
    mixture, y = _mixture(20_000)
    double = mixture.to(torch.float64)
    calls = {"ours": lambda: mixture.modes(), "density": lambda: double.log_prob(y.double())}
    yield _rate(
        "all modes of 20,000 5-component mixtures", median_seconds(calls, repeats=3), "density", "log_prob once"
    )


def _mixture(n: int = N) -> tuple[Mixture, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(n, K, 1, generator=generator)
    scale = torch.rand(n, K, 1, generator=generator) + 0.1
    logits = torch.randn(n, K, generator=generator)
    components = DiagonalNormal(loc, scale, validate_args=False)
    weights = Categorical(logits=logits, validate_args=False)
    return Mixture(weights, components, validate_args=False), torch.randn(n, 1, generator=generator)


def _ratio(name: str, seconds: dict[str, float], other: str, what: str) -> Figure:
    return Figure(name, f"{1e6 * seconds['ours']:,.0f} us", _times(seconds, other, what))


def _rate(name: str, seconds: dict[str, float], other: str, what: str) -> Figure:
    rows = int(name.split(" of ")[1].split()[0].replace(",", ""))
    value = f"{seconds['ours']:.3f} s, {rows / seconds['ours']:,.0f} a second"
    return Figure(name, value, _times(seconds, other, what))


def _times(seconds: dict[str, float], other: str, what: str) -> str:
    return f"{seconds['ours'] / seconds[other]:.2f} times {what}, {1e6 * seconds[other]:,.0f} us"


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (start_up, log_density, quantiles, regions, modes)
