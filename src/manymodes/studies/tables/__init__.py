"""Tables: one default for all of them, beside figures that were published for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from manymodes.datasets import Table as Data
from manymodes.distributions import Prediction
from manymodes.estimators.predictions import as_tensor
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Models, Part, Problem, compare
from manymodes.studies.frame.result import Block, Cell, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.tables.pictures import everyone, seen_or_new
from manymodes.studies.tables.published import FIGURES, SOURCES

DEFAULT = "mixture density network, default"
HEADINGS: Mapping[str, str] = {"nll": "NLL", "crps": "CRPS", "rmse": "RMSE"}
_SEEN: Mapping[str, str] = {"nll_new": "NLL, new targets", "nll_seen": "NLL, targets that repeat"}


class Chosen(NamedTuple):
    """A table that is run.

    Attributes:
        name: Its name, without ``uci-``.
        about: What it is about.
        n_splits: How many of its splits are run, the first ones.
    """

    name: str
    about: str
    n_splits: int


_TABLES = (
    Chosen("boston-housing", "what homes in the suburbs of Boston cost, in 1,000 dollars", 3),
    Chosen("concrete", "how strong concrete is, by its recipe and age, in MPa", 2),
    Chosen("energy", "how much heating a simulated building needs, in kWh per square metre", 2),
    Chosen("yacht", "how much the water resists a yacht, by the shape of its hull", 2),
    Chosen("kin8nm", "how far the hand of a simulated robot is from a point, by its eight angles", 1),
)


def study(work: Work) -> Result:
    """Run the first splits of small tables, and put published figures beside them."""
    chosen = _TABLES[: work.pick(len(_TABLES), 1)]
    data = {table.name: work.table(f"uci-{table.name}") for table in chosen}
    found = {table.name: _compared(work, table, data[table.name]) for table in chosen}
    n_splits = ", ".join(f"{len(work.seeds(table.n_splits))} of {table.name}" for table in chosen)
    return Result(
        title="One default for every table",
        problem=[
            "Methods for tables are compared on tables that everybody uses, by splits that everybody uses "
            "(Hernandez-Lobato and Adams 2015): nine tenths of the rows teach, one tenth judges, 20 times. Published "
            "figures can therefore stand beside those measured here, with a caution: most authors choose settings for "
            "each table, some for each split. Here one default serves all: MDNRegressor() as it is.",
            f"{len(chosen)} {'tables are' if len(chosen) > 1 else 'table is'} run: "
            f"{'; '.join(f'{table.name} ({table.about})' for table in chosen)}. This is a short version, the first "
            f"splits only ({n_splits}), while published figures are means over all 20. Splits differ: on the "
            "first of boston-housing and of yacht the default does better than over all 20. Errors over two or three "
            "splits are themselves rough. Means over all splits of seven tables, which are to be "
            "quoted, are in benchmarks/results/uci.md of the repository (make bench-uci).",
            f"{models.WHO} All these have the preset 'fast'; beside them stands the mixture with the default, which "
            "computes for much longer (seconds of a fit are in the last tables).",
            "Several targets repeat. Prices and measurements are rounded, and a network may learn that 50.0 is a "
            "frequent answer. A density can be as high as it likes at one number, so log-likelihood can be won by "
            "guessing which numbers repeat, which says little of how well the rest is known. CRPS and RMSE cannot: "
            "they stand beside it, and the log-likelihood is also given apart for targets that do and do not occur "
            "among the rows that teach.",
        ],
        conclusions=[
            *(of_published(name, one) for name, one in found.items()),
            of_models(found),
            of_ties(found),
        ],
        sections=[
            Section("Beside published figures", _published(found)),
            Section("Targets that repeat", _ties(found)),
            Section("Scores", _scores(found)),
            Section("Where the published figures come from", _sources()),
        ],
    )


# --- what is measured ---


def _compared(work: Work, table: Chosen, data: Data) -> Comparison:
    n_rows = work.pick(100, 20)
    problem = Problem(table.name, lambda seed: part_of(data, seed), _models(work), mode_rows=n_rows, look=_look)
    return compare(work, problem, work.seeds(table.n_splits))


def _models(work: Work) -> Models:
    return {DEFAULT: models.standard(work)[models.MDN], **models.standard(work, preset="fast")}


def part_of(data: Data, seed: int) -> Part:
    """Return the rows of the split that a seed stands for: they come round after the last one."""
    split = data.splits[seed % len(data.splits)]
    return Part(data.X[split.train], data.y[split.train], data.X[split.test], data.y[split.test])


def _look(model: Model, prediction: Prediction, part: Part) -> Record:
    """Return errors as they are published, and the likelihood of targets that do and do not repeat."""
    y = as_tensor(part.y_test)[:, None].to(prediction.logits.dtype)
    nll, seen = -prediction.log_prob(y).numpy(), np.isin(part.y_test, part.y)
    return {
        "nll": float(nll.mean()),
        "rmse": math.sqrt(float((prediction.mean - y).square().mean())),
        "share_seen": float(seen.mean()),
        "nll_seen": float(nll[seen].mean()) if seen.any() else math.nan,
        "nll_new": float(nll[~seen].mean()) if not seen.all() else math.nan,
    }


# --- what to conclude ---


def of_published(name: str, compared: Comparison) -> str:
    """Return how many published figures the default is clearly below, by every score, on one table."""
    parts = []
    for what, heading in HEADINGS.items():
        others = {source: row[name] for source, row in FIGURES[what].items() if name in row}
        own = compared.value(DEFAULT, what)
        if others:
            best = min(others, key=others.__getitem__)
            n_behind = sum(own.mean + 2 * (own.error or 0.0) < value for value in others.values())
            lower = "lower, by one split," if own.error is None else "lower by two errors"
            parts.append(
                f"{heading} {own}, {lower} than {n_behind} of {len(others)} published figures (of which the lowest is "
                f"{others[best]}, {best})"
            )
        else:
            parts.append(f"{heading} {own}, of which nothing is published")
    return f"On {name} the default reaches {'; '.join(parts)}."


def of_models(found: Mapping[str, Comparison]) -> str:
    """Return on how many tables the default is the best of all models that were run, by every score."""
    wins = []
    for what, heading in HEADINGS.items():
        best = [min(one.records, key=lambda model: one.value(model, what).mean) for one in found.values()]
        wins.append(f"by {heading} on {sum(model == DEFAULT for model in best)}")
    return (
        f"Of {len(found)} {'tables' if len(found) > 1 else 'table'}, the default is the best of the seven models run "
        f"here {', '.join(wins)}."
    )


def of_ties(found: Mapping[str, Comparison]) -> str:
    """Return where targets repeat the most, and what that is worth to the default there."""
    share = {name: one.value(DEFAULT, "share_seen").mean for name, one in found.items()}
    most, least = (pick(share, key=share.__getitem__) for pick in (max, min))
    gain = Measured.over(record["nll_new"] - record["nll_seen"] for record in found[most].records[DEFAULT])
    told = f"On {most}, {share[most]:.0%} of the test targets occur among the rows that teach"
    told += f", on {least} {share[least]:.0%}" if least != most else ""
    if gain.mean > 0:
        return f"{told}. The default gives those on {most} {gain} nats more than new ones: read CRPS beside NLL."
    return f"{told}. The default gains nothing by them on {most} (their difference is {gain} nats)."


# --- what to show ---


def _published(found: Mapping[str, Comparison]) -> list[Block]:
    blocks: list[Block] = [
        "NLL is the mean of -log p(y | x) over test rows, in nats; CRPS and RMSE are in units of the target. All are "
        "better when lower; errors are over the splits that were run. Published rows are marked by 'published'; where "
        "nothing was published the cell is empty.",
        *(everyone(found, DEFAULT, what, heading) for what, heading in HEADINGS.items()),
    ]
    for name, one in found.items():
        rows: list[list[Cell]] = [[model, *(one.value(model, what) for what in HEADINGS)] for model in one.records]
        rows += [[f"{source}, published", *figures_of(source, name)] for source in SOURCES if _known(source, name)]
        ideals = dict.fromkeys(HEADINGS.values(), -math.inf)
        blocks.append(Table(f"{name}, beside published figures.", ["who", *HEADINGS.values()], rows, ideals))
    return blocks


def figures_of(source: str, name: str) -> list[Cell]:
    """Return the published figures of a source for a table, by score; None where there is none."""
    return [FIGURES[what].get(source, {}).get(name) for what in HEADINGS]


def _known(source: str, name: str) -> bool:
    return any(figure is not None for figure in figures_of(source, name))


def _ties(found: Mapping[str, Comparison]) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, one in found.items():
        share = f"{one.value(DEFAULT, 'share_seen').mean:.0%}"
        rows += [
            [name, share, model, *(one.value(model, what) for what in _SEEN)]
            for model in (DEFAULT, models.LEAST_SQUARES)
        ]
    columns = ["table", "test targets that repeat", "model", *_SEEN.values()]
    caption = "NLL apart for test targets that do and do not occur among the rows that teach."
    return [seen_or_new(found, DEFAULT), Table(caption, columns, rows)]


def _scores(found: Mapping[str, Comparison]) -> list[Block]:
    blocks: list[Block] = [one.table(f"{name}, mean over splits.") for name, one in found.items()]
    return [*blocks, READING, READING_MODES]


def _sources() -> list[Block]:
    rows: list[list[Cell]] = [[name, source.citation, source.chosen] for name, source in SOURCES.items()]
    columns = ["who", "published in", "how settings are chosen"]
    return [
        "Rows called 'best' take for every cell the best of several methods, which no single method reaches. TabPFN's "
        "log-likelihood profits from targets that repeat, as that of any spiky density does.",
        Table("Sources.", columns, rows),
    ]
