"""Old Faithful: after a long wait the next eruption may be short or long, and no average says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from manymodes.datasets import load_geyser
from manymodes.distributions import Prediction
from manymodes.studies import models
from manymodes.studies.comparison import READING, READING_MODES, Part, Problem, compare
from manymodes.studies.kept import as_arrays
from manymodes.studies.pictures import density_panels, score_dots
from manymodes.studies.result import Result, Section
from manymodes.studies.work import Record, Work

_SHOWN = np.linspace(43.0, 108.0, 131)  # minutes of waiting


def study(work: Work) -> Result:
    """Compare models on random splits of the eruptions."""
    X, y = load_geyser()
    problem = Problem("geyser", _split, models.standard(work), look=_along_waits)
    compared = compare(work, problem, work.seeds(10))
    return Result(
        title="Old Faithful: will the next eruption be short or long?",
        problem=[
            "Old Faithful erupts for about two minutes, or for about four. Visitors know how long they have waited, "
            "and ask how long the eruption will last. After a short wait it will be long; after a long wait it may be "
            "either, and the average of the two, three minutes, is an eruption that hardly ever happens.",
            f"{len(y)} eruptions of August 1985 (Azzalini and Bowman 1990) are split at random: four fifths teach, one "
            "fifth judges, again for every seed. The night-time codes (short, medium, long) are left out.",
            models.WHO,
        ],
        conclusions=[
            *compared.conclusions(),
            f"The mixture sees {compared.value(models.MDN, 'n_modes')} modes on average, {models.GAUSSIAN} one.",
        ],
        sections=[
            Section(
                "Scores",
                [compared.table("Eruptions not learned from, mean over splits."), READING, READING_MODES,
                 score_dots(compared, "log-likelihood")],
            ),
            Section(
                "What they predict",
                [
                    density_panels(
                        compared,
                        [models.MDN, models.LEAST_SQUARES, models.GAUSSIAN, models.NEIGHBOURS],
                        "densities",
                        "p(duration | wait) of four models, with all eruptions as dots. Least squares runs between the "
                        "two groups after long waits; the mixture follows both.",
                        x=_SHOWN,
                        observed=(X[:, 0], y),
                        x_label="wait, minutes",
                        y_label="duration, minutes",
                    )
                ],
            ),
        ],
    )  # fmt: skip


def _split(seed: int) -> Part:
    X, y = load_geyser()
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = order[: len(y) // 5], order[len(y) // 5 :]
    return Part(X[train], y[train], X[test], y[test])


def _along_waits(model: Any, prediction: Prediction, part: Part) -> Record:
    return as_arrays(model.predict_distribution(_SHOWN[:, None]))
