"""What to conclude about calibration, in sentences that follow the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manymodes.studies.calibration.in_time import LAST, PAST, SAME, WEEKLY
from manymodes.studies.calibration.pictures import in_groups
from manymodes.studies.calibration.repairs import (
    AS_IS,
    BY_GROUP,
    INTERVALS,
    LEVEL,
    MAP,
    PREDICTED,
    REGIONS,
    TEMPERATURE,
)
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.result import Measured

_AS_LUCK = 1.5  # times the error of luck, up to which a calibration error is none to speak of


def of_repairs(found: Comparison) -> str:
    """Return how badly the worst model is calibrated, what corrections make of it, and of the mixture."""
    where = found.problem.name
    error = {model: found.value(model, f"{AS_IS}: calibration_error") for model in found.records}
    worst = max(error, key=lambda model: error[model].mean)
    floor = found.value(worst, f"{AS_IS}: floor").mean
    mended = found.value(worst, f"{MAP}: calibration_error")
    told = (
        f"On {where} the stated probabilities of the {worst} are off by {error[worst]}; after the map by {mended}, "
        f"which adds {gained(found, worst, MAP)} nats, where a temperature alone adds "
        f"{gained(found, worst, TEMPERATURE)}. "
    )
    own = error[models.MDN]
    if own.mean <= _AS_LUCK * floor:
        told += f"Those of the {models.MDN} are off by {own}, hardly more than the {floor:.2g} that luck makes: "
    else:
        told += f"Those of the {models.MDN} are off by {own}, where luck makes {floor:.2g}: "
    return f"{told}the map changes its log-likelihood by {gained(found, models.MDN, MAP)}."


def of_order(found: Comparison) -> str:
    """Return whether the map changes which model is the most likely."""
    before, after = (
        max(found.records, key=lambda model: found.value(model, f"{repair}: log_score").mean) for repair in (AS_IS, MAP)
    )
    where = found.problem.name
    if before == after:
        return (
            f"Corrected or not, the most likely on {where} is the {before}: a map makes probabilities honest, but does "
            "not add what a model has not learned."
        )
    return f"With the map the most likely on {where} is the {after}; without it, the {before}."


def of_sets(found: Comparison, unit: str) -> str:
    """Return how long conformal regions are beside conformal intervals, of the mixture and of one Gaussian."""
    own, share = {}, {}
    for name in (INTERVALS, REGIONS):
        own[name] = found.value(models.MDN, f"{name}: length")
        share[name] = found.value(models.MDN, f"{name}: inside")
    ratio = own[REGIONS].mean / own[INTERVALS].mean - 1
    one = found.value(models.GAUSSIAN, f"{INTERVALS}: length")
    return (
        f"On {found.problem.name}, conformal regions of the {models.MDN} are {abs(ratio):.0%} "
        f"{'shorter' if ratio < 0 else 'longer'} than its conformal intervals ({own[REGIONS]} and {own[INTERVALS]} "
        f"{unit}) and hold {_percent(share[REGIONS])} and {_percent(share[INTERVALS])} of the readings; intervals of "
        f"{models.GAUSSIAN} are {one} long."
    )


def of_groups(found: Comparison, names: Sequence[str], model: str) -> str:
    """Return how different coverage is from group to group, before and after."""
    records = found.records[model]
    whole = {kind: found.value(model, f"{kind}: inside") for kind in (PREDICTED, INTERVALS, BY_GROUP)}
    ends = {}
    for kind in (INTERVALS, BY_GROUP):
        shares = in_groups(records, kind)
        means = [share.mean for share in shares]
        low, high = int(np.nanargmin(means)), int(np.nanargmax(means))
        ends[kind] = f"{_percent(shares[low])} in the {names[low]} to {_percent(shares[high])} in the {names[high]}"
    return (
        f"Right on average is not right everywhere: on {found.problem.name}, conformal intervals of the {model} hold "
        f"{_percent(whole[INTERVALS])} of all, but from {ends[INTERVALS]}. Fitted by group they hold from "
        f"{ends[BY_GROUP]}."
    )


def of_rows(found: Comparison, sizes: Sequence[int]) -> str:
    """Return how many rows held out a map takes to gain, by model."""
    parts = []
    for model in (models.LEAST_SQUARES, models.GAUSSIAN, models.MDN):
        values = np.array([record[f"{MAP}: gained"] for record in found.records[model]]).T
        gains = [Measured.over(column) for column in values]
        clear = [size for size, gain in zip(sizes, gains, strict=False) if gain.mean > 2 * (gain.error or 0.0)]
        if clear:
            parts.append(f"the {model} gains by a map from {clear[0]} rows held out on")
        else:
            parts.append(f"the {model} gains clearly by none of {sizes[0]} to {sizes[len(values) - 1]} rows")
    return f"How many rows it takes, on {found.problem.name}: {'; '.join(parts)}."


def of_time(found: Comparison) -> list[str]:
    """Return what corrections are worth when time moves on, of the mixture and of whoever holds most."""
    own = {name: found.value(models.MDN, f"{name}: inside") for name in (AS_IS, PAST, LAST, WEEKLY, f"{SAME}, {PAST}")}
    later = {model: found.value(model, f"{AS_IS}: inside").mean for model in found.records}
    nearest = min(later, key=lambda model: abs(later[model] - LEVEL))
    width = found.value(nearest, f"{AS_IS}: width").mean / found.value(models.MDN, f"{AS_IS}: width").mean
    lost = own[PAST].mean < LEVEL - 0.05
    told = (
        f"Corrections last as long as the world stays: conformal intervals of 90 % of the {models.MDN} hold "
        f"{_percent(own[f'{SAME}, {PAST}'])} of the hours of the time that was learned from, and "
        f"{_percent(own[PAST])} of those in the weeks that begin 30 days later"
    )
    told += ", because the service has grown and rows held out of the past cannot tell." if lost else "."
    return [
        told,
        f"Fitted to the last 30 days they hold {_percent(own[LAST])}, and fitted anew every week to the 30 days before "
        f"{_percent(own[WEEKLY])}. By log-likelihood the weekly map changes the {models.MDN} by "
        f"{_change(found, WEEKLY)} nats, the map of the past by {_change(found, PAST)}.",
        f"As it is, the {nearest} comes nearest to 90 % there ({later[nearest]:.0%}), with intervals "
        f"{width:.1f} times as wide as those of the {models.MDN}."
        if nearest != models.MDN
        else f"As it is, the {nearest} comes nearest to 90 % there ({later[nearest]:.0%}).",
    ]


def gained(found: Comparison, model: str, repair: str) -> Measured:
    """Return what a correction adds to the log-likelihood of a model, over repetitions."""
    return Measured.over(
        record[f"{repair}: log_score"] - record[f"{AS_IS}: log_score"] for record in found.records[model]
    )


def _change(found: Comparison, source: str) -> Measured:
    records = found.records[models.MDN]
    return Measured.over(record[f"{source}: log_score"] - record["log_score"] for record in records)


def _percent(share: Measured) -> str:
    if not share.error:
        return f"{share.mean:.0%}"
    return f"{100 * share.mean:.1f} ± {100 * share.error:.1f} %"
