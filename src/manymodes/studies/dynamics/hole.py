"""Logs with a hole: nobody has driven on the ice, and what the planner makes of it, with a penalty and without."""

from __future__ import annotations

from typing import Any

import numpy as np

from manymodes.datasets import SlippingCart, make_slipping_cart
from manymodes.dynamics import TransitionModel
from manymodes.studies.dynamics import tasks
from manymodes.studies.dynamics.tasks import Array, Records
from manymodes.studies.dynamics.words import side
from manymodes.studies.frame.result import Cell, Measured, Table
from manymodes.studies.frame.work import Record, Work

FARTHEST = 1.5  # position in the logs, before the ice
PENALTIES = (0.0, 30.0, 100.0)
PLACES = np.linspace(-0.4, 3.4, 39)  # for the picture


def driven(work: Work, seed: int) -> Record:
    """Return what happens with a model that knows no ice, by penalty."""
    cart = SlippingCart()
    rows = make_slipping_cart(work.pick(tasks.N_LOGGED, 300), random_state=seed)
    kept = rows[0][:, 0] <= FARTHEST
    model = tasks.learned(work, seed, *(part[kept] for part in rows))
    whole = tasks.learned(work, seed, *(part[: kept.sum()] for part in rows))  # as many rows, without a hole
    record: dict[str, Any] = {}
    for name, each in (("hole", model), ("whole", whole)):
        record[f"{name}: disagreement"] = np.stack([_doubt(each, place) for place in PLACES])
    for penalty in PENALTIES:
        happened = tasks.episodes(work, model, cart, seed, objective="mean", penalty=penalty)
        record[f"{penalty}: returns"] = happened.returns
        record[f"{penalty}: failed"] = float(tasks.ever_failed(cart, happened.states).mean())
        record[f"{penalty}: beyond"] = float((happened.states[:, :-1, 0] > FARTHEST).mean())
        record[f"{penalty}: top"] = float(happened.states[..., 1].max(1).mean())
        record[f"{penalty}: states"] = happened.states
    return record


def _doubt(model: TransitionModel, place: float) -> float:
    """Return the mean disagreement at a place, over velocities and forces."""
    speeds, forces = (part.ravel() for part in np.meshgrid(np.linspace(0.0, 1.5, 13), np.linspace(-1.0, 1.0, 9)))
    states = np.column_stack([np.full_like(speeds, place), speeds])
    return float(model.disagreement(states, forces[:, None]).mean())


def table(records: Records) -> Table:
    """Return what a penalty changes."""
    measured = ("failed", "beyond", "top")
    columns = ["penalty", "mean return", "worst tenth", "over the edge", "steps in the hole", "top speed"]
    rows: list[list[Cell]] = [
        [
            f"{penalty:g}",
            tasks.value(records, str(penalty), "return"),
            tasks.value(records, str(penalty), "tail"),
            *(Measured.over(record[f"{penalty}: {what}"] for record in records) for what in measured),
        ]
        for penalty in PENALTIES
    ]
    caption = "Planning with a model that has seen no ice, by the penalty on disagreement."
    return Table(caption, columns, rows, {"mean return": np.inf, "worst tenth": np.inf})


def conclusion(records: Records) -> str:
    """Return how penalties change plans."""
    doubt = {name: _mean_doubt(records, name) for name in ("hole", "whole")}
    none, *others = PENALTIES
    told = (
        f"A hole in the logs: on ice that nobody has driven on, members disagree {doubt['hole'] / doubt['whole']:.1f} "
        f"times as much as members that have seen it. Without a penalty {_share(records, none, 'failed')} of the carts "
        f"go over the edge, and {_share(records, none, 'beyond')} of all steps are in the hole."
    )
    return " ".join([told, *(_of_penalty(records, penalty) for penalty in others)])


def _of_penalty(records: Records, penalty: float) -> str:
    gaps = {what: tasks.difference(records, str(penalty), str(PENALTIES[0]), what) for what in ("return", "tail")}
    verdict = {
        ("better", "better"): "which pays on average and in the worst cases",
        ("level", "better"): "which pays in the worst cases, and on average neither pays nor costs",
        ("worse", "better"): "which pays in the worst cases, and costs on average",
        ("worse", "level"): "which costs more than it saves",
        ("worse", "worse"): "which costs on average and in the worst cases",
    }.get((side(gaps["return"]), side(gaps["tail"])), "without a clear gain")
    return (
        f"With a penalty of {penalty:g} on disagreement it is {_share(records, penalty, 'failed')} of the carts and "
        f"{_share(records, penalty, 'beyond')} of the steps, {verdict}: the mean return changes by {gaps['return']}, "
        f"the worst tenth by {gaps['tail']}."
    )


def _share(records: Records, penalty: float, what: str) -> str:
    return f"{Measured.over(record[f'{penalty}: {what}'] for record in records).mean:.0%}"


def _mean_doubt(records: Records, name: str) -> float:
    return float(np.mean([curve(record, name)[PLACES > FARTHEST].mean() for record in records]))


def curve(record: Record, name: str) -> Array:
    """Return the disagreement by place."""
    return np.asarray(record[f"{name}: disagreement"])
