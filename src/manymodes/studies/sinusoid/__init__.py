"""The inverse sinusoid of Bishop (1994): one answer forward, up to three backward, and an average that is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from manymodes.distributions import Mixture, Prediction
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Models, Part, Problem, compare
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Cell, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.sinusoid import effects, pictures
from manymodes.studies.sinusoid.rows import BISHOP, TOLERANCE, forward, inverse, mode_rows, n_rows, shown

EXACT, DEFAULT, FAST = "exact density", "default preset", "preset 'fast'"
THREE, FIVE = "one network, 3 components", "one network, 5 components"
_ANSWERS = {
    "impossible_mean": "mean impossible",
    "impossible_mode": "highest mode impossible",
    "recall": "modes found",
    "precision": "of them right",
}
_LITTLE = 0.1  # share that is not worth a word


class Exact:
    """The exact density, as if it were a model.

    Args:
        density: A function of inputs that returns it.
    """

    def __init__(self, density: Any) -> None:
        self.density = density

    def fit(self, X: Any, y: Any) -> Exact:
        """Return itself: it knows."""
        return self

    def predict_distribution(self, X: Any) -> Mixture:
        """Return the exact densities, ``batch_shape`` (N,)."""
        exact: Mixture = self.density(X)
        return exact


def study(work: Work) -> Result:
    """Learn one curve in both directions, and compare with what is exactly known."""
    hurry: dict[str, Any] = work.pick({}, {"max_epochs": 4})
    usual = models.standard(work, preset="fast", **hurry)
    few = {name: usual[name] for name in (models.MDN, models.LEAST_SQUARES)}
    there = _measured(work, "the forward problem", partial(forward, work, BISHOP), work.pick(usual, few), 2)
    back = _measured(work, "the inverse problem", partial(inverse, work, BISHOP), usual, 3)
    floor = _against_exact(work, back)
    moved = effects.move(work, back.records[models.MDN])
    return Result(
        title="One answer forward, three answers back: the inverse sinusoid",
        problem=_problem(work),
        conclusions=[
            _forward_words(there),
            _back_words(back),
            *_without_exact(back).conclusions(of=" on the inverse problem,"),
            _floor_words(floor),
            _mode_words(floor),
            *effects.words(moved),
        ],
        sections=[
            *_both_ways(work, there, back),
            *_all_answers(work, back, floor),
            *effects.sections(work, moved),
            Section("How to read the tables", [READING, READING_MODES]),
        ],
    )


def _problem(work: Work) -> list[str]:
    return [
        "Take a number t between 0 and 1 and compute x = t + 0.3 sin(2 pi t), with a little noise. From t to x there "
        "is one answer, and any regression finds it. Now ask back: which t led to this x? The curve bends, so there "
        "may be one, two or three answers, and their average is often none of them. Bishop (1994) introduced mixture "
        "density networks with this problem.",
        f"Here {n_rows(work)} rows teach and fresh ones judge. The noise is uniform, ± 0.1 on x, as in 1994, unless "
        "something else is said. The exact density of the answers is known, so that every model can be measured "
        "against what nobody can beat.",
        "Valid answers of an x are the values of t where the curve comes nearest to it; a mode within "
        f"{TOLERANCE:g} of one has found it, and answers with less than 5 % of the probability do not count. (Uniform "
        "noise makes the exact density flat. So that there are peaks at all, those under normal noise of the same "
        "spread count as answers.)",
        models.WHO,
    ]


# --- what is computed ---


def _measured(work: Work, name: str, draw: Callable[[int], Part], makes: Models, n_seeds: int) -> Comparison:
    """Return what models make of a problem, and what the exact density scores there."""
    makes = {**makes, EXACT: lambda seed: Exact(draw(seed).density)}
    problem = Problem(name, draw, makes, TOLERANCE, mode_rows(work), look=partial(_look, work))
    compared = compare(work, problem, work.seeds(n_seeds))
    known = [{name: value for name, value in each.items() if name != "seconds"} for each in compared.records[EXACT]]
    return replace(compared, records={**compared.records, EXACT: known})


def _against_exact(work: Work, back: Comparison) -> Comparison:
    """Return the exact density beside mixture density networks large and small, on the inverse problem."""
    small: dict[str, Any] = {"n_components": 5, "n_members": 2, "frequency": 0.3}
    makes = {
        DEFAULT: effects.fast(work, preset="default", **work.pick({}, small)),
        FIVE: effects.fast(work, 5, n_members=1),
        THREE: effects.fast(work, 3, n_members=1),
    }
    found = compare(work, replace(back.problem, name="the exact density", models=makes), work.seeds(2)).records
    known = {EXACT: back.records[EXACT], DEFAULT: found[DEFAULT], FAST: back.records[models.MDN]}
    return Comparison(back.problem, {**known, **found})


def _without_exact(compared: Comparison) -> Comparison:
    return replace(compared, records={name: found for name, found in compared.records.items() if name != EXACT})


def _look(work: Work, model: Any, prediction: Prediction, part: Part) -> Record:
    """Return how often a mean, and a highest mode, is no answer at all, and predictions to draw."""
    assert part.density is not None  # noqa: S101  # for the type checker
    rows = slice(0, mode_rows(work))
    density, few = part.density(part.X_test[rows]), prediction[rows]
    points = {"impossible_mean": few.mean, "impossible_mode": few.modes().location[:, 0]}
    found = {
        name: float((density.log_prob(point.double()) == -math.inf).double().mean()) for name, point in points.items()
    }
    return {**found, **shown(work, model, part)}


# --- what to conclude ---


def _forward_words(there: Comparison) -> str:
    plain, least = (there.value(model, "mse_mean").mean for model in (models.LEAST_SQUARES, EXACT))
    above = plain / least - 1
    enough = "a plain network is all it takes" if above < _LITTLE else "a plain network leaves something to be learned"
    return (
        f"Forward, where every t has one answer, {enough}: its mean squared error, {plain:.3g}, is {100 * above:.0f} % "
        "above that of the exact density."
    )


def _back_words(back: Comparison) -> str:
    mean = "impossible_mean"
    asked = ((models.LEAST_SQUARES, mean), (EXACT, mean), (models.MDN, "impossible_mode"))
    plain, least, best = (_percent(back.value(*each)) for each in asked)
    return (
        f"Back, the answer of the plain network is impossible for {plain} of the rows: no t there leads to this x. "
        f"Averages are to blame, not the network: even the exact mean is impossible for {least}. The highest mode of "
        f"the {models.MDN} is impossible for {best}."
    )


def _floor_words(floor: Comparison) -> str:
    losses = ", ".join(f"{floor.value(name, 'regret')} ({name})" for name in floor.records if name != EXACT)
    return (
        f"The exact density has a log-likelihood of {floor.value(EXACT, 'log_score')}, which nobody can beat. It is "
        f"ahead of mixture density networks by {losses} nats."
    )


def _mode_words(floor: Comparison) -> str:
    own, small = ([_percent(floor.value(name, what)) for what in ("recall", "precision")] for name in (DEFAULT, THREE))
    ripple = floor.value(THREE, "precision").mean - floor.value(DEFAULT, "precision").mean > _LITTLE
    why = " More components follow the flat plateaus of uniform noise more closely, and ripple on them." * ripple
    return (
        f"The default finds {own[0]} of the valid answers, and {own[1]} of its modes are right; a single network with "
        f"three components finds {small[0]}, and {small[1]} are right.{why}"
    )


def _percent(share: Measured) -> str:
    return f"{Measured(100 * share.mean, None if share.error is None else 100 * share.error)} %"


# --- sections ---


def _both_ways(work: Work, there: Comparison, back: Comparison) -> list[Section]:
    parts = [compared.problem.draw(work.random_state) for compared in (there, back)]
    plain = [compared.records[models.LEAST_SQUARES][0] for compared in (there, back)]
    captions = ("Forward, from t to x: all models, mean over seeds.", "Back, from x to t: all models, mean over seeds.")
    tables = [_table(compared, caption) for compared, caption in zip((there, back), captions, strict=True)]
    others = (models.LEAST_SQUARES, models.GAUSSIAN, models.BOOSTING, models.NEIGHBOURS)
    records = {model: back.records[model][0] for model in work.pick(others, others[::3])}
    return [
        Section("Forward and back", [pictures.forward_and_back(parts, plain), _answers_table(back)]),
        Section("All models", [*tables, score_dots(back, "scores"), pictures.others(records)]),
    ]


def _table(compared: Comparison, caption: str) -> Table:
    return replace(compared.table(caption), aside=(EXACT,))


def _answers_table(back: Comparison) -> Table:
    """Return what the answers of all models are worth."""
    rows: list[list[Cell]] = [[model, *(back.value(model, name) for name in _ANSWERS)] for model in back.records]
    caption = (
        "Back: the share of rows where the mean, and the highest mode, is impossible, as the exact density is zero "
        "there; the share of valid answers that have a mode near by, and of modes that have a valid answer near by."
    )
    best = {text: -math.inf if name.startswith("impossible") else math.inf for name, text in _ANSWERS.items()}
    return Table(caption, ["model", *_ANSWERS.values()], rows, best, aside=(EXACT,))


def _all_answers(work: Work, back: Comparison, floor: Comparison) -> list[Section]:
    part, learned = back.problem.draw(work.random_state), floor.records[DEFAULT][0]
    caption = (
        "Back: the exact density, and mixture density networks of several sizes, mean over seeds. In the long run the "
        "exact density has a log-likelihood of 1.2824."
    )
    return [
        Section(
            "All the answers",
            [
                pictures.exact_and_learned(learned, part),
                pictures.modes({name: floor.records[name][0] for name in (THREE, DEFAULT)}, BISHOP),
                _table(floor, caption),
            ],
        ),
        Section("Who takes which answer", [pictures.weights({n: floor.records[n][0] for n in (THREE, FIVE)})]),
    ]
