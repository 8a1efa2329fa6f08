"""`python -m benchmarks.peers --python PEERS_PYTHON`: every peer's default beside our fast and default presets.

Three UCI tables and kin8nm on their first three canonical splits, and the inverse sinusoid (500 rows, five seeds),
standardised for all. Each model runs in a process of its own, one after another, warm before its first figure, on one
thread. Writes ``results/peers.json`` and ``results/peers.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import uci_rows
from benchmarks.accuracy import narrow_sinusoid
from benchmarks.peers.worker import MODELS

RESULTS = Path(__file__).parents[1] / "results"
WORKER = Path(__file__).parent / "worker.py"
TABLES = ("concrete", "energy", "yacht", "kin8nm")
SPLITS, SEEDS = range(3), range(5)
OURS = "manymodes"

Entry = dict[str, Any]


def main() -> None:
    """Run what was asked for and write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--python", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args()
    file = RESULTS / "peers.json"
    entries = [entry for entry in _read(file) if entry["model"] not in options.models]
    with tempfile.TemporaryDirectory() as folder:
        units = {name: _write(Path(folder), name, *rows) for name, rows in problems()}
        for model in options.models:
            python = sys.executable if model.startswith(OURS) else options.python
            for entry in _run(python, model, folder):
                entry["nll"] = units[entry["problem"]] - entry.pop("log_likelihood")
                entries.append({"model": model, **entry})
                print(f"{model}, {entry['problem']}: NLL {entry['nll']:.3f}, {entry['seconds']:.1f} s", flush=True)
    file.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
    (RESULTS / "peers.md").write_text(_markdown(entries))


def problems() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield names and rows: X, y, X_test, y_test."""
    for table in TABLES:
        for split in SPLITS:
            yield f"{table}-{split}", uci_rows.part(table, split)
    for seed in SEEDS:
        yield f"sinusoid-{seed}", (*narrow_sinusoid(500, seed), *narrow_sinusoid(500, 1000 + seed))


def _write(folder: Path, name: str, X: Any, y: Any, X_test: Any, y_test: Any) -> float:
    """Write a problem, standardised; return log of the standard deviation of y."""
    loc, scale = X.mean(0), X.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    middle, unit = y.mean(), y.std()
    np.savez(
        folder / f"{name}.npz",
        X=(X - loc) / scale,
        y=(y - middle) / unit,
        X_test=(X_test - loc) / scale,
        y_test=(y_test - middle) / unit,
    )
    return float(np.log(unit))


def _run(python: str, model: str, folder: str) -> Iterator[Entry]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    command = [python, str(WORKER), model, folder]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("RESULT "):
                yield json.loads(line.removeprefix("RESULT "))
        errors = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise RuntimeError(f"{model} failed: {errors[-2000:]}")


def _markdown(entries: list[Entry]) -> str:
    means: dict[tuple[str, str], tuple[float, float]] = {}
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry["model"], entry["problem"].rsplit("-", 1)[0]].append(entry)
    for key, group in groups.items():
        means[key] = tuple(float(np.mean([entry[score] for entry in group])) for score in ("nll", "seconds"))  # type: ignore[assignment]
    tables = [*TABLES, "sinusoid"]
    models = [model for model in MODELS if any(model == known for known, _ in means)]
    head = "| model | " + " | ".join(tables) + " |\n|---" * 1 + "|---" * len(tables) + "|\n"
    rows = [
        f"| {model} | " + " | ".join("{:.3f}, {:.1f} s".format(*means[model, table]) for table in tables) + " |"
        for model in models
    ]
    where = f"{platform.machine()}, one thread, python {platform.python_version()}"
    return (
        f"Made by `make bench-peers` ({where}); versions of the peers: `benchmarks/peers/requirements.txt`.\n\n"
        "Held-out NLL in the units of the target, lower is better, and seconds of a fit in a warm process: means over\n"
        "the first three canonical splits, and over five seeds of the inverse sinusoid with 500 rows.\n\n"
        + head
        + "\n".join(rows)
        + "\n"
    )


def _read(file: Path) -> list[Entry]:
    return json.loads(file.read_text()) if file.exists() else []


if __name__ == "__main__":
    main()
