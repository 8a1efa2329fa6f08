"""Active learning: which rows are worth labelling next?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manymodes.studies.active_learning import pictures
from manymodes.studies.active_learning.rounds import (
    EPISTEMIC,
    INFORMATION,
    LOG_SCORE,
    N_MEMBERS,
    RANDOM,
    REGRET,
    RMSE,
    STRATEGIES,
    TOTAL,
    curves,
    gap,
    learned,
    rows_needed,
)
from manymodes.studies.active_learning.tasks import APART, NOISE, RARE, SIMULATED, Task, tasks
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Problem, compare
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Cell, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work

_SCORES = (LOG_SCORE, RMSE)
Records = Sequence[Record]


def study(work: Work) -> Result:
    """Let strategies choose rows of pools, round by round, and compare the usual models on whole pools."""
    pools = tasks(work)
    compared = {task.name: _compared(work, task) for task in pools}
    found = {task.name: _learned(work, task) for task in pools}
    return Result(
        title="Which rows are worth labelling next?",
        problem=[
            "Inputs are often cheap and targets dear: somebody has to measure them. Active learning lets the model "
            "say which rows of a pool it wants measured next. The tempting answer is: those it is least certain of. "
            "But a model may be uncertain for two reasons. Where the answer is noisy, further rows change nothing; "
            "where the model is ignorant, they do. An ensemble is to tell both apart: members agree about noise, and "
            "disagree where they do not know.",
            "Four ways to choose. At random. By total variance, noise and ignorance together. By epistemic variance, "
            "the disagreement of the members' means, one row after another, each as if those before were measured "
            "(MacKay 1992). By mutual information of the target and the member (Houlsby et al. 2011), likewise. All "
            "start from the same random rows; after every round a new mixture density network, an ensemble of "
            f"{N_MEMBERS}, is fitted to all rows that are known.",
            "Two pools. A simulation whose truth is known: for x below zero the answer is "
            f"{-APART:g} or {APART:g} by the toss of a coin, and above zero a curve that bends, with noise of "
            f"{NOISE:g} everywhere; rows on the curve are {RARE:.0%} of the pool and half of the test rows. Bikes: how "
            "many are rented in an hour in Washington (Fanaee-T and Gama 2013), calm at night and noisy at rush hour; "
            "pool and test rows are drawn alike.",
            f"{models.WHO} They learn from the whole pool, and say what could be reached. The networks have the preset "
            "'fast'.",
        ],
        conclusions=_conclusions(pools, compared, found),
        sections=[
            *(_section(task, compared[task.name], found[task.name], number) for number, task in enumerate(pools)),
            Section("The whole pool, other models", _whole(pools, compared)),
        ],
    )


def _compared(work: Work, task: Task) -> Comparison:
    hurry: dict[str, Any] = work.pick({}, {"max_epochs": 3})
    usual = models.standard(work, preset="fast", **hurry)
    near = 3 * NOISE if task.name == SIMULATED else None
    problem = Problem(task.name, task.draw, usual, tolerance=near, mode_rows=work.pick(200, 20))
    return compare(work, problem, work.seeds(2))


def _learned(work: Work, task: Task) -> list[Record]:
    return [
        work.step(f"{task.name}, rounds, seed {seed}", lambda seed=seed: learned(work, task, seed))  # type: ignore[misc]
        for seed in work.seeds(4)
    ]


# --- what to conclude ---


def _conclusions(pools: Sequence[Task], compared: Mapping[str, Comparison], found: Mapping[str, Records]) -> list[str]:
    simulated = pools[0]
    return [
        of_noise(simulated, found[SIMULATED]),
        *(of_strategies(task, found[task.name]) for task in pools),
        of_random(pools, found),
        *(sentence for name, each in compared.items() for sentence in each.conclusions(of=f" on the pool '{name}'")),
    ]


def of_noise(task: Task, records: Records) -> str:
    """Return which share of its rows every strategy spends on noise."""
    shares = {
        strategy: Measured.over(pictures.shares_of(task, record[f"{strategy}: chosen"])[0] for record in records).mean
        for strategy in STRATEGIES
    }
    told = (
        f"Total variance asks for {shares[TOTAL]:.0%} of its rows where two answers are right, epistemic variance for "
        f"{shares[EPISTEMIC]:.0%}, mutual information for {shares[INFORMATION]:.0%}; of random rows "
        f"{shares[RANDOM]:.0%} are there"
    )
    gaps = {strategy: gap(records, strategy, LOG_SCORE, last=True) for strategy in STRATEGIES[1:]}
    told += (
        f". In the end their log-likelihoods differ from that of random rows by {gaps[TOTAL]}, {gaps[EPISTEMIC]} and "
        f"{gaps[INFORMATION]} nats."
    )
    chases = shares[TOTAL] > max(0.6, shares[EPISTEMIC]) and _side(gap(records, TOTAL, LOG_SCORE), LOG_SCORE) == "worse"
    return f"{told} Chasing variance is chasing noise." if chases else told


def of_strategies(task: Task, records: Records) -> str:
    """Return how every strategy compares with random rows on a pool, over rounds, and how many rows the best saves."""
    parts, torn = [], False
    for strategy in STRATEGIES[1:]:
        gaps = {what: gap(records, strategy, what) for what in _SCORES}
        sides = {what: _side(each, what) for what, each in gaps.items()}
        torn |= (sides[LOG_SCORE], sides[RMSE]) == ("worse", "better")
        parts.append(f"{strategy} is {' and '.join(f'{sides[what]} by {what} ({gaps[what]})' for what in _SCORES)}")
    told = f"On the pool '{task.name}', beside random rows and over all rounds, {'; '.join(parts)}."
    if torn:
        told += " Squares count the large errors that chosen rows are about; likelihood is won on easy rows, too."
    return f"{told} {' '.join(of_savings(task, records, what) for what in _SCORES)}"


def of_savings(task: Task, records: Records, what: str) -> str:
    """Return after how many rows the quickest strategy does as well as random rows in the end."""
    needed = {strategy: rows_needed(records, strategy, what, task.n_rows) for strategy in STRATEGIES[1:]}
    known = {strategy: rows for strategy, rows in needed.items() if rows is not None}
    if not known:
        return f"None of them reaches the {what} of {task.n_rows[-1]} random rows."
    best = min(known, key=lambda strategy: known[strategy].mean)
    return f"By {best}, {known[best]} rows reach the {what} of {task.n_rows[-1]} random rows."


def of_random(pools: Sequence[Task], found: Mapping[str, Records]) -> str:
    """Return where random rows are as good as any."""
    as_good = [
        f"'{task.name}' by {what}"
        for task in pools
        for what in _SCORES
        if all(_side(gap(found[task.name], strategy, what), what) != "better" for strategy in STRATEGIES[1:])
    ]
    everywhere = [
        strategy
        for strategy in STRATEGIES[1:]
        if all(_side(gap(found[task.name], strategy, what), what) == "better" for task in pools for what in _SCORES)
    ]
    told = "On every pool and by both scores some strategy is clearly better than random rows."
    if as_good:
        told = f"Random rows are as good as any chosen ones, as far as these seeds tell, on {_listed(as_good)}."
    if everywhere:
        return f"{told} Better on every pool and by both scores: {_listed(everywhere)}."
    return f"{told} No strategy is better on every pool and by both scores: which to take depends on what is scored."


def _side(difference: Measured, what: str) -> str:
    """Return whether a difference to random rows is better, worse or not clear; of one seed nothing is known."""
    if difference.error is None:
        return "undecided"
    if abs(difference.mean) <= 2 * difference.error:
        return "level"
    return "better" if (difference.mean > 0) == (what == LOG_SCORE) else "worse"


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


# --- what to show ---


def _section(task: Task, compared: Comparison, records: Records, number: int) -> Section:
    whole = {
        LOG_SCORE: compared.value(models.MDN, "log_score"),
        RMSE: Measured.over(record["mse_mean"] ** 0.5 for record in compared.records[models.MDN]),
    }
    pool = task.draw(0)
    slug = task.name.replace(" ", "-")
    blocks: list[Block] = [pictures.score_curves(task, records, whole, slug)]
    if task.name == SIMULATED:
        blocks.append(pictures.noise_and_ignorance(records, pool))
    if task.groups:
        blocks.append(pictures.kinds(task, records, pool.X, slug))
    blocks += [_table(task, records), _READING] if number == 0 else [_table(task, records)]
    return Section(f"{task.name[:1].upper()}{task.name[1:]}", blocks)


_READING = (
    "'Over rounds' is the mean over all rounds after the first choice, 'in the end' what the last model reaches. "
    "Differences are to random rows of the same seed. 'Rows to reach' counts the rows after which a strategy first "
    "does as well as random rows in the end, along the mean over seeds; empty where it never does. Errors of those are "
    "of the jackknife."
)


def _table(task: Task, records: Records) -> Table:
    columns = ["rows are chosen"]
    for what in _SCORES:
        columns += [f"{what} in the end", f"{what}, difference over rounds", f"rows to reach {what}"]
    simulated = f"{RANDOM}: {REGRET}" in records[0]
    rows: list[list[Cell]] = []
    for strategy in STRATEGIES:
        row: list[Cell] = [strategy]
        for what in _SCORES:
            row.append(Measured.over(curves(records, strategy, what)[:, -1]))
            row.append(None if strategy == RANDOM else gap(records, strategy, what))
            row.append(rows_needed(records, strategy, what, task.n_rows))
        if simulated:
            row.append(Measured.over(curves(records, strategy, REGRET)[:, -1]))
        rows.append(row)
    ends = {f"{LOG_SCORE} in the end": np.inf, f"{RMSE} in the end": -np.inf}
    if simulated:
        columns.append("regret in the end")
        ends["regret in the end"] = -np.inf
    caption = f"{task.n_start} random rows, then {task.n_rounds} rounds of {task.n_batch}, mean over seeds."
    return Table(caption, columns, rows, ends)


def _whole(pools: Sequence[Task], compared: Mapping[str, Comparison]) -> list[Block]:
    blocks: list[Block] = []
    for task in pools:
        found = compared[task.name]
        blocks.append(found.table(f"{task.name[:1].upper()}{task.name[1:]}: learned from the whole pool."))
        blocks.append(score_dots(found, f"log-likelihood-{task.name.replace(' ', '-')}"))
    return [*blocks, READING, READING_MODES]
