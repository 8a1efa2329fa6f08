"""How much memory it takes: 20 million rows streamed from Parquet files, and a million rows predicted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure

N_ROWS, N_FILES, F = 20_000_000, 20, 8

# Linux's own record: what getrusage tells counts what the parent process had, too.
PEAK = """
from pathlib import Path
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20
"""
_STREAM = (
    PEAK
    + """
import sys, time, torch
import manymodes as mm
from manymodes.training import ParquetStream
body = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU())
network = mm.nn.MixtureDensityNetwork(body, mm.nn.MixtureHead(64, target_dim=1, n_components=5))
started = time.perf_counter()
before = peak()
mm.fit(network, ParquetStream(sys.argv[1], ["y"]), max_epochs=1, batch_size=4096, random_state=0, progress=False)
print(peak(), time.perf_counter() - started, before)
"""
)
_PREDICT = (
    PEAK
    + """
import sys, time
import numpy as np
import manymodes as mm
rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 8))
model = mm.MDNRegressor(preset="fast", random_state=0).fit(X, X[:, 0] + 0.1 * rng.normal(size=1000))
X = rng.normal(size=(1_000_000, 8))
before, started = peak(), time.perf_counter()
getattr(model, sys.argv[1])(X)
print(peak(), time.perf_counter() - started, before)
"""
)


def streaming() -> Iterator[Figure]:
    """Fit one pass of 20 million rows of 9 columns, in 20 files."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder))
        peak, seconds, before = _run(_STREAM, folder)
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**30
    rate = f"{2 * N_ROWS / seconds:,.0f} rows a second in two passes"
    beside = f"{before:.2f} GiB before it; the files have {size:.2f} GiB; {rate}"
    yield Figure("peak memory of a fit that streams 20,000,000 rows", f"{peak:.2f} GiB", beside)


def predictions() -> Iterator[Figure]:
    """Predict a million rows with the fast preset."""
    for method in ("predict", "predict_quantiles"):
        peak, seconds, before = _run(_PREDICT, method)
        beside = f"{before:.2f} GiB before it, the rows among them; {1_000_000 / seconds:,.0f} rows a second"
        yield Figure(f"peak memory of {method} for 1,000,000 rows, fast preset", f"{peak:.2f} GiB", beside)


def _write(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    for number in range(N_FILES):
        columns = {f"x{f}": rng.normal(size=N_ROWS // N_FILES).astype(np.float32) for f in range(F)}
        columns["y"] = np.sin(columns["x0"]) + columns["x1"] / 10
        parquet.write_table(pa.table(columns), folder / f"{number:02d}.parquet", row_group_size=100_000)


def _run(script: str, argument: str) -> list[float]:
    result = subprocess.run([sys.executable, "-c", script, argument], capture_output=True, text=True, check=True)
    return [float(number) for number in result.stdout.split()]


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (streaming, predictions)
