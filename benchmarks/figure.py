"""One measured figure and what it is compared with."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from manymodes.training.execution import is_native


@dataclass(frozen=True)
class Figure:
    """A figure as it is printed: its name, its value, and the reference measured in the same run."""

    name: str
    value: str
    reference: str

    def line(self) -> str:
        """Return the figure in one line."""
        return f"{self.name}: {self.value} ({self.reference})"

    def to_dict(self) -> dict[str, str]:
        """Return the figure as plain strings."""
        return asdict(self)


def median_seconds(calls: dict[str, Callable[[], object]], repeats: int = 15) -> dict[str, float]:
    """Time several calls in turn, A B A B ..., and return the median of each; machines drift, ratios less."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # warm up
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def describe_machine() -> str:
    """Return processor, threads and versions in one line."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    lower = "with bfloat16" if is_native(torch.device("cpu")) else "without bfloat16"
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{model}, {lower}, {threads}, python {platform.python_version()}, torch {torch.__version__}"
