"""How good, with the one default: held-out scores beside floors, published figures or baselines."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import manymodes as mm
from benchmarks.figure import Figure

DATA = Path(os.environ.get("MANYMODES_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEEDS = range(5)
Floats = NDArray[np.float64]


def inverse_sinusoid() -> Iterator[Figure]:
    """Fit 1,000 rows of the inverse sinusoid with five seeds and score 20,000 fresh ones."""
    scores, floors = [], []
    for seed in SEEDS:
        X, y = mm.datasets.make_inverse_sinusoid(1000, random_state=seed)
        X_test, y_test, truth = mm.datasets.make_inverse_sinusoid(20_000, return_density=True, random_state=1000 + seed)
        model = mm.MDNRegressor(random_state=seed).fit(X, y)
        density = model.predict_distribution(X_test)
        scores.append(float(mm.metrics.log_score(density, torch.tensor(y_test)[:, None]).mean()))
        floors.append(float(mm.metrics.log_score(truth(X_test), torch.tensor(y_test)[:, None]).mean()))
    spread = f"{min(scores):.3f} to {max(scores):.3f}"
    yield Figure(
        "inverse sinusoid, 1,000 rows, NLL", f"{np.mean(scores):.3f}", f"floor {np.mean(floors):.3f}; seeds {spread}"
    )


def two_sinusoids() -> Iterator[Figure]:
    """Fit y = +-sin x, x uniform on (0, 4 pi), noise .01, 2,000 rows, with five seeds; score 5,000 fresh ones."""
    settings: dict[str, dict[str, Any]] = {
        "default": {},
        "2 components, ngem": {"n_components": 2, "objective": "ngem"},
    }
    for name, changes in settings.items():
        scores = []
        for seed in SEEDS:
            model = mm.MDNRegressor(random_state=seed, **changes)
            model.fit(*mm.datasets.make_two_sinusoids(2000, random_state=seed))
            scores.append(_log_score(model, *mm.datasets.make_two_sinusoids(5000, random_state=1000 + seed)))
        spread = f"floor -2.498; seeds {min(scores):.3f} to {max(scores):.3f}"
        yield Figure(f"two sinusoids, 2,000 rows, NLL, {name}", f"{np.mean(scores):.3f}", spread)


def side_by_side() -> Iterator[Figure]:
    """Fit the peers' problem: 500 rows of x = y + 0.3 sin(2 pi y) + U(-.05, .05), five seeds, y and 1000 y."""
    for unit in (1.0, 1000.0):
        scores = []
        for seed in SEEDS:
            (X, y), (X_test, y_test) = narrow_sinusoid(500, seed), narrow_sinusoid(500, 1000 + seed)
            model = mm.MDNRegressor(random_state=seed).fit(X, unit * y)
            scores.append(np.log(unit) - _log_score(model, X_test, unit * y_test))
        spread = f"best of seven peers 1.586, oracle 1.855; seeds {min(scores):.3f} to {max(scores):.3f}"
        yield Figure(f"side by side, log-likelihood of {unit:g} y", f"{np.mean(scores):.3f}", spread)


def narrow_sinusoid(n: int, seed: int) -> tuple[Floats, Floats]:
    """Return X and y of the peers' problem: x = y + 0.3 sin(2 pi y) + U(-.05, .05)."""
    rng = np.random.default_rng(seed)
    y = rng.random(n)
    return (y + 0.3 * np.sin(2 * np.pi * y) + rng.uniform(-0.05, 0.05, n))[:, None], y


def _log_score(model: mm.MDNRegressor, X: Floats, y: Floats) -> float:
    return float(mm.metrics.log_score(model.predict_distribution(X), torch.tensor(y)[:, None]).mean())


def concrete() -> Iterator[Figure]:
    """Run `manymodes fit` on the concrete table, as a user would, with five seeds."""
    folder = DATA / "uci-concrete"
    if not folder.is_dir():
        yield Figure("manymodes fit on uci-concrete", "not measured", "the shared data are not there")
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "concrete.csv"
        target = _write_csv(folder / "uci-concrete.npz", file)
        summaries, seconds = [], []
        for seed in SEEDS:
            command = [sys.executable, "-m", "manymodes", "fit", str(file), "--target", target, "--json", "--quiet"]
            command += ["--output", str(Path(scratch) / f"model-{seed}"), "--random-state", str(seed)]
            started = time.perf_counter()
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(time.perf_counter() - started)
            summaries.append(json.loads(result.stdout))
    scores = {name: [s["scores"][name]["log_score"] for s in summaries] for name in summaries[0]["scores"]}
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    beside = f"one Gaussian {means['gaussian_network']:.3f}, no features {means['unconditional']:.3f}"
    spread = f"seeds {min(scores['model']):.3f} to {max(scores['model']):.3f}"
    yield Figure("manymodes fit on uci-concrete, held-out NLL", f"{means['model']:.3f}", f"{beside}; {spread}")
    slowest = f"slowest {max(seconds):.1f} s, three fits, start-up and report included"
    yield Figure("manymodes fit on uci-concrete, seconds", f"{np.median(seconds):.1f} s", slowest)


def _write_csv(npz: Path, file: Path) -> str:
    with np.load(npz, allow_pickle=False) as arrays:
        names = [*arrays["feature_names"].tolist(), *arrays["target_names"].tolist()]
        rows = np.column_stack([arrays["X"], arrays["y"]]).tolist()
    with file.open("w", newline="") as handle:
        csv.writer(handle).writerows([names, *rows])
    return str(names[-1])


ALL: tuple[Callable[[], Iterator[Figure]], ...] = (inverse_sinusoid, two_sinusoids, side_by_side, concrete)
