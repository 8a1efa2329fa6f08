"""A robot arm, from where its hand should be to the angles of its joints: elbow up or elbow down (Bishop 1994)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.datasets import robot_arm_solutions
from manymodes.estimators import MDNRegressor
from manymodes.nn import MLP
from manymodes.studies.frame import models
from manymodes.studies.frame.answers import modes_of
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Model, Models, Part, Problem, compare
from manymodes.studies.frame.result import Block, Cell, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.robot_arm import pictures as arm_pictures
from manymodes.studies.robot_arm.answers import APART, N_CANDIDATES, NEAR, REFINED, RIGHT, draw, look
from manymodes.training.randomness import isolated

PUBLISHED = 0.0053  # root mean square distance, a mixture density network of Bishop (1994), section 6
BEST_MEAN = 0.0585  # root mean square distance of the exact conditional mean, the best that least squares can do
TWO_ANSWERS = 0.688  # share of the points that can be reached

CIRCULAR, THREE = "von Mises components", "three links"
_POSITIONS = {
    "rms_mean": "hand off, mean",
    "rms_mode": "hand off, best mode",
    "both": "both branches found",
    "branch_precision": "modes near a branch",
    "on_goal": "modes near the goal",
}
_CANDIDATES = {
    "success_1": "first right",
    "success_all": f"one of {N_CANDIDATES} right",
    "refined": "right once refined",
    "refined_recall": "solutions found once refined",
    "diversity": "apart, rad",
}


def study(work: Work) -> Result:
    """Compare models on the two-link arm, then let one have components on circles, and another a third link."""
    compared = compare(work, _problem(work, "robot arm", _standard(work)), work.seeds(3))
    circular = compare(work, _problem(work, "robot arm on circles", _circular(work), kind="region"), work.seeds(2))
    three = compare(work, _problem(work, "robot arm with three links", _three_links(work), n_links=3), work.seeds(2))
    return Result(
        title="A robot arm: elbow up or elbow down?",
        problem=[
            "An arm with two links, 0.8 and 0.2 long, stands at the origin. Its angles say where its hand is; a "
            f"robot has to know the reverse: which angles put the hand at a goal? For {TWO_ANSWERS:.1%} of the goals "
            "that can be reached there are two answers, elbow up and elbow down, and their average puts the hand "
            "somewhere else.",
            f"{_n_rows(work):,} random poses teach, without noise, in the setting of Bishop (1994). New ones judge, "
            "through the forward function: the hand is where the angles put it.",
            f"{models.WHO} They are multilayer perceptrons with three layers of 64 units. The {models.MDN} has five "
            "components with full covariance, whose scales stay above a hundredth: targets have no noise, and scales "
            "would shrink without end where the problem is easy.",
        ],
        conclusions=_conclusions(compared, circular, three),
        sections=[
            Section("Where the hand ends up", _positions(work, compared)),
            Section("Candidates: proposed, ranked, refined", _candidates(compared)),
            Section("The density itself", [_scores(compared), READING, READING_MODES]),
            Section("Angles on circles, and a third link", _extensions(work, circular, three)),
        ],
    )


def _n_rows(work: Work) -> int:
    return work.pick(1000, 200)


# --- models ---


def arm_regressor(*, random_state: int, **settings: Any) -> MDNRegressor:
    """Return a regressor whose backbone begins with weights of its seed."""
    with isolated(random_state):
        backbone = MLP(2, (64, 64, 64))
    return MDNRegressor(backbone=backbone, random_state=random_state, **settings)


def _settings(work: Work, **own: Any) -> dict[str, Any]:
    """Return settings of all networks: many small steps on few rows without noise, and no decay of weights."""
    usual = {
        "n_members": 1,
        "n_components": 5,
        "covariance_type": "full",
        "min_scale": 0.01,
        "objective": "nll",
        "max_epochs": work.pick(400, 10),
        "batch_size": 64,
        "lr": 5e-3,
        "weight_decay": 0.0,
        "validation_fraction": 0.05,
    }
    return {**usual, **own}


def _standard(work: Work) -> Models:
    return models.standard(work, 2, regressor=arm_regressor, **_settings(work))


def _circular(work: Work) -> Models:
    settings = _settings(work, covariance_type="diag", family="von_mises")
    return {CIRCULAR: lambda seed: arm_regressor(**settings, random_state=seed)}


def _three_links(work: Work) -> Models:
    settings = _settings(work, n_components=work.pick(20, 8), min_scale=0.02, max_epochs=work.pick(300, 10))
    return {THREE: lambda seed: arm_regressor(**settings, random_state=seed)}


def _problem(work: Work, name: str, compared: Models, *, n_links: int = 2, kind: str = "central") -> Problem:
    def kept(model: Model, prediction: Any, part: Part) -> Record:
        map_of = _map if isinstance(model, MDNRegressor) and n_links == 2 else lambda *_: {}
        return {**look(prediction, part, n_solved=work.pick(100, 8)), **map_of(work, model)}

    return Problem(
        name,
        lambda seed: draw(seed, _n_rows(work), work.pick(1000, 40), n_links),
        compared,
        mode_rows=work.pick(100, 10),
        kind=kind,
        look=kept,
    )


def _map(work: Work, model: Model) -> Record:
    """Return the probability of the best mode and the number of modes over the workspace of two links."""
    x1, x2 = np.linspace(0.0, 1.0, work.pick(81, 9)), np.linspace(0.1, 1.0, work.pick(73, 8))
    places = np.stack(np.meshgrid(x1, x2), -1).reshape(-1, 2)
    reached = ~np.isnan(robot_arm_solutions(places)[:, 0, 0])
    modes = modes_of(model.predict_distribution(places[reached]))
    maps = {name: np.full(len(places), np.nan) for name in ("map_mass", "map_count")}
    maps["map_mass"][reached], maps["map_count"][reached] = modes.mass[:, 0], modes.counted.sum(-1)
    return {"x1": x1, "x2": x2, **{name: value.reshape(len(x2), len(x1)) for name, value in maps.items()}}


# --- what is shown ---


def _table(compared: Comparison, caption: str, headings: Mapping[str, str]) -> Table:
    known = set(next(iter(compared.records.values()))[0])
    headings = {name: text for name, text in headings.items() if name in known}
    rows: list[list[Cell]] = [
        [model, *(compared.value(model, name) for name in headings)] for model in compared.records
    ]
    best = {text: _ideal(name) for name, text in headings.items() if name != "diversity"}
    return Table(caption, ["model", *headings.values()], rows, best if len(rows) > 1 else {})


def _ideal(name: str) -> float:
    return -math.inf if name.startswith("rms") else math.inf


def _positions(work: Work, compared: Comparison) -> list[Block]:
    part = compared.problem.draw(work.random_state)
    two = np.flatnonzero(~np.isnan(part.true_modes).any((1, 2)))[:3].tolist()  # type: ignore[arg-type]
    return [
        _table(compared, "How far the hand is from its goal, and the answers found, mean over seeds.", _POSITIONS),
        "Distances are root mean squares over test rows; a stretched arm is 1 long. A branch counts as found where a "
        f"mode that holds at least 5 % lies within {NEAR:g} rad of it in both angles. Points whose branches are closer "
        f"than {APART:g} rad, {compared.value(models.MDN, 'left_out').mean:.1%} of the test rows, are left out. A mode "
        f"that puts the hand within {RIGHT:g} of the goal and is near no branch is a pose just outside the range of "
        "angles that was taught.",
        arm_pictures.poses(
            compared.records[models.MDN][0], part, two, "poses",
            "Arms for three goals with two answers. Thick where a mode is probable; the dashed arm takes the mean of "
            "the density, and misses.",
        ),
        arm_pictures.hull(
            compared, part, [models.LEAST_SQUARES, models.MDN], "hull",
            "Where the hand ends up for every goal; orange lines lead from goals to hands. Least squares leaves the "
            "region of the goals, and misses where there are two answers; of the mixture's best mode hardly a line is "
            "to be seen.",
        ),
        arm_pictures.workspace(
            compared.records[models.MDN][0], "workspace",
            "The workspace: how probable the best mode is, and how many modes there are. Where both poses are possible "
            "neither is certain; along the border of that region one of them takes over.",
        ),
    ]  # fmt: skip


def _candidates(compared: Comparison) -> list[Block]:
    return [
        f"inverse.solve takes candidates from each density, its modes and {2 * N_CANDIDATES} samples, within the "
        "ranges of the joints, and ranks them by their density. As proposed, one is right that puts the hand within "
        f"{RIGHT:g} of the goal; refined by Gauss-Newton through the forward function, within {REFINED:g}.",
        _table(compared, "Candidates for test rows, mean over seeds.", _CANDIDATES),
        arm_pictures.errors_by_count(
            compared, "candidates",
            "How near the best of so many candidates comes before any is refined; dotted: what counts as right.",
        ),
    ]  # fmt: skip


def _scores(compared: Comparison) -> Table:
    return compared.table("Scores of the joint density of both angles, mean over seeds.")


def _extensions(work: Work, circular: Comparison, three: Comparison) -> list[Block]:
    shown = {**_POSITIONS, **_CANDIDATES}
    return [
        "An angle is at home on a circle. With von Mises components, which live there, nothing has to be known about "
        "where angles are cut.",
        _table(circular, "Components on circles, mean over seeds.", shown),
        "With three links, 0.5, 0.3 and 0.2 long, a goal is reached by a continuum of poses. No list of modes is "
        "complete there; what matters is that candidates are right, and far apart.",
        _table(three, "Three links, mean over seeds.", shown),
        arm_pictures.candidate_poses(
            three.first(THREE, "candidates"), three.problem.draw(work.random_state), [0, 1, 2], "three-links",
            "Refined candidates for three goals of an arm with three links: each pose puts the hand where it should "
            "be.",
        ),
    ]  # fmt: skip


def _conclusions(compared: Comparison, circular: Comparison, three: Comparison) -> list[str]:
    def of(model: str, what: str) -> str:
        return f"{compared.value(model, what).mean:.1%}"

    return [
        f"The most probable mode of the {models.MDN} puts the hand {compared.value(models.MDN, 'rms_mode')} from its "
        f"goal (root mean square); Bishop (1994) reached {PUBLISHED:g}. Least squares is "
        f"{compared.value(models.LEAST_SQUARES, 'rms_mean')} off, and no mean can do better than {BEST_MEAN:g}.",
        f"It finds both branches at {of(models.MDN, 'both')} of the goals that have two; {of(models.MDN, 'on_goal')} "
        "of its modes put the hand near the goal.",
        f"The first candidate is right as proposed at {of(models.MDN, 'success_1')} of the goals, of the "
        f"{models.LEAST_SQUARES} at {of(models.LEAST_SQUARES, 'success_1')}. Refined through the forward function, "
        f"candidates find {of(models.MDN, 'refined_recall')} and {of(models.LEAST_SQUARES, 'refined_recall')} of all "
        "solutions: where a forward function is known and cheap, it makes up for a poor model.",
        f"With components on circles the hand is {circular.value(CIRCULAR, 'rms_mode')} off, and both branches are "
        f"found at {circular.value(CIRCULAR, 'both').mean:.1%}.",
        f"With three links, {three.value(THREE, 'success_all').mean:.1%} of goals have a candidate within {RIGHT:g} "
        f"among {N_CANDIDATES}, and {three.value(THREE, 'refined').mean:.1%} a right one once refined; these are "
        f"{three.value(THREE, 'diversity').mean:.1f} rad apart on average.",
        *compared.conclusions(),
    ]
