"""Old Faithful: after a long wait the next eruption may be short or long, and no average says so."""

from __future__ import annotations

import numpy as np

from manymodes.datasets import load_geyser
from manymodes.distributions import Prediction
from manymodes.studies.frame import models
from manymodes.studies.frame.along import Fork, Scene, components_along, longest_fork, modes_along
from manymodes.studies.frame.answers import answers_table, modes_of, near, worth
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Part, Problem, compare
from manymodes.studies.frame.kept import as_mixture
from manymodes.studies.frame.pictures import density_panels, score_dots
from manymodes.studies.frame.result import Block, Result, Section
from manymodes.studies.frame.work import Record, Work

_NEAR = 0.5  # minutes


def study(work: Work) -> Result:
    """Compare models on random splits of the eruptions."""
    scene, n_rows = _scene(), work.pick(500, 20)

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        first, y = prediction[:n_rows], part.y_test[:n_rows]
        return {**scene.kept(model), **near(first, modes_of(first), y, _NEAR)}

    problem = Problem("geyser", _split, models.standard(work, preset="fast"), mode_rows=n_rows, look=look)
    compared = compare(work, problem, work.seeds(10))
    fork = longest_fork(as_mixture(compared.records[models.MDN][0]), scene.x)
    return Result(
        title="Old Faithful: will the next eruption be short or long?",
        problem=[
            "Old Faithful erupts for about two minutes, or for about four. Visitors know how long they have waited, "
            "and ask how long the eruption will last. After a short wait it will be long; after a long wait it may be "
            "either, and the average of the two, three minutes, is an eruption that hardly ever happens.",
            f"{len(scene.observed[1])} eruptions of August 1985 (Azzalini and Bowman 1990) are split at random: four "
            "fifths teach, one fifth judges, again for every seed. The night-time codes (short, medium, long) are left "
            "out.",
            f"{models.WHO} The networks have the preset 'fast'.",
        ],
        conclusions=[*compared.conclusions(), _two_lengths(fork), *worth(compared, models.MDN, "half a minute")],
        sections=[
            Section("Scores", _scores(compared)),
            Section("What they predict", _predictions(compared, scene)),
        ],
    )


def _scene() -> Scene:
    X, y = load_geyser()
    return Scene(np.linspace(43.0, 108.0, 131), (X[:, 0], y), "wait, minutes", "duration, minutes")


def _split(seed: int) -> Part:
    X, y = load_geyser()
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = order[: len(y) // 5], order[len(y) // 5 :]
    return Part(X[train], y[train], X[test], y[test])


def _two_lengths(fork: Fork | None) -> str:
    if fork is None:
        return "There is no stretch of waits after which the mixture sees more than one mode."
    return (
        f"After waits from {fork.start:.0f} to {fork.stop:.0f} minutes the mixture sees more than one mode: in the "
        f"middle, after {fork.middle:.0f} minutes, {fork.told('minutes')} of the probability."
    )


def _scores(compared: Comparison) -> list[Block]:
    return [
        compared.table("Eruptions not learned from, mean over splits."),
        READING,
        READING_MODES,
        score_dots(compared, "log-likelihood"),
        answers_table(compared, "Answers of one number: the share of eruptions within half a minute of them."),
    ]


def _predictions(compared: Comparison, scene: Scene) -> list[Block]:
    return [
        density_panels(
            compared,
            [models.MDN, models.LEAST_SQUARES, models.GAUSSIAN, models.NEIGHBOURS],
            "densities",
            "p(duration | wait) of four models, with all eruptions as dots. Least squares runs between the two groups "
            "after long waits; the mixture follows both.",
            x=scene.x,
            observed=scene.observed,
            x_label=scene.x_label,
            y_label=scene.y_label,
            y_range=(0.0, 6.5),
        ),
        modes_along(
            compared,
            [models.MDN, models.GAUSSIAN],
            scene,
            "modes",
            "Where the mixture has two modes, its mean passes through the empty space between them. One Gaussian has "
            "nothing but its mean.",
        ),
        components_along(
            compared,
            models.MDN,
            scene,
            "components",
            "The wait shifts weight from components for long eruptions to components for short ones; where they lie "
            "changes little.",
        ),
    ]
