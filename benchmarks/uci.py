"""`python -m benchmarks.uci`: the canonical splits of the seven UCI tables, with one default; resumable.

Each split of each table is one entry of ``results/uci/MODEL/TABLE.json``; what is there already is not run again. Two
processes work side by side, on one thread each; seconds are those of a fit under these conditions. Afterwards
``results/uci.md`` is written from all entries.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import manymodes as mm
from benchmarks import uci_rows, uci_seconds, uci_table
from benchmarks.models import MODELS
from manymodes.distributions import Incomplete
from manymodes.estimators.targets.facts import inspect_target

RESULTS = Path(__file__).parent / "results" / "uci"

Job = tuple[str, str, int]  # model, table, split


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.uci", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["default"], choices=list(MODELS))
    parser.add_argument("--tables", nargs="+", default=list(uci_rows.TABLES), choices=list(uci_rows.TABLES))
    parser.add_argument("--splits", type=int, default=None, help="only the first so many splits")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    jobs = list(_missing(options.models, options.tables, options.splits))
    started, source = time.monotonic(), _source()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for number, entry in enumerate(pool.imap_unordered(run, jobs), start=1):
            _keep(entry | {"source": source})
            print(f"[{number}/{len(jobs)}, {time.monotonic() - started:.0f} s] {_line(entry)}", flush=True)
    (RESULTS.parent / "uci.md").write_text(uci_table.markdown(_entries(), uci_seconds.read()))


def run(job: Job) -> dict[str, Any]:
    """Fit a model to one split and score its test rows."""
    torch.set_num_threads(1)
    name, table, split = job
    X, y, X_test, y_test = uci_rows.part(table, split)
    started = time.perf_counter()
    model = MODELS[name](split).fit(X, y)
    seconds = time.perf_counter() - started
    parts = [model.predict_distribution(rows) for rows in np.array_split(X_test, math.ceil(len(X_test) / 1000))]
    return {"model": name, "table": table, "split": split, "seconds": seconds} | _scores(parts, y, y_test)


def _scores(parts: list[mm.distributions.Mixture], y_train: np.ndarray, y_test: np.ndarray) -> dict[str, Any]:
    """Return the scores of predictions, in parts of the test rows: of all, and apart by whether the target is new."""
    targets = [torch.from_numpy(part)[:, None] for part in np.array_split(y_test, len(parts))]
    pairs = list(zip(parts, targets, strict=True))
    nll = torch.cat([mm.metrics.log_score(density, y) for density, y in pairs])
    seen = torch.from_numpy(np.isin(y_test, y_train))
    square = torch.cat([(density.mean - y).square().squeeze(-1) for density, y in pairs])
    step = inspect_target(np.concatenate([y_train, y_test])).step
    cell = None
    if step is not None:
        cell = float(torch.cat([-density.log_prob(Incomplete.rounded(y, step)) for density, y in pairs]).mean())
    return {
        "n_train": len(y_train),
        "n_test": len(y_test),
        "nll": float(nll.mean()),
        "crps": float(torch.cat([mm.metrics.crps(density, y) for density, y in pairs]).mean()),
        "rmse": float(square.mean().sqrt()),
        "coverage_90": float(torch.cat([mm.metrics.coverage(density, y) for density, y in pairs]).mean()),
        "share_seen": float(seen.double().mean()),
        "nll_seen": float(nll[seen].mean()) if bool(seen.any()) else None,
        "nll_new": float(nll[~seen].mean()) if bool((~seen).any()) else None,
        "step": step,
        "nll_cell": cell,
    }


def _missing(models: list[str], tables: list[str], limit: int | None) -> Iterator[Job]:
    for table in tables:
        n_splits = uci_rows.n_splits(table)
        for model in models:
            done = {entry["split"] for entry in _read(_file(model, table))}
            wanted = range(n_splits if limit is None else min(limit, n_splits))
            yield from ((model, table, split) for split in wanted if split not in done)


def _source() -> str:
    """Return git's name of the package's files, which tells results of different versions apart."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD:src"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _keep(entry: dict[str, Any]) -> None:
    file = _file(entry["model"], entry["table"])
    entries = sorted([*_read(file), entry], key=lambda one: int(one["split"]))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[\n" + ",\n".join(json.dumps(one) for one in entries) + "\n]\n")


def _file(model: str, table: str) -> Path:
    return RESULTS / model / f"{table}.json"


def _read(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text()) if file.exists() else []


def _entries() -> list[dict[str, Any]]:
    return [entry for file in sorted(RESULTS.glob("*/*.json")) for entry in _read(file)]


def _line(entry: dict[str, Any]) -> str:
    scores = ", ".join(f"{name} {entry[name]:.4g}" for name in ("nll", "crps", "rmse", "coverage_90"))
    return f"{entry['table']} {entry['model']} split {entry['split']}: {scores}, {entry['seconds']:.1f} s"


if __name__ == "__main__":
    main()
