"""What to conclude about digits, in sentences that follow the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.result import Measured
from manymodes.studies.frame.work import Record
from manymodes.studies.mnist.digits import POSSIBLE
from manymodes.studies.mnist.images import DIAGONAL, GAUSSIAN, LEVELS, LOW_RANK, bits
from manymodes.studies.mnist.pictures import confusion

_BETWEEN = 0.25  # from every integer: there a mean is between digits
_N_PAIRS = 3  # that are told


def of_all_images(found: Record, y: NDArray[Any]) -> str:
    """Return how often the best mode and the mean are right, and where they differ."""
    rounded = found["mean"].round()
    by_mode, by_mean = (_share(Measured.over(answer == y)) for answer in (found["best"], rounded))
    differ = found["best"] != rounded
    right = [int((answer == y)[differ].sum()) for answer in (found["best"], rounded)]
    told = (
        f"The integer nearest to the best mode is the right digit on {by_mode} of {len(y)} test images, after "
        f"{found['seconds']:.0f} seconds of training (± is the standard error over images); the integer nearest to the "
        f"mean, on {by_mean}."
    )
    if not differ.any():
        return f"{told} The two never differ."
    return (
        f"{told} They differ on {differ.sum()} images: there the mode is right on {right[0]}, the mean on {right[1]}."
    )


def between(found: Record, y: NDArray[Any]) -> str:
    """Return how many images are doubtful, and what the mean is worth there."""
    possible = found["chances"] >= POSSIBLE
    doubtful = possible.sum(1) > 1
    if not doubtful.any():
        return f"On no image have two digits at least {POSSIBLE:.0%} each."
    nearest = found["mean"].round().clip(0, possible.shape[1] - 1).astype(int)
    off = ~possible[np.arange(len(y)), nearest] & doubtful
    far = np.abs(found["mean"] - found["mean"].round()) > _BETWEEN
    covered = possible[np.arange(len(y)), y][doubtful]
    return (
        f"On {doubtful.sum()} images ({doubtful.mean():.1%}) at least two digits have {POSSIBLE:.0%} or more. The true "
        f"one is among them on {covered.mean():.0%}. On {off.sum()} of them the mean is nearest to a digit that has "
        f"less; on {far.sum()} of all images it is more than {_BETWEEN:g} away from every integer."
    )


def confused(found: Record, y: NDArray[Any]) -> str:
    """Return which digits are most often taken for each other."""
    table = confusion(y, found["best"])
    pairs = Counter({(a, b): int(table[a, b] + table[b, a]) for b in range(len(table)) for a in range(b)})
    told = [
        f"{a} and {b} ({_checks.counted(count, 'image')})" for (a, b), count in pairs.most_common(_N_PAIRS) if count
    ]
    if not told:
        return "No digit is taken for another."
    return f"Most often taken for each other, of {sum(pairs.values())} mistakes, are {_listed(told)}."


def of_models(compared: Comparison) -> list[str]:
    """Return how the models compare, by likelihood and by the digit that is read."""
    own, *others = compared.records
    right = {model: compared.value(model, "digit_of_mode") for model in compared.records}
    of_mean = compared.value(own, "digit_of_mean")
    rival = max(others, key=lambda model: right[model].mean)
    single = compared.value(models.LEAST_SQUARES, "digit_of_mean")
    return [
        *compared.conclusions(of=" on digits learned from few images"),
        f"There the best mode of the {own} is the right digit on {_share(right[own])} of the images and its mean on "
        f"{_share(of_mean)}; the {models.LEAST_SQUARES} with the same layers, whose mean is all it has, on "
        f"{_share(single)}. Of the other models the best mode of the {rival} is right most often, on "
        f"{_share(right[rival])}.",
    ]


def of_densities(records: Mapping[str, Record]) -> str:
    """Return how likely images are under each density, the best first."""
    order = sorted(records, key=lambda name: -records[name]["log_score"])
    told = [f"{bits(records[name])} bits ({name})" for name in order]
    gain = records[LOW_RANK]["log_score"] - records[DIAGONAL]["log_score"]
    word = "gain" if gain > 0 else "lose"
    return (
        f"The other way, a pixel of {LEVELS} grey levels takes {_listed(told)}. Pixels that vary together {word} "
        f"{abs(gain):.0f} nats an image; several components instead of one normal gain "
        f"{records[DIAGONAL]['log_score'] - records[GAUSSIAN]['log_score']:.0f}."
    )


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _share(value: Measured) -> str:
    """Return a share in per cent."""
    return f"{Measured(100 * value.mean, None if value.error is None else 100 * value.error)} %"
