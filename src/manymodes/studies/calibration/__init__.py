"""Calibration: can stated probabilities be trusted, and what mends them when they cannot?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manymodes.distributions import Mixture, Prediction
from manymodes.studies.calibration import pictures
from manymodes.studies.calibration.in_time import PAST, SAME, SOURCES, in_time
from manymodes.studies.calibration.repairs import AS_IS, REPAIRS, SETS, by_rows, repairs, sets, sets_along
from manymodes.studies.calibration.rows import BIKES, HOMES, TRAFFIC, Case, Trouble, troubles
from manymodes.studies.calibration.words import (
    of_groups,
    of_order,
    of_repairs,
    of_rows,
    of_sets,
    of_time,
)
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Part, Problem, compare
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Cell, Result, Section, Table
from manymodes.studies.frame.work import Record, Work

_SHOWN = (models.LEAST_SQUARES, models.GAUSSIAN, models.MDN)
_SIZES = (20, 50, 100, 200, 400, 600)
_FLOWS = np.linspace(160.0, 2140.0, 100)
_COLUMNS: Mapping[str, tuple[str, float]] = {
    "log_score": ("log-likelihood", np.inf),
    "crps": ("CRPS", -np.inf),
    "calibration_error": ("calibration error", -np.inf),
    "inside": ("inside 90 %", 0.9),
    "width": ("width of 90 %", np.nan),
}


def study(work: Work) -> Result:
    """Compare models on three tables, correct them by rows held out, and see what it is worth."""
    tables = troubles(work)
    compared = {table.name: _compared(work, table) for table in tables}
    return Result(
        title="Can the stated probabilities be trusted?",
        problem=[
            "A forecast that says 90 % should be right nine times in ten. Some models are not: they are too sure of "
            "themselves, or too careful, or right on average and wrong in every group. Rows held out, which the "
            "model has not learned from, show what is wrong, and can correct it.",
            "Three tables with troubles of their own. Homes: the value of a home in California, in districts of the "
            f"1990 census ({work.table('california-housing').X.shape[0]} of them; Pace and Barry 1997), is skewed, and "
            "as certain in one district as it is uncertain in the next; districts at the ceiling of 500,000 dollars "
            "are left out, because a density may be as high as it likes there. Traffic: at one flow, cars drive freely "
            "or queue (freeway I-880, lane 2); blocks of ten minutes are learned from, corrected with, or judged. "
            "Bikes: how many bicycles are rented in Washington in an hour, by the hour, the day and the weather "
            "(Fanaee-T and Gama 2013). Models learn from all days before one, and judge weeks that begin 30 days "
            "later; meanwhile the service grows, which no input says.",
            f"{models.WHO} The networks have the preset 'fast'. All are corrected by the same rows held out: 600, of "
            "traffic some 260. A temperature, two numbers, sharpens or softens the weights of components and widens or "
            "narrows them all. A map bends the distribution function, after a temperature, as far as the rows held "
            "out say so on folds. Both return densities. Conformal sets return sets that hold 90 % of new rows, "
            "whatever the model is worth, if new rows are like those held out.",
        ],
        conclusions=_conclusions(compared, tables),
        sections=[
            *(_section(table, compared[table.name]) for table in tables),
            Section("What a correction is worth", _repaired(work, compared)),
            Section("Sets that hold 90 %", _sets(work, compared, tables)),
            Section("When tomorrow is not like yesterday", _time(compared[BIKES])),
            Section("How to read the tables", [READING, READING_MODES]),
        ],
    )


def _compared(work: Work, table: Trouble) -> Comparison:
    """Return what was measured of all models, corrected and not, on one table."""
    seeds = work.seeds(4)
    cases = {seed: table.draw(seed) for seed in seeds}

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        return _look(work, table, model, prediction, next(case for case in cases.values() if case.part is part))

    hurry: dict[str, Any] = work.pick({}, {"max_epochs": 3})
    usual, n_rows = models.standard(work, preset="fast", **hurry), work.pick(200, 20)
    problem = Problem(table.name, lambda seed: cases[seed].part, usual, mode_rows=n_rows, look=look)
    return compare(work, problem, seeds)


def _look(work: Work, table: Trouble, model: Model, prediction: Prediction, case: Case) -> Record:
    assert isinstance(prediction, Mixture)  # noqa: S101  # for the type checker: nothing is corrected so far
    held = model.predict_distribution(case.X_held)
    found = {**repairs(held, prediction, case), **sets(held, prediction, case, len(table.groups))}
    found |= in_time(model, held, prediction, case)
    if table.name == HOMES:
        found |= by_rows(held, prediction, case, work.pick(_SIZES, _SIZES[:2]), work.pick(3, 1))
    if table.name == TRAFFIC:
        found |= sets_along(held, case.y_held, model.predict_distribution(_FLOWS[:, None]))
    return found


def _conclusions(compared: Mapping[str, Comparison], tables: Sequence[Trouble]) -> list[str]:
    alike = [table for table in tables if table.name != BIKES]
    return [
        of_repairs(compared[HOMES]),
        *of_time(compared[BIKES]),
        *(of_repairs(compared[table.name]) for table in alike[1:]),
        *(of_order(compared[table.name]) for table in alike),
        *([of_sets(compared[TRAFFIC], "mph")] if TRAFFIC in compared else []),
        of_groups(compared[HOMES], tables[0].groups, models.LEAST_SQUARES),
        of_rows(compared[HOMES], _SIZES),
        *(sentence for name, found in compared.items() for sentence in found.conclusions(of=f" on {name}, as it is,")),
    ]


# --- what to show ---


def _section(table: Trouble, found: Comparison) -> Section:
    rows: list[list[Cell]] = [
        [model, repair, *(found.value(model, f"{repair}: {what}") for what in _COLUMNS)]
        for model in found.records
        for repair in REPAIRS
    ]
    best = {heading: ideal for heading, ideal in _COLUMNS.values() if not np.isnan(ideal)}
    columns = ["model", "correction", *(heading for heading, _ in _COLUMNS.values())]
    caption = f"Corrected by rows held out; CRPS and width in {table.unit}, mean over repetitions."
    return Section(
        f"{table.name.capitalize()}: scores",
        [
            found.table(f"{table.name.capitalize()}, all models as they are, mean over repetitions."),
            score_dots(found, f"log-likelihood-{table.name}"),
            Table(caption, columns, rows, best),
        ],
    )


def _repaired(work: Work, compared: Mapping[str, Comparison]) -> list[Block]:
    return [
        pictures.errors(compared),
        pictures.pits(compared[HOMES], work.pick(_SHOWN, _SHOWN[2:])),
        pictures.levels(compared, _SHOWN),
        pictures.gains(compared[HOMES], _SHOWN, _SIZES),
    ]


def _sets(work: Work, compared: Mapping[str, Comparison], tables: Sequence[Trouble]) -> list[Block]:
    blocks: list[Block] = [
        "Predicted intervals are those that the model states. Conformal ones take the level of the model's own "
        "intervals that held 90 % of the rows held out, and conformal regions the level of its regions of highest "
        "density. Fitted by predicted spread or by group, intervals hold 90 % within each of them."
    ]
    if TRAFFIC in compared:
        data = work.table("speedflow-lane2")
        thin = slice(None, None, 6)
        observed = (data.X[thin, 0], data.y[thin])
        blocks.append(pictures.sets_along(compared[TRAFFIC], (models.GAUSSIAN, models.MDN), _FLOWS, observed))
    for table in tables:
        name = table.name.capitalize()
        blocks += [
            _of_sets(f"{name}: share of targets inside sets of 90 %.", compared[table.name], "inside", 0.9),
            _of_sets(f"{name}: mean length of the sets, {table.unit}.", compared[table.name], "length", np.nan),
        ]
    alike = [table for table in tables if table.name != BIKES]
    return [*blocks, pictures.groups(compared, alike, (models.LEAST_SQUARES, models.MDN))]


def _of_sets(caption: str, found: Comparison, what: str, ideal: float) -> Table:
    rows: list[list[Cell]] = [
        [model, *(found.value(model, f"{name}: {what}") for name in SETS)] for model in found.records
    ]
    return Table(caption, ["model", *SETS], rows, {} if np.isnan(ideal) else dict.fromkeys(SETS, ideal))


def _time(found: Comparison) -> list[Block]:
    names = (f"{SAME}, {AS_IS}", f"{SAME}, {PAST}", *SOURCES)
    headings = [
        f"{SAME}, {AS_IS}",
        f"{SAME}, corrected",
        "later, as it is",
        *(f"later, by {name}" for name in SOURCES[1:]),
    ]

    def table(caption: str, what: str) -> Table:
        rows: list[list[Cell]] = [
            [model, *(found.value(model, f"{name}: {what}") for name in names)] for model in found.records
        ]
        return Table(caption, ["model", *headings], rows)

    return [
        "The same models on two kinds of rows: of the time that was learned from, and of weeks that begin 30 days "
        "after it. Corrections are fitted to rows held out of the past; to the 30 days between; or anew for every "
        "week, to the 30 days before it.",
        pictures.weeks(found, (models.LEAST_SQUARES, models.MDN, models.NEIGHBOURS)),
        table("Bikes: share of targets inside conformal intervals of 90 %, by what they were fitted to.", "inside"),
        table("Bikes: log-likelihood of densities with a map, by what it was fitted to.", "log_score"),
    ]
