"""Dynamics: to plan for all that may happen, or for the mean of it, on two systems whose future is uncertain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from manymodes.studies.dynamics import hole, pictures, words
from manymodes.studies.dynamics.tasks import (
    CART,
    CERTAIN,
    KNOWN,
    N_LOGGED,
    N_SEEDS,
    N_STEPS,
    TASKS,
    WAYS,
    WELL,
    Records,
    Task,
    difference,
    exact,
    played,
    value,
)
from manymodes.studies.frame.result import Block, Cell, Measured, Result, Section, Table
from manymodes.studies.frame.work import Work

_N_HOLES = 5  # seeds
_WHICH = ("exact", "model")


def study(work: Work) -> Result:
    """Learn two systems from logged transitions, plan on them in four ways, and look into a hole in the logs."""
    found = {
        task.name: [
            work.step(f"{task.name}, seed {seed}", partial(played, work, task, seed)) for seed in work.seeds(N_SEEDS)
        ]
        for task in TASKS
    }
    holes = [work.step(f"hole, seed {seed}", partial(hole.driven, work, seed)) for seed in work.seeds(_N_HOLES)]
    return Result(
        title="Plan for what may happen, or for what happens on average?",
        problem=[
            "A system that is controlled answers with chance: a kick, a slip. The simplest way to plan is to replace "
            "chance by its mean: predict the expected next state, and the one after it, as if that was certain. Where "
            "two things may happen, their mean does not happen, and a plan for it is a plan for nobody's future. The "
            "other way is to let particles draw what happens from the predicted density, and to judge a plan by all of "
            "them: by their mean return, or by the worst of them.",
            "Two systems are simulated, so that the exact density of the next state is known. The double well is a "
            "particle on a landscape with two valleys, pushed by a force and kicked in 6 % of the steps, to either "
            "side; it is to be held on the slope of the barrier between the valleys, as near to a mark as possible, "
            "and every step beyond the barrier costs 10. The cart is to stop just before the edge of a road, on ice, "
            "where its wheels slip in 32 to 72 % of the steps, the more the harder it pushes or brakes; a step beyond "
            "the edge costs 5.",
            f"A model learns each system from {N_LOGGED} logged transitions of random actions: four mixture density "
            "networks for p(next state | state, action). Plans are made by the cross-entropy method (Rubinstein 1999) "
            f"over the next 12 steps, anew in each of the {N_STEPS} steps of an episode. The four ways differ in "
            "nothing but what they maximise: the return of the mean state, the mean return of 20 particles, its 10 % "
            "quantile, or its 10 % CVaR, the mean of the worst tenth. Every seed has logs and a model of its own, and "
            "ten episodes for every way, with the same luck.",
        ],
        conclusions=[
            *(words.of_mean_state(task, found[task.name]) for task in TASKS),
            *(words.of_caution(task, found[task.name]) for task in TASKS),
            *(words.of_learning(task, found[task.name]) for task in TASKS),
            hole.conclusion(holes),
        ],
        sections=_sections(found, holes),
    )


def _sections(found: Mapping[str, Records], holes: Records) -> list[Section]:
    tasks = {task.name: task for task in TASKS}
    return [
        Section(
            "The double well",
            [pictures.well(tasks[WELL], found[WELL]), _planners(tasks[WELL], found[WELL])],
        ),
        Section(
            "The cart on ice",
            [pictures.cart(tasks[CART], found[CART]), _planners(tasks[CART], found[CART])],
        ),
        Section("All returns", [pictures.returns(TASKS, found)]),
        Section("How well the densities are learned", _learned(found)),
        Section("A hole in the logs", _hole(holes)),
    ]


def _planners(task: Task, records: Records) -> Table:
    columns = ["planned for", "mean return", "worst tenth", f"share {task.beyond}", "mean return, beside mean state"]
    rows: list[list[Cell]] = []
    for way, base in [*((way, CERTAIN) for way in WAYS), *((exact(way), exact(CERTAIN)) for way in KNOWN)]:
        gap = None if way == base else difference(records, way, base, "return")
        rows.append([way, *(value(records, way, what) for what in ("return", "tail", "failed")), gap])
    best = dict(zip(columns[1:4], (math.inf, math.inf, -math.inf), strict=True))
    caption = (
        f"{words.named(task)}: means over seeds with standard errors. The worst tenth is that of "
        "each seed's episodes. Below, the same with the exact density in place of a learned one; differences are pair "
        "by pair."
    )
    return Table(caption, columns, rows, best, aside=[exact(way) for way in KNOWN])


def _learned(found: Mapping[str, Records]) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, records in found.items():
        gap = Measured.over(record["nll, model"] - record["nll, exact"] for record in records)
        columns = ("nll, exact", "nll, model")
        shares = [Measured.over(record[f"particles, {which}: beyond"] for record in records) for which in _WHICH]
        rows.append([name, *(Measured.over(record[what] for record in records) for what in columns), gap, *shares])
    heads = [
        "system",
        "exact density",
        "learned density",
        "gap",
        "particles beyond, exact",
        "particles beyond, learned",
    ]
    caption = (
        "Negative log-likelihood of other transitions, nats, by the exact density and by the learned one; and the "
        f"share of particles that go past the barrier or over the edge in {N_STEPS} steps that are not replanned."
    )
    return [
        Table(caption, heads, rows),
        "Where plans are made anew in each step, what counts is how well the next few steps are known. Particles that "
        "go on without that show how errors of single steps add up.",
        pictures.particles(TASKS, found),
    ]


def _hole(holes: Records) -> list[Block]:
    return [
        f"Now the cart's logs end at position {hole.FARTHEST:g}, before the ice. A planner that trusts its model "
        "drives on as it would on a dry road. But the members of the ensemble were trained on the same rows from "
        "different weights: where there were no rows they differ, and that difference can be made to cost. The penalty "
        "is what a step costs for a unit of disagreement, the standard deviation of the members' means in units of "
        "that of logged changes. Plans are for the mean return.",
        hole.table(holes),
        pictures.doubts(holes),
    ]
