"""`python -m benchmarks.ablation`: what each setting of the default is worth, on tables of their own; resumable.

Every variant changes one thing. Differences to the default are paired: the same table, the same rows, the same seed.
Each fit is one line of ``results/ablation.jsonl``; afterwards ``results/ablation.md`` is written from all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import manymodes as mm
from benchmarks import variants
from benchmarks.tables import TABLES
from manymodes.distributions import Normal

RESULTS = Path(__file__).parent / "results"
ENTRIES = RESULTS / "ablation.jsonl"

SETTINGS: Mapping[str, dict[str, Any]] = {
    "default": {},
    "objective nll": {"objective": "nll"},
    "objective 0.3 nll + 0.7 crps": {"objective": "0.3 nll + 0.7 crps"},
    "1 component": {"n_components": 1},
    "5 components": {"n_components": 5},
    "10 components": {"n_components": 10},
    "frequency 0.02": {"frequency": 0.02},
    "frequency 0.3": {"frequency": 0.3},
    "frequency 1.5": {"frequency": 1.5},
    "1 member": {"n_members": 1},
    "4 members": {"n_members": 4},
    "16 members": {"n_members": 16},
    "2 layers of 128": {"hidden_sizes": (128, 128)},
    "3 layers of 128": {"hidden_sizes": (128, 128, 128)},
    "no dropout": {"dropout": 0.0},
    "dropout 0.2": {"dropout": 0.2},
    "weight decay 0": {"weight_decay": 0.0},
    "weight decay 0.1": {"weight_decay": 0.1},
    "lr 2e-3": {"lr": 2e-3},
    "lr 8e-3": {"lr": 8e-3},
    "dropout does not fade": {"fade_dropout": False},
    "batch 32": {"batch_size": 32},
    "batch 128": {"batch_size": 128},
    "validation 6 %": {"validation_fraction": 0.06},
    "input noise 0.05": {"input_noise": 0.05},
    "target noise 0.05": {"target_noise": 0.05},
    "weight entropy 0.02": {"weight_entropy": 0.02},
    "scale prior 0.01": {"scale_prior": 0.01},
    "retrieval": {"retrieval": True},
    "student_t, 5 components, nll": {"family": "student_t", "n_components": 5, "objective": "nll"},
    "preset fast": {"preset": "fast"},
    "products in float32": {"precision": "full"},
}
OTHERS: Mapping[str, Callable[[int], Any]] = {
    "inputs made normal by ranks": variants.RankedInputs,
    "temperature on rows of its own": variants.Tempered,
    "refitted on all rows": variants.Refitted,
    "running average of weights": variants.Averaged,
    "shared weights (TabM)": variants.SharedWeights,
}
VARIANTS = (*SETTINGS, *OTHERS)

Job = tuple[str, str, int]  # variant, table, seed
Entry = dict[str, Any]


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.ablation", description=__doc__)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    done = {(entry["variant"], entry["table"], entry["seed"]) for entry in _entries()}
    wanted = [(v, t, s) for v in options.variants for s in range(options.seeds) for t in options.tables]
    jobs = [job for job in wanted if job not in done]
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for number, entry in enumerate(pool.imap_unordered(run, jobs), start=1):
            with ENTRIES.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            name = f"{entry['variant']}, {entry['table']}"
            print(
                f"[{number}/{len(jobs)}, {time.monotonic() - started:.0f} s] {name}: NLL {entry['nll']:.4g}",
                flush=True,
            )
    (RESULTS / "ablation.md").write_text(_markdown(_entries()))


def run(job: Job) -> Entry:
    """Fit a variant to a table and score its test rows, in standard deviations of the test targets."""
    torch.set_num_threads(1)
    variant, table, seed = job
    part = TABLES[table](seed)
    started = time.process_time()
    model = _model(variant, seed).fit(part.X, part.y)
    seconds = time.process_time() - started
    density = model.predict_distribution(part.X_test)
    y = torch.from_numpy(part.y_test)[:, None]
    seen = torch.from_numpy(np.isin(part.y_test, part.y))
    nll = mm.metrics.log_score(density, y) - y.std().log()
    return {
        "variant": variant,
        "table": table,
        "seed": seed,
        "nll": float(nll.mean()),
        "nll_new": float(nll[~seen].mean()) if bool((~seen).any()) else None,
        "crps": float(mm.metrics.crps(density, y).mean() / y.std()) if isinstance(density.components, Normal) else None,
        "rmse": float(mm.metrics.rmse(density, y) / y.std()),
        "coverage_90": float(mm.metrics.coverage(density, y).mean()),
        "seconds": seconds,
    }


def _model(variant: str, seed: int) -> Any:
    """Return an estimator with ``fit`` and ``predict_distribution``."""
    if variant in OTHERS:
        return OTHERS[variant](seed)
    return mm.MDNRegressor(random_state=seed, **SETTINGS[variant])


def _entries() -> list[Entry]:
    return [json.loads(line) for line in ENTRIES.read_text().splitlines()] if ENTRIES.exists() else []


def _markdown(entries: list[Entry]) -> str:
    scores: dict[str, dict[tuple[str, int], Entry]] = defaultdict(dict)
    for entry in entries:
        scores[entry["variant"]][entry["table"], entry["seed"]] = entry
    rows = [_row(name, scores[name], scores["default"]) for name in VARIANTS if scores[name]]
    return _HEAD + "\n".join(rows) + "\n"


def _row(name: str, own: dict[tuple[str, int], Entry], default: dict[tuple[str, int], Entry]) -> str:
    pairs = [(own[key], default[key]) for key in own if key in default]
    cells = [
        _difference(pairs, score, relative=score in ("crps", "rmse")) for score in ("crps", "rmse", "nll", "nll_new")
    ]
    coverage = sum(entry["coverage_90"] for entry in own.values()) / len(own)
    seconds = sum(one["seconds"] for one, _ in pairs) / sum(other["seconds"] for _, other in pairs)
    return f"| {name} | {len(pairs)} | " + " | ".join(cells) + f" | {coverage:.1%} | {seconds:.2f} |"


def _difference(pairs: list[tuple[Entry, Entry]], score: str, *, relative: bool) -> str:
    known = [(a[score], b[score]) for a, b in pairs if a[score] is not None and b[score] is not None]
    if not known:
        return ""
    gaps = [100 * math.log(a / b) if relative else a - b for a, b in known]
    mean = sum(gaps) / len(gaps)
    error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / max(len(gaps) - 1, 1) / len(gaps))
    return f"{mean:+.1f} % ± {error:.1f}" if relative else f"{mean:+.3f} ± {error:.3f}"


_HEAD = """# What each setting of the default is worth

Made by `make ablation` from `ablation.jsonl`. Every row changes one setting of `MDNRegressor()`; figures are mean
paired differences to the default over tables, ± their standard error, negative where the variant is better. CRPS and
RMSE in per cent, NLL in nats (*new*: test targets that do not occur in the training rows). Seconds of one thread, as a
ratio. The tables are those of `benchmarks/tables.py`, none of the UCI benchmark.

| variant | fits | CRPS | RMSE | NLL | NLL, new | coverage of 90 % | seconds |
|---|---|---|---|---|---|---|---|
"""


if __name__ == "__main__":
    main()
