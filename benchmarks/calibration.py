"""`python -m benchmarks.calibration`: recalibration and conformal sets on every shared table, over 50 random splits.

Each of ten fits (`preset="fast"`, at most 1,000 training rows) is followed by five random halvings of rows that it has
not seen, at most 800, into rows that correct and rows that judge. Nothing was tuned on these rows.

Calibration errors are mean distances of the PITs' distribution function from the diagonal, and their noise floor is
what chance leaves of a true prediction. Rows that correct are as many as rows that judge, and as random: a map that
follows them closely cannot be expected to come below 1.4 floors.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

import manymodes as mm
from benchmarks.accuracy import DATA
from benchmarks.figure import describe_machine
from manymodes.calibration import fit_conformal, fit_recalibration
from manymodes.distributions import DiagonalNormal, Mixture, Prediction
from manymodes.metrics.uniformity import calibration_error

RESULTS = Path(__file__).parent / "results"
TABLES = (
    "bike-sharing", "california-housing", "etth1", "eustockmarkets", "geyser", "kin40k", "lidar", "mcycle",
    "nyc-taxi-yellow", "rain-innsbruck", "sarcos", "speedflow-lane2", "uci-boston-housing", "uci-concrete",
    "uci-energy", "uci-kin8nm", "uci-naval-propulsion-plant", "uci-protein-tertiary-structure", "uci-yacht",
)  # fmt: skip
_FITS, _HALVINGS = 10, 5
_MOST_TRAIN, _MOST_HELD_OUT, _MOST_OF_SEVERAL = 1000, 800, 200
_LEVEL = 0.9

Record = dict[str, Any]


def main() -> None:
    """Measure the tables that are asked for and write their figures beside those of the others."""
    parser = argparse.ArgumentParser(prog="benchmarks.calibration", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    file = RESULTS / "calibration.json"
    record: Record = json.loads(file.read_text()) if file.exists() else {"tables": {}}
    for table in parser.parse_args().tables:
        started = time.perf_counter()
        record["tables"][table] = _average(list(_measured(table)))
        record["machine"] = describe_machine()
        file.write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / "calibration.md").write_text(_markdown(record))
        print(f"{table}: {time.perf_counter() - started:.0f} s", flush=True)


def _measured(table: str) -> Iterator[Record]:
    """Yield the figures of every halving."""
    X, y = _rows(table)
    several = y.shape[1] > 1
    for seed in range(_FITS):
        order = np.random.default_rng(seed).permutation(len(X))
        n_train = min(_MOST_TRAIN, len(X) // 2)
        held = order[n_train:][: _MOST_OF_SEVERAL if several else _MOST_HELD_OUT]
        model = mm.MDNRegressor(preset="fast", random_state=seed).fit(X[order[:n_train]], y[order[:n_train]])
        density, targets = model.predict_distribution(X[held]), torch.from_numpy(y[held])
        for half in range(_HALVINGS):
            rows = torch.from_numpy(np.random.default_rng(100 * seed + half).permutation(len(held)))
            corrects, judges = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            yield {
                **_conformal(density, targets, corrects, judges),
                "as it is": _recalibrated(density, targets, corrects, judges),
                "too narrow": _recalibrated(density.tempered(1.0, spread=0.6), targets, corrects, judges),
                "one normal": _recalibrated(_normal(density), targets, corrects, judges),
            }


def _conformal(density: Mixture, y: Tensor, corrects: Tensor, judges: Tensor) -> Record:
    found: Record = {"n": len(judges)}
    for kind in ("region", "central") if y.shape[1] == 1 else ("region",):
        sets = fit_conformal(density[corrects], y[corrects], _LEVEL, kind=kind)
        found[f"{kind} covered"] = float(sets.contains(density[judges], y[judges]).double().mean())
        if y.shape[1] == 1:
            region = sets.predict(density[judges])
            found[f"{kind} length"] = float((region.high - region.low).nansum(-1).mean())
    return found


def _recalibrated(density: Mixture, y: Tensor, corrects: Tensor, judges: Tensor) -> Record:
    correction = fit_recalibration(density[corrects], y[corrects])
    before, t = density[judges], y[judges]
    after = correction(before)
    gained = after.log_prob(t) - before.log_prob(t)
    found = {"gained": float(gained.mean()), "log score error": float(before.log_prob(t).std() / math.sqrt(len(t)))}
    if y.shape[1] == 1:
        found |= {"before": _error(before, t)[0], "after": _error(after, t)[0], "floor": _error(before, t)[1]}
    return found


def _error(density: Prediction, y: Tensor) -> tuple[float, float]:
    found = calibration_error(density, y)
    return found.error, found.noise_floor


def _normal(density: Mixture) -> Mixture:
    """Return one normal with the mean and standard deviation of each row."""
    components = DiagonalNormal(density.mean.unsqueeze(-2), density.stddev.unsqueeze(-2))
    return Mixture(Categorical(torch.ones(*density.batch_shape, 1, dtype=torch.float64)), components)


def _average(records: list[Record]) -> Record:
    """Return means over halvings, and the standard error of the gained score over fits."""
    average: Record = {"splits": len(records)}
    for name, value in records[0].items():
        if isinstance(value, dict):
            average[name] = {key: float(np.mean([record[name][key] for record in records])) for key in value}
            by_fit = np.reshape([record[name]["gained"] for record in records], (_FITS, -1)).mean(1)
            average[name]["gained error"] = float(by_fit.std(ddof=1) / math.sqrt(_FITS))
        else:
            average[name] = float(np.mean([record[name] for record in records]))
            if name.endswith("covered"):
                values = np.array([record[name] for record in records])
                average[f"{name} error"] = float(values.reshape(_FITS, -1).mean(1).std(ddof=1) / math.sqrt(_FITS))
                bound = 2 * _binomial_error(records[0]["n"])
                average[f"{name} within"] = float(np.mean(np.abs(values - _LEVEL) <= bound))
    return average


def _binomial_error(n: float) -> float:
    """Return the standard error of the share covered: both the rows that correct and those that judge are random."""
    return math.sqrt(_LEVEL * (1 - _LEVEL) * 2 / n)


def _rows(table: str) -> tuple[np.ndarray, np.ndarray]:
    if table == "etth1":
        values = np.loadtxt(DATA / table / "ETTh1.csv.gz", delimiter=",", skiprows=1, usecols=range(1, 8))
        return values[:, :6], values[:, 6:]
    with np.load(DATA / table / f"{table}.npz", allow_pickle=False) as arrays:
        return arrays["X"], arrays["y"].reshape(len(arrays["X"]), -1)


def _markdown(record: Record) -> str:
    tables = record["tables"]
    names = [name for name in TABLES if name in tables]
    lines = [f"Made by `python -m benchmarks.calibration`. {record['machine']}", "", str(__doc__).split("\n\n", 1)[1]]
    lines += ["## Conformal sets of 90 %", ""]
    lines += ["Means over 50 splits, with standard errors over the fits; a single split has the binomial error.", ""]
    lines += ["| table | test rows | regions cover | binomial error | within two of them | intervals cover | lengths |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for name in names:
        found = tables[name]
        ratio = found["region length"] / found["central length"] if "central length" in found else math.nan
        central = f"{found['central covered']:.1%}" if "central covered" in found else "-"
        one = f"{ratio:.2f}" if math.isfinite(ratio) else "-"
        covered = f"{found['region covered']:.1%} ± {found['region covered error']:.1%}"
        error, within = _binomial_error(found["n"]), found["region covered within"]
        lines.append(
            f"| {name} | {found['n']:.0f} | {covered} | {error:.1%} | {within:.0%} of splits | {central} | {one} |"
        )
    for kind in ("as it is", "too narrow", "one normal"):
        lines += ["", f"## Recalibration of the model {_WORDS[kind]}", ""]
        lines += [
            "| table | calibration error before | after | noise floor | log score gained | log score's own error |"
        ]
        lines += ["|---|---|---|---|---|---|"]
        for name in names:
            found = tables[name][kind]
            errors = [f"{found[key]:.4f}" if key in found else "-" for key in ("before", "after", "floor")]
            gained = f"{found['gained']:+.4f} ± {found['gained error']:.4f}"
            lines.append(f"| {name} | {' | '.join(errors)} | {gained} | {found['log score error']:.4f} |")
    return "\n".join(lines) + "\n"


_WORDS = {
    "as it is": "as it is",
    "too narrow": "with spreads times 0.6",
    "one normal": "as one normal with its mean and standard deviation",
}

if __name__ == "__main__":
    main()
