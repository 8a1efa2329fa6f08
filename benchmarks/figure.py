"""One measured figure and what it is compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


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
