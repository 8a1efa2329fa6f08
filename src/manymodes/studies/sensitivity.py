"""What a mixture density network depends on: one setting at a time is moved away from a middle, on two problems."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from manymodes.datasets import make_inverse_sinusoid, make_two_sinusoids
from manymodes.estimators import MDNRegressor
from manymodes.estimators.predictions import as_tensor
from manymodes.plots import canvas
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Part, Problem, compare
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Block, Cell, Figure, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work

_ROWS, _TEST_ROWS = 1000, 4000


class Factor(NamedTuple):
    """A setting that is moved.

    Attributes:
        name: Name of the setting, of the model or of the data.
        label: What it is, for people.
        values: What it is set to, in order.
    """

    name: str
    label: str
    values: tuple[float, ...]


class Simulated(NamedTuple):
    """A problem whose truth is known.

    Attributes:
        name: What it is called.
        make: Returns rows and their density.
        noises: Noise that is tried; the middle one is usual.
    """

    name: str
    make: Callable[..., Any]
    noises: tuple[float, ...]


PROBLEMS = (
    Simulated("inverse sinusoid", make_inverse_sinusoid, (0.03, 0.1, 0.3)),
    Simulated("two crossing sinusoids", make_two_sinusoids, (0.01, 0.05, 0.2)),
)
_OF_DATA = ("n_rows", "noise")
_MIDDLE: Mapping[str, float] = {"n_components": 5, "width": 128, "lr": 4e-3, "n_rows": _ROWS}


def study(work: Work) -> Result:
    """Move one setting at a time, and compare the usual models in the middle."""
    sections: list[Section] = []
    conclusions: list[str] = []
    for problem in PROBLEMS:
        compared = compare(work, _usual(work, problem), work.seeds(2))
        factors = _factors(work, problem)
        moved = {factor.name: _moved(work, problem, factor) for factor in factors}
        conclusions += [*compared.conclusions(of=f" on the {problem.name},"), _matters_most(problem, factors, moved)]
        sections += _sections(problem, compared, factors, moved)
    return Result(
        title="What does it depend on?",
        problem=[
            "A mixture density network has settings, and a problem has noise and rows. This study moves one of them at "
            "a time, from a middle that is the same for all, and measures what is lost: the regret, which is the mean "
            "difference between the true log-density of test rows and the predicted one, in nats. The truth itself has "
            "none.",
            "Two problems with a known truth: the inverse sinusoid of Bishop (1994), x = y + 0.3 sin(2 pi y) + uniform "
            "noise, where up to three answers are right; and two crossing sinusoids, y = sin x or -sin x, whose "
            "answers meet and part again.",
            f"The middle: {_ROWS} rows, {int(_MIDDLE['n_components'])} components, two layers of "
            f"{int(_MIDDLE['width'])} units, a learning rate of {_MIDDLE['lr']:g}, four networks, preset 'fast'.",
        ],
        conclusions=conclusions,
        sections=[*sections, Section("How to read the tables", [READING, READING_MODES])],
    )


def _usual(work: Work, problem: Simulated) -> Problem:
    def draw(seed: int) -> Part:
        return _part(work, problem, seed, n_rows=work.pick(_ROWS, 200), noise=problem.noises[1])

    usual = models.standard(work, preset="fast", n_components=int(_MIDDLE["n_components"]))
    return Problem(problem.name, draw, usual, mode_rows=work.pick(500, 50))


def _part(work: Work, problem: Simulated, seed: int, *, n_rows: int, noise: float) -> Part:
    X, y, density = problem.make(n_rows, noise=noise, return_density=True, random_state=seed)
    X_test, y_test = problem.make(work.pick(_TEST_ROWS, 300), noise=noise, random_state=seed + 10_000)
    return Part(X, y, X_test, y_test, density=density)


def _factors(work: Work, problem: Simulated) -> list[Factor]:
    factors = [
        Factor("n_components", "components", (1, 2, 3, 5, 10, 20)),
        Factor("width", "units of a layer", (8, 32, 128, 256)),
        Factor("lr", "learning rate", (5e-4, 1.5e-3, 4e-3, 1e-2, 3e-2)),
        Factor("n_rows", "rows", (100, 300, 1000, 3000, 10_000)),
        Factor("noise", "noise", problem.noises),
    ]
    quick = [factor._replace(values=factor.values[:2]) for factor in factors[::2]]
    return work.pick(factors, quick)


def _moved(work: Work, problem: Simulated, factor: Factor) -> dict[float, list[Record]]:
    """Return what was measured for each value of a setting, one record per seed."""
    found: dict[float, list[Record]] = {}
    for value in factor.values:
        for seed in work.seeds(3):
            key = f"{problem.name}, {factor.label} {value:g}, seed {seed}"
            record = work.step(key, lambda value=value, seed=seed: _fitted(work, problem, factor, value, seed))  # type: ignore[misc]
            found.setdefault(value, []).append(record)
    return found


def _fitted(work: Work, problem: Simulated, factor: Factor, value: float, seed: int) -> Record:
    chosen = {**_MIDDLE, "noise": problem.noises[1], factor.name: value}
    part = _part(work, problem, seed, n_rows=int(chosen["n_rows"]), noise=chosen["noise"])
    width = int(chosen["width"])
    model = MDNRegressor(
        int(chosen["n_components"]),
        preset="fast",
        hidden_sizes=(width, width),
        lr=chosen["lr"],
        max_epochs=work.pick(None, 5),
        random_state=seed,
    )
    started = time.perf_counter()
    model.fit(part.X, part.y)
    seconds = time.perf_counter() - started
    assert part.density is not None  # noqa: S101  # for the type checker
    y = as_tensor(part.y_test)[:, None]
    lost = part.density(part.X_test).log_prob(y) - model.predict_distribution(part.X_test).log_prob(y)
    return {"regret": float(lost.mean()), "seconds": seconds}


Moved = Mapping[str, Mapping[float, list[Record]]]


def _over_seeds(records: list[Record], what: str) -> Measured:
    return Measured.over(record[what] for record in records)


def _matters_most(problem: Simulated, factors: list[Factor], moved: Moved) -> str:
    """Return a sentence on how much each setting of the model moves the regret."""
    spans: dict[str, float] = {}
    for factor in factors:
        means = [_over_seeds(records, "regret").mean for records in moved[factor.name].values()]
        if factor.name not in _OF_DATA:
            spans[factor.label] = max(means) - min(means)
    listed = ", ".join(f"{label} {spans[label]:.2g}" for label in sorted(spans, key=lambda label: -spans[label]))
    return (
        f"On the {problem.name}, the worst value of a setting costs so many nats more than the best one, of those that "
        f"were tried: {listed}."
    )


def _sections(problem: Simulated, compared: Comparison, factors: list[Factor], moved: Moved) -> list[Section]:
    slug = problem.name.replace(" ", "-")
    blocks: list[Block] = [
        _picture(f"regret-{slug}", problem, factors, moved, "regret", "regret, nats"),
        _picture(f"seconds-{slug}", problem, factors, moved, "seconds", "seconds of the fit"),
        _table(problem, factors, moved),
    ]
    usual = compared.table(f"The usual models on the {problem.name}, {_ROWS} rows, mean over seeds.")
    return [
        Section(f"The {problem.name}: one setting at a time", blocks),
        Section(f"The {problem.name}: other models", [usual]),
    ]


def _picture(name: str, problem: Simulated, factors: list[Factor], moved: Moved, what: str, label: str) -> Figure:
    def draw(*axes: Any) -> None:
        for ax, factor in zip(axes, factors, strict=False):
            records = moved[factor.name]
            for place, value in enumerate(factor.values):
                ax.plot([place] * len(records[value]), [each[what] for each in records[value]], "o", color=canvas.GREY)
            means = [_over_seeds(records[value], what).mean for value in factor.values]
            ax.plot(range(len(means)), means, "-", color=canvas.BLUE)
            ax.set_xticks(range(len(means)), [f"{value:g}" for value in factor.values])
            canvas.finish(ax, factor.label, label)
        for ax in axes[len(factors) :]:
            ax.set_visible(False)

    seen = "what is lost against the truth" if what == "regret" else "what it costs"
    caption = f"The {problem.name}: {seen}, one setting moved at a time; dots are seeds, the line is their mean."
    return drawn(name, caption, draw, n_columns=3, n_rows=2, size=(10.0, 6.0), sharey=True)


def _table(problem: Simulated, factors: list[Factor], moved: Moved) -> Table:
    rows: list[list[Cell]] = [
        [factor.label, f"{value:g}", _over_seeds(records, "regret"), _over_seeds(records, "seconds")]
        for factor in factors
        for value, records in moved[factor.name].items()
    ]
    caption = f"The {problem.name}: each setting by itself, all others in the middle; mean over seeds."
    return Table(caption, ["setting", "value", "regret", "seconds"], rows)
