"""Traffic: at one flow cars drive freely or queue, and how well a model knows depends on which rows judge it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from manymodes.datasets import Table as Data
from manymodes.distributions import Prediction
from manymodes.plots import canvas
from manymodes.studies.frame import models
from manymodes.studies.frame.along import Fork, Scene, components_along, longest_fork, modes_along
from manymodes.studies.frame.answers import answers_table, modes_of, near, worth
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Part, Problem, compare
from manymodes.studies.frame.in_time import Array, block_rows, held_out, random_rows, stretch_rows, stretches
from manymodes.studies.frame.kept import as_mixture
from manymodes.studies.frame.pictures import density_panels, drawn, score_dots
from manymodes.studies.frame.result import Block, Cell, Figure, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work

_NEAR, _SLOW = 5.0, 45.0  # miles an hour: how near an answer has to be, and what is no free traffic
_HOUR, _BLOCK, _LAG = 120, 20, 2  # readings: of an hour, of ten minutes, of one minute
_SHARE, _STRETCHES = 0.2, 5


class Judged(NamedTuple):
    """The same models, judged in three ways, and a network that knows more.

    Attributes:
        rows: By rows drawn at random.
        blocks: By blocks of ten minutes drawn at random.
        stretches: By one stretch of two hours after another.
        aware: By the same blocks, a network that is told the speed a minute before.
    """

    rows: Comparison
    blocks: Comparison
    stretches: Comparison
    aware: Comparison


def study(work: Work) -> Result:
    """Compare models on rows drawn at random, on blocks of ten minutes, and on stretches of two hours."""
    data = work.table("speedflow-lane2")
    scene = Scene(np.linspace(160.0, 2140.0, 100), (data.X[:, 0], data.y), "flow, vehicles an hour", "speed, mph")
    judged = _judged(work, data, scene)
    fork = longest_fork(as_mixture(judged.rows.records[models.MDN][0]), scene.x)
    return Result(
        title="Traffic: one flow, two speeds",
        problem=[
            "A detector in the road counts cars and measures their speed. When 1,400 cars an hour pass, the road may "
            "be fairly empty and everybody fast, or it may be jammed and everybody slow: the same flow has two speeds, "
            "and no single curve through the cloud of readings is right.",
            f"The {len(data.y)} readings are half a minute each, one after another, from lane 2 of freeway I-880 in "
            "California (Petty et al. 1996; Einbeck and Tutz 2006 use them as the example of a regression with two "
            "branches). The input is the flow, the target the speed.",
            f"{models.WHO} The networks have the preset 'fast'.",
        ],
        conclusions=[
            *judged.rows.conclusions(of=" on random rows"),
            two_speeds(fork),
            *worth(judged.rows, models.MDN, f"{_NEAR:.0f} mph"),
            *of_splits(judged, data.y),
            of_the_minute_before(judged),
        ],
        sections=[
            Section("Scores on rows drawn at random", _scores(judged.rows)),
            Section("What they predict", _predictions(judged.rows, scene)),
            Section("Which rows judge", _splits(judged, data.y)),
        ],
    )


# --- what is measured ---


def _judged(work: Work, data: Data, scene: Scene) -> Judged:
    usual, n_rows, n = models.standard(work, preset="fast"), work.pick(100, 10), len(data.y)
    fewer = work.pick(usual, {name: usual[name] for name in (models.MDN, models.NEIGHBOURS)})
    # Of the first minute nobody knows the speed before; the usual one stands in.
    told = np.column_stack([data.X, np.r_[np.full(_LAG, np.median(data.y)), data.y[:-_LAG]]])

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        first, y = prediction[:n_rows], part.y_test[:n_rows]
        answered = near(first, modes_of(first), y, _NEAR)
        return {**scene.kept(model), **answered, **_by_speed(model, prediction, part)}

    def rows(seed: int) -> Part:
        return held_out(data.X, data.y, random_rows(n, _SHARE, seed), seed)

    def blocks(seed: int, X: Array = data.X) -> Part:
        return held_out(X, data.y, block_rows(n, _SHARE, seed, size=_BLOCK), seed)

    def stretch(seed: int) -> Part:  # the seed 0 takes the second, where the jam is, so that a quick look sees it
        return held_out(data.X, data.y, stretch_rows(n, _STRETCHES, seed + 1), seed)

    aware = Problem(
        "blocks of ten minutes, told the speed a minute before",
        lambda seed: blocks(seed, told),
        {models.MDN: usual[models.MDN]},
        mode_rows=0,
        look=_by_speed,
    )
    return Judged(
        compare(work, Problem("random rows", rows, usual, mode_rows=n_rows, look=look), work.seeds(5)),
        compare(work, Problem("blocks of ten minutes", blocks, fewer, mode_rows=0, look=_by_speed), work.seeds(5)),
        compare(work, Problem("stretches", stretch, fewer, mode_rows=0, look=_by_speed), work.seeds(_STRETCHES)),
        compare(work, aware, work.seeds(5)),
    )


def _by_speed(model: Model, prediction: Prediction, part: Part) -> Record:
    """Return the mean log-likelihood of slow readings, which is NaN where there is none, and of the others."""
    y = torch.as_tensor(part.y_test)
    log_prob = prediction.log_prob(y[:, None])
    return {"slow": float(log_prob[y < _SLOW].mean()), "free": float(log_prob[y >= _SLOW].mean())}


def _of_stretches(judged: Judged, model: str, what: str, *, jam: bool) -> Measured:
    """Return a number over the stretches that have slow readings, or over those that have none."""
    records = judged.stretches.records[model]
    return Measured.over(record[what] for record in records if math.isnan(record["slow"]) != jam)


# --- what to conclude ---


def two_speeds(fork: Fork | None) -> str:
    """Return a sentence on where the mixture sees several speeds."""
    if fork is None:
        return "There is no stretch of flows where the mixture sees more than one speed."
    return (
        f"At flows from {fork.start:.0f} to {fork.stop:.0f} vehicles an hour the mixture sees more than one speed: "
        f"in the middle, at {fork.middle:.0f}, {fork.told('mph', 0)} of the probability."
    )


def of_splits(judged: Judged, y: Array) -> list[str]:
    """Return sentences on what changes with the rows that judge."""
    slow = np.flatnonzero(y < _SLOW)
    of_rows, of_blocks = (each.value(models.MDN, "log_score") for each in (judged.rows, judged.blocks))
    told = f"Judged by blocks of ten minutes the mixture reaches {of_blocks}, by random rows {of_rows}"
    error = math.hypot(of_rows.error or 0.0, of_blocks.error or 0.0)
    if of_rows.mean - of_blocks.mean > 2 * error > 0:
        told += (
            ": a row drawn at random has neighbours half a minute away that were learned from, and part of what it "
            "rewards is memory"
        )
    elif of_rows.error and of_blocks.error and of_blocks.error > of_rows.error:
        told += (
            f"; from draw to draw blocks differ {of_blocks.error / of_rows.error:.0f} times as much, because readings "
            "of one jam are not many jams"
        )
    sentences = [f"{told}."]
    of_jam, lost = (_of_stretches(judged, models.MDN, what, jam=True) for what in ("log_score", "slow"))
    if len(set(stretches(len(y), _STRETCHES)[slow])) == 1 and not math.isnan(of_jam.mean):
        sentences.append(
            f"All {len(slow)} readings below {_SLOW:.0f} mph fall within {(slow[-1] - slow[0] + 1) / _HOUR:.1f} hours. "
            f"When their stretch of two hours is held out, the mixture reaches {of_jam}, and {lost} on the slow "
            "readings alone: who has never seen a jam cannot foresee one."
        )
    return sentences


def of_the_minute_before(judged: Judged) -> str:
    """Return a sentence on what one more input is worth."""
    pairs = zip(judged.aware.records[models.MDN], judged.blocks.records[models.MDN], strict=True)
    gain = Measured.over(one["log_score"] - other["log_score"] for one, other in pairs)
    told = f"Told the speed of a minute before as well, the mixture gains {gain} nats on blocks of ten minutes: "
    if not gain.mean > 0:
        return f"{told}it does not help here."
    return f"{told}much of the choice between the two speeds is an input that was missing."


# --- what to show ---


def _scores(compared: Comparison) -> list[Block]:
    return [
        compared.table("A fifth of the readings, drawn at random, mean over draws."),
        READING,
        READING_MODES,
        score_dots(compared, "log-likelihood"),
        answers_table(compared, f"Answers of one number: the share of readings within {_NEAR:.0f} mph of them."),
    ]


def _predictions(compared: Comparison, scene: Scene) -> list[Block]:
    return [
        density_panels(
            compared,
            [models.MDN, models.LEAST_SQUARES, models.GAUSSIAN, models.BOOSTING],
            "densities",
            "p(speed | flow) of four models, with every eighth reading as a dot. The mixture keeps free traffic narrow "
            "and gives the jam a branch of its own; one Gaussian has to be wide enough for both.",
            x=scene.x,
            observed=(scene.observed[0][::8], scene.observed[1][::8]),
            x_label=scene.x_label,
            y_label=scene.y_label,
            y_range=(0.0, 80.0),
        ),
        modes_along(
            compared,
            [models.MDN, models.BOOSTING],
            scene,
            "modes",
            "The jam is the lower branch: there the flow grows with the speed. The mean leaves the cloud of free "
            "traffic where jams are likely, and meets nobody's speed.",
        ),
        components_along(
            compared,
            models.MDN,
            scene,
            "components",
            "Several components share the free branch; one is for the jam.",
        ),
    ]


def _splits(judged: Judged, y: Array) -> list[Block]:
    columns = ["model", "random rows", "blocks of ten minutes", "the stretch with the jam", "other stretches"]
    rows: list[list[Cell]] = []
    for model in judged.stretches.records:
        over_draws: list[Cell] = [each.value(model, "log_score") for each in (judged.rows, judged.blocks)]
        in_time: list[Cell] = [_of_stretches(judged, model, "log_score", jam=jam) for jam in (True, False)]
        rows.append([model, *over_draws, *in_time])
    aware = judged.aware.value(models.MDN, "log_score")
    rows.append([f"{models.MDN}, told the speed a minute before", None, aware, None, None])
    return [
        "Readings follow one another, and neighbours are alike. A fifth of the rows drawn at random therefore asks, in "
        "part, for what was learned by heart. Harder is a fifth of the blocks of ten minutes; hardest, one of five "
        "stretches of two hours, each judged by models that learned from the other four.",
        _through_the_day(judged, y),
        Table("Log-likelihood by the rows that judge.", columns, rows, dict.fromkeys(columns[1:], math.inf)),
    ]


def _through_the_day(judged: Judged, y: Array) -> Figure:
    hour, number = np.arange(len(y)) / _HOUR, stretches(len(y), _STRETCHES)

    def draw(above: Any, below: Any) -> None:
        slow = y < _SLOW
        above.plot(hour[~slow], y[~slow], ".", ms=3, color=canvas.GREY, label="free")
        above.plot(hour[slow], y[slow], ".", ms=4, color=canvas.ATOM, label=f"below {_SLOW:.0f} mph")
        for model, color in zip(judged.stretches.records, canvas.qualitative(6), strict=False):
            for seed, record in enumerate(judged.stretches.records[model]):
                ends = hour[number == (seed + 1) % _STRETCHES][[0, -1]]
                label = model if seed == 0 else None
                below.plot(ends, [record["log_score"]] * 2, color=color, lw=2, label=label)
        for ax in (above, below):
            for start in np.flatnonzero(np.diff(number)):
                ax.axvline(hour[start + 1], color=canvas.GREY, lw=0.8, ls=":")
        canvas.finish(above, "", "speed, mph")
        canvas.finish(below, "hours since the first reading", "log-likelihood, nats")

    caption = (
        "Above: all readings in their order, cut into five stretches. Below: log-likelihood of every model on each "
        "stretch, learned from the other four. The jam is one event; models that did not see it are lost there."
    )
    return drawn("stretches", caption, draw, n_rows=2, size=(9.0, 5.6), sharex=True)
