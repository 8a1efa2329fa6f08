"""`python -m benchmarks.peers --python PEERS_PYTHON`: every peer's default beside our fast and default presets.

Three UCI tables on their first three canonical splits, kin8nm on its first, and the inverse sinusoid (500 rows, five
seeds), standardised for all. Each model runs in a process of its own, one after another, warm before its first figure,
on one thread. Writes ``results/peers.json`` and ``results/peers.md``; models that are not asked for keep their figures.
"""

from __future__ import annotations

import argparse
import json
import os
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
from benchmarks.figure import describe_machine
from benchmarks.peers.worker import MODELS

RESULTS = Path(__file__).parents[1] / "results"
WORKER = Path(__file__).parent / "worker.py"
SPLITS = {"concrete": 3, "energy": 3, "yacht": 3, "kin8nm": 1}
SEEDS = range(5)
OURS = "manymodes"

Entry = dict[str, Any]


def main() -> None:
    """Run what was asked for and write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--python", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args()
    file = RESULTS / "peers.json"
    entries: list[Entry] = json.loads(file.read_text()) if file.exists() else []
    entries = [entry for entry in entries if entry["model"] not in options.models]
    with tempfile.TemporaryDirectory() as folder:
        units = {name: _write(Path(folder), name, *rows) for name, rows in problems()}
        for model in options.models:
            python = sys.executable if model.startswith(OURS) else options.python
            for entry in _run(python, model, folder):
                score = entry.pop("log_likelihood")
                entry["nll"] = None if score is None else units[entry["problem"]] - score
                entries.append({"model": model, **entry})
                print(f"{model}: {entry}", flush=True)
            lines = ",\n".join(json.dumps(entry) for entry in entries)
            file.write_text(f"[\n{lines}\n]\n")
            (RESULTS / "peers.md").write_text(_markdown(entries))


def problems() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield names and rows: X, y, X_test, y_test."""
    for table, n_splits in SPLITS.items():
        for split in range(n_splits):
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
    means = _means(entries)
    tables = [*SPLITS, "sinusoid"]
    models = [model for model in MODELS if any(entry["model"] == model for entry in entries)]
    head = "| model | " + " | ".join(tables) + " |\n|---" + "|---" * len(tables) + "|\n"
    rows = [f"| {model} | " + " | ".join(_cell(means, model, table) for table in tables) + " |" for model in models]
    return _HEAD.format(machine=describe_machine()) + head + "\n".join(rows) + "\n"


def _means(entries: list[Entry]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return mean NLL and seconds of each model and table."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry["model"], entry["problem"].rsplit("-", 1)[0]].append(entry)
    return {
        key: (float(np.mean([one["nll"] for one in group])), float(np.mean([one["seconds"] for one in group])))
        for key, group in groups.items()
        if all(one["nll"] is not None for one in group)
    }


def _cell(means: dict[tuple[str, str], tuple[float, float]], model: str, table: str) -> str:
    """Return NLL and seconds, and for ours the gain in nats and the share of the time of the best peer."""
    if (model, table) not in means:
        return "fails"
    nll, seconds = means[model, table]
    peers = [means[key] for key in means if key[1] == table and not key[0].startswith(OURS)]
    text = f"{nll:.3f}, {seconds:.1f} s"
    if model.startswith(OURS) and peers:
        best = min(peers)
        text += f" ({best[0] - nll:+.3f}, {seconds / best[1]:.2f})"
    return text


_HEAD = """Made by `make bench-peers` ({machine}); versions of the peers: `benchmarks/peers/requirements.txt`.

Held-out NLL in the units of the target, lower is better, and seconds of a fit in a warm process on one thread: means
over the first three canonical splits (kin8nm: the first), and over five seeds of the inverse sinusoid with 500 rows. In
brackets: nats gained on the peer with the best score, and the share of its time.

"""


if __name__ == "__main__":
    main()
