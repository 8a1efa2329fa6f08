"""`python -m benchmarks.active_learning`: rows chosen by `decisions.acquire` beside rows at random, round by round.

Every run starts from a few random rows of a pool. In each of ten rounds a model is fitted to what was measured so far,
scored on test rows, and names the rows to measure next. Both ways start from the same rows, with the same seeds. The
settings were chosen on the seeds from 100 on. Writes ``results/active_learning.json``, ``.md`` and ``.svg``.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import manymodes as mm
from benchmarks import uci_rows
from benchmarks.figure import describe_machine
from benchmarks.tables import Part
from manymodes.decisions import acquire
from manymodes.plots import canvas

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results"
ROUNDS, SEEDS = 10, range(5)
_TEST_ROWS = 2000


class Problem(NamedTuple):
    """Rows to choose from, and how many.

    Attributes:
        draw: Pool and test rows of a seed.
        n_start: Random rows to start with.
        n_batch: Rows added in every round.
    """

    draw: Callable[[int], Part]
    n_start: int
    n_batch: int


def rare_branches(seed: int) -> Part:
    """Two answers and noise that grows where the first input is positive: a twelfth of the pool, half of the tests."""
    rng = np.random.default_rng(3000 + seed)

    def targets(X: Floats) -> Floats:
        x, z = X.T
        apart = np.where(x > 0, 1 + np.sin(4 * x + 2 * z), 0.0) * rng.choice([-1, 1], len(X))
        target: Floats = 0.5 * z + apart + (0.05 + 0.1 * np.maximum(x, 0)) * rng.standard_normal(len(X))
        return target

    X = np.column_stack([_rarely(rng, 1500, 1 / 12), rng.uniform(-1, 1, 1500)])
    X_test = rng.uniform(-1, 1, (_TEST_ROWS, 2))
    return Part(X, targets(X), X_test, targets(X_test))


def rare_inverse(seed: int) -> Part:
    """The inverse sinusoid of Bishop (1994), with the middle of x, where there are three answers, rare in the pool."""
    X, y = mm.datasets.make_inverse_sinusoid(20_000, random_state=3000 + seed)
    middle = np.abs(X[:, 0] - 0.5) < 0.3
    rare, common = np.flatnonzero(middle), np.flatnonzero(~middle)  # rows are in random order already
    half = _TEST_ROWS // 2
    pool = np.concatenate([rare[:100], common[:900]])
    test = np.concatenate([rare[100 : 100 + half], common[900 : 900 + half]])
    return Part(X[pool], y[pool], X[test], y[test])


def table(name: str, test_share: float = 0.3) -> Callable[[int], Part]:
    """Return what cuts a UCI table into a pool and test rows at random."""

    def draw(seed: int) -> Part:
        first = uci_rows.part(name, 0)
        X, y = np.concatenate([first.X, first.X_test]), np.concatenate([first.y, first.y_test])
        order = np.random.default_rng(4000 + seed).permutation(len(X))
        n_test = min(round(test_share * len(X)), _TEST_ROWS)
        test, pool = order[:n_test], order[n_test:]
        return Part(X[pool], y[pool], X[test], y[test])

    return draw


def _rarely(rng: np.random.Generator, n: int, share: float) -> Floats:
    """Return numbers from -1 to 1, of which only a share is positive."""
    return np.where(rng.random(n) < share, 1.0, -1.0) * rng.random(n)


PROBLEMS: Mapping[str, Problem] = {
    "rare branches": Problem(rare_branches, 40, 20),
    "rare inverse sinusoid": Problem(rare_inverse, 40, 20),
    "yacht": Problem(table("yacht"), 20, 10),
    "energy": Problem(table("energy"), 30, 15),
    "kin8nm": Problem(table("kin8nm"), 100, 50),
}

STRATEGIES = ("epistemic", "random")
SETTINGS: Mapping[str, Any] = {"preset": "fast", "n_members": 8}

Job = tuple[str, str, int]  # problem, strategy, seed
Entry = dict[str, Any]


def main() -> None:
    """Run the problems asked for, then write the table and the figure of all."""
    parser = argparse.ArgumentParser(prog="benchmarks.active_learning", description=__doc__)
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS), help="none: only draw")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    file = RESULTS / "active_learning.json"
    record = json.loads(file.read_text()) if file.exists() else {"runs": []}
    if options.problems:
        kept = [entry for entry in record["runs"] if entry["problem"] not in options.problems]
        record = {"machine": describe_machine(), "runs": kept + _measure(options.problems, options.processes)}
        file.write_text(_json(record))
    (RESULTS / "active_learning.md").write_text(_markdown(record))
    draw(record["runs"], RESULTS / "active_learning.svg")


def _measure(problems: Sequence[str], processes: int) -> list[Entry]:
    jobs = [(name, strategy, seed) for name in problems for seed in SEEDS for strategy in STRATEGIES]
    started, entries = time.monotonic(), []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, entry in enumerate(pool.imap(run, jobs), start=1):
            entries.append(entry)
            line = f"{entry['problem']}, {entry['strategy']}, seed {entry['seed']}: CRPS {_mean(entry, 'crps'):.4f}"
            print(f"[{number}/{len(jobs)}, {time.monotonic() - started:.0f} s] {line}", flush=True)
    return entries


def run(job: Job) -> Entry:
    """Measure rows round by round, and return the scores of every round, in standard deviations of the test targets."""
    torch.set_num_threads(1)
    name, strategy, seed = job
    problem = PROBLEMS[name]
    part = problem.draw(seed)
    known = np.random.default_rng(5000 + seed).permutation(len(part.X))[: problem.n_start]
    y_test = torch.from_numpy(part.y_test)[:, None]
    entry: Entry = {"problem": name, "strategy": strategy, "seed": seed, "rows": [], "crps": [], "nll": []}
    started = time.process_time()
    for number in range(ROUNDS + 1):
        model = mm.MDNRegressor(random_state=seed, **SETTINGS).fit(part.X[known], part.y[known])
        density = model.predict_distribution(part.X_test)
        entry["rows"].append(len(known))
        entry["crps"].append(float(mm.metrics.crps(density, y_test).mean() / y_test.std()))
        entry["nll"].append(float((mm.metrics.log_score(density, y_test) - y_test.std().log()).mean()))
        if number < ROUNDS:
            left = np.setdiff1d(np.arange(len(part.X)), known)
            chosen = acquire(model, part.X[left], problem.n_batch, strategy, random_state=100 * seed + number)
            known = np.concatenate([known, left[chosen]])
    return entry | {"seconds": time.process_time() - started}


def _mean(entry: Entry, score: str) -> float:
    """Return the mean over the rounds; before the first, both ways have the same rows."""
    return float(np.mean(entry[score][1:]))


# --- what came out ---


def _json(record: dict[str, Any]) -> str:
    runs = [json.dumps(_rounded(entry)) for entry in record["runs"]]
    return f'{{"machine": {json.dumps(record["machine"])}, "runs": [\n' + ",\n".join(runs) + "\n]}\n"


def _rounded(entry: Entry) -> Entry:
    scores = {name: [float(f"{value:.5g}") for value in entry[name]] for name in ("crps", "nll")}
    return entry | scores | {"seconds": round(entry["seconds"], 1)}


def _markdown(record: dict[str, Any]) -> str:
    rows = "\n".join(_row(name, record["runs"]) for name in PROBLEMS)
    minutes = sum(entry["seconds"] for entry in record["runs"]) / 60
    head = _HEAD.format(machine=record["machine"], minutes=f"{minutes:.0f}")
    return head + rows + "\n\n![CRPS over the rows measured](active_learning.svg)\n"


def _row(name: str, runs: list[Entry]) -> str:
    cells = [name]
    for score in ("crps", "nll"):
        means = {
            strategy: np.array([_mean(e, score) for e in runs if (e["problem"], e["strategy"]) == (name, strategy)])
            for strategy in STRATEGIES
        }
        gaps = means["epistemic"] - means["random"]
        cells += [_with_error(means[strategy]) for strategy in STRATEGIES]
        cells += [_with_error(gaps, "+"), f"{int((gaps < 0).sum())} of {len(gaps)}"]
    return "| " + " | ".join(cells) + " |"


def _with_error(values: Floats, sign: str = "") -> str:
    return f"{values.mean():{sign}.4f} ± {values.std(ddof=1) / math.sqrt(len(values)):.4f}"


def draw(runs: list[Entry], file: Path) -> None:
    """Draw the CRPS over the rows measured, means over seeds in bands of a standard error."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.6), layout="constrained")
    panels = figure.subplots(2, 3).flatten()
    panels[-1].set_axis_off()
    for ax, name in zip(panels[:-1], PROBLEMS, strict=True):
        for strategy, color in zip(STRATEGIES, canvas.qualitative(2), strict=True):
            own = [entry for entry in runs if (entry["problem"], entry["strategy"]) == (name, strategy)]
            scores = np.array([entry["crps"] for entry in own])  # (seeds, rounds)
            mean, error = scores.mean(0), scores.std(0, ddof=1) / math.sqrt(len(scores))
            ax.fill_between(own[0]["rows"], mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
            ax.plot(own[0]["rows"], mean, color=color, lw=1.8, marker="o", ms=3, label=strategy)
        ax.set_title(name, fontsize="medium")
        canvas.finish(ax, "rows measured", "CRPS / sd", legend_inside=True)
    with mpl.rc_context({"svg.hashsalt": "manymodes", "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None})


_HEAD = """# Rows chosen by `decisions.acquire` beside random ones

Made by `python -m benchmarks.active_learning`, {minutes} minutes of one core. Ten rounds from a few random rows; in
each a model, `MDNRegressor(preset="fast", n_members=8)`, is fitted to the rows measured so far, scored on test rows and
asked which rows of the pool to measure next, by `acquire(..., strategy="epistemic")` or at random. Figures are means
over the ten rounds after the first batch and over five seeds ± their standard error, in standard deviations of the test
targets; differences are paired by seed, negative where the chosen rows are better. Settings were chosen on other seeds.
*rare branches* and *rare inverse sinusoid* have a pool in which the rows that matter are rare, and test rows in which
they are half; the tables are cut into pool and test rows at random. On concrete, tried on two other seeds, chosen rows
and random ones were equally good. Where test rows are like the pool and hardly noisy, as in yacht and energy, the log
score is won in the many rows that are easy; there random rows are better: chosen ones go to where most is in question.

{machine}

| problem | CRPS, chosen | CRPS, random | difference | better | NLL, chosen | NLL, random | difference | better |
|---|---|---|---|---|---|---|---|---|
"""


if __name__ == "__main__":
    main()
