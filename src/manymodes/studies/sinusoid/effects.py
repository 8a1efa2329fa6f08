"""What the inverse sinusoid's difficulty depends on: components, rows, noise, turns; and what others made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from manymodes.datasets import make_inverse_sinusoid
from manymodes.distributions import Prediction
from manymodes.estimators import MDNRegressor
from manymodes.estimators.presets import ENOUGH
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Model, Models, Part, Problem, compare
from manymodes.studies.frame.result import Cell, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.sinusoid import pictures
from manymodes.studies.sinusoid.rows import (
    BISHOP,
    CLEAN,
    HARD,
    NOISY,
    SIDES,
    TOLERANCE,
    Wave,
    exact_score,
    inverse,
    mode_rows,
    n_rows,
    shown,
)

_NEAR_BEST = 0.05  # nats that are not worth another component
_COMPONENTS = (1, 2, 3, 5, 10)
_ROW_COUNTS = (100, 300, 1000, 3000)
_SIDES: Sequence[Wave] = (
    *(Wave(0.1, "uniform", side) for side in SIDES),
    *(Wave(0.05, "normal", side) for side in SIDES),
)
_NOISES: Sequence[Wave] = (
    *_SIDES,
    Wave(0.05, "uniform"),
    Wave(0.2, "uniform"),
    Wave(0.03, "normal"),
    Wave(0.1, "normal"),
)
_VARIANTS: Mapping[str, Wave] = {"clean": CLEAN, "noisy": NOISY, "hard": HARD}
_PEERS = Wave(noise=0.05)
_PUBLISHED = {  # benchmarks/results/peers.md, means over five seeds
    "this package, default": 1.634,
    "cde": 1.611,
    "scikit-mdn": 1.583,
    "zuko": 1.571,
    "skpro": 1.558,
    "sbi": 1.540,
    "ngboost": -1.372,
}


class Moved(NamedTuple):
    """What was measured, always of a mixture density network if nothing else is said.

    Attributes:
        components: By their number, on curves by their name.
        rows: By their number.
        noise: By what it is.
        variants: On the clean, the noisy and the hard curve; all models on the hard one.
        peers: On the rows that other packages were measured on.
    """

    components: Mapping[str, Comparison]
    rows: Comparison
    noise: Comparison
    variants: Mapping[str, Comparison]
    peers: Comparison


def fast(work: Work, n_components: int | str = "auto", **settings: Any) -> Callable[[int], MDNRegressor]:
    """Return a function from a seed to a quick mixture density network."""
    settings = {"preset": "fast", "max_epochs": work.pick(None, 3), **settings}
    return lambda seed: MDNRegressor(n_components, **settings, random_state=seed)


# --- what is computed ---


def move(work: Work, usual: Sequence[Record]) -> Moved:
    """Move one setting at a time.

    Args:
        work: The study at work.
        usual: What was measured where nothing is moved.
    """
    peers = Problem("the peers' rows", _peers_rows, _mixture(work), mode_rows=0)
    variants = _by_variant(work)
    return Moved(
        components=_by_components(work, usual, variants["hard"].records[models.MDN]),
        rows=_by_rows(work, usual),
        noise=_by_noise(work, usual),
        variants=variants,
        peers=compare(work, peers, work.seeds(5)),
    )


def _by_components(work: Work, usual: Sequence[Record], hard: Sequence[Record]) -> dict[str, Comparison]:
    counts = work.pick(_COMPONENTS, _COMPONENTS[2:4])
    makes = {str(count): fast(work, count) for count in counts if count != ENOUGH}
    known = {"one turn": (BISHOP, usual), "two turns": (HARD, hard)}
    found = {}
    for name, (wave, records) in work.pick(known, {"one turn": known["one turn"]}).items():
        moved = {**_measured(work, f"components, {name}", wave, makes).records, str(ENOUGH): records}
        found[name] = _joined({str(count): moved[str(count)] for count in counts})
    return found


def _by_rows(work: Work, usual: Sequence[Record]) -> Comparison:
    def measured(count: int) -> Comparison:
        return _measured(work, f"{count} rows", BISHOP, _mixture(work), count)

    counts = work.pick(_ROW_COUNTS, (n_rows(work) // 2, n_rows(work)))
    return _joined({str(n): usual if n == n_rows(work) else measured(n).records[models.MDN] for n in counts})


def _by_noise(work: Work, usual: Sequence[Record]) -> Comparison:
    def measured(wave: Wave) -> Comparison:
        return _measured(work, wave.label, wave, _mixture(work))

    waves = work.pick(_NOISES, _NOISES[:4:3])
    return _joined({wave.label: usual if wave == BISHOP else measured(wave).records[models.MDN] for wave in waves})


def _by_variant(work: Work) -> dict[str, Comparison]:
    waves = work.pick(_VARIANTS, {"hard": HARD})
    makes = {"hard": work.pick(models.standard(work, preset="fast"), _mixture(work))}
    return {name: _measured(work, name, wave, makes.get(name, _mixture(work))) for name, wave in waves.items()}


def _mixture(work: Work) -> Models:
    return {models.MDN: fast(work)}


def _measured(work: Work, name: str, wave: Wave, makes: Models, count: int | None = None) -> Comparison:
    draw = partial(inverse, work, wave, count=count)

    def look(model: Model, prediction: Prediction, part: Part) -> Record:
        few = prediction.logits.shape[-1] < len(part.X)  # neighbours have a component for each row
        return shown(work, model, part) if few else {}

    return compare(work, Problem(name, draw, makes, TOLERANCE, mode_rows(work), look=look), work.seeds(2))


def _joined(records: Mapping[str, Sequence[Record]]) -> Comparison:
    """Return what one model made of several problems as if they were several models."""
    return Comparison(Problem("several problems", _peers_rows, {}), records)


def _peers_rows(seed: int) -> Part:
    X, y, density = make_inverse_sinusoid(500, **_PEERS.settings, return_density=True, random_state=seed)
    X_test, y_test = make_inverse_sinusoid(500, **_PEERS.settings, random_state=1000 + seed)
    return Part(X, y, X_test, y_test, density=density)


# --- what to conclude ---


def words(moved: Moved) -> list[str]:
    """Return a sentence on every setting."""
    return [
        _component_words(moved.components),
        _row_words(moved.rows),
        _noise_words(moved.noise),
        *_hard_words(moved.variants["hard"]),
        _peer_words(moved.peers),
    ]


def _component_words(found: Mapping[str, Comparison]) -> str:
    needed = " and ".join(f"{_enough(compared)} with {name}" for name, compared in found.items())
    return f"The fewest components that come within {_NEAR_BEST:g} nats of the best number that was tried are {needed}."


def _enough(compared: Comparison) -> str:
    losses = {count: compared.value(count, "regret").mean for count in compared.records}
    return next(count for count in losses if losses[count] <= min(losses.values()) + _NEAR_BEST)


def _row_words(found: Comparison) -> str:
    few, *_, many = found.records
    return (
        f"With {few} rows the mixture loses {found.value(few, 'regret')} nats against the exact density, with {many} "
        f"rows {found.value(many, 'regret')}."
    )


def _noise_words(found: Comparison) -> str:
    spans = {
        family: _span(found.value(key, "regret").mean for key in found.records if key.startswith(family))
        for family in ("uniform", "normal")
    }
    return (
        f"Under uniform noise, whose density has edges, the mixture of normals loses {spans['uniform']} nats against "
        f"the exact density; under normal noise it loses {spans['normal']}."
    )


def _hard_words(found: Comparison) -> list[str]:
    return found.conclusions(of=" on the hard variant,") if len(found.records) > 1 else []


def _span(values: Iterable[float]) -> str:
    known = sorted(values)
    low, high = f"{known[0]:.2f}", f"{known[-1]:.2f}"
    return low if low == high else f"{low} to {high}"


def _peer_words(found: Comparison) -> str:
    others = {name: value for name, value in _PUBLISHED.items() if not name.startswith("this package")}
    rival = max(others, key=lambda name: others[name])
    return (
        f"On the 500 rows that other packages were measured on, the preset 'fast' has a log-likelihood of "
        f"{found.value(models.MDN, 'log_score')}; the best other package, {rival}, has {others[rival]:.3f}, the exact "
        f"density {exact_score(found, models.MDN)}."
    )


# --- sections ---


def sections(work: Work, moved: Moved) -> list[Section]:
    """Return what was measured, with pictures."""
    return [
        Section(
            "Components and rows",
            [
                pictures.effects(moved.components, moved.rows),
                *(
                    _table(f"The curve with {name}, by the number of components.", "components", compared)
                    for name, compared in moved.components.items()
                ),
                _table("The curve with one turn, by the number of rows.", "rows", moved.rows),
            ],
        ),
        _noise_section(work, moved.noise),
        _variant_section(work, moved.variants),
        Section("Beside other packages", [_peer_table(moved.peers)]),
    ]


def _noise_section(work: Work, compared: Comparison) -> Section:
    sides = {
        wave.label: (compared.records[wave.label][0], inverse(work, wave, work.random_state))
        for wave in _SIDES
        if wave.label in compared.records
    }
    table = _table(f"{n_rows(work)} rows with several kinds of noise.", "noise", compared)
    return Section("Noise", [pictures.noises(compared), pictures.sides(sides), table])


def _variant_section(work: Work, found: Mapping[str, Comparison]) -> Section:
    records = {name: each.records[models.MDN] for name, each in found.items()}
    drawn = {name: (records[name][0], each.problem.draw(work.random_state)) for name, each in found.items()}
    table = _table("A mixture density network on each variant.", "variant", _joined(records))
    hard = found["hard"].table("The hard variant: all models, mean over seeds.")
    return Section("Clean, noisy, hard", [pictures.variants(drawn), table, hard])


def _table(caption: str, label: str, compared: Comparison) -> Table:
    """Return a table of the values of a setting, with the exact density beside them."""
    names = {"log_score": "log-likelihood", "regret": "regret", "recall": "modes found", "precision": "of them right"}
    rows: list[list[Cell]] = [
        [key, exact_score(compared, key).mean, *(compared.value(key, name) for name in names)]
        for key in compared.records
    ]
    return Table(caption, [label, "exact density", *names.values()], rows)


def _peer_table(compared: Comparison) -> Table:
    own: list[list[Cell]] = [
        ["exact density", exact_score(compared, models.MDN), "here"],
        ["this package, fast", compared.value(models.MDN, "log_score"), "here"],
    ]
    published: list[list[Cell]] = [[name, value, "published"] for name, value in _PUBLISHED.items()]
    caption = (
        "500 rows with uniform noise ± 0.05 on x, another 500 that judge; log-likelihood, mean over five seeds. "
        "Published are figures that this project measured before, on the same rows, with the defaults of every library "
        "and standardised numbers (benchmarks/results/peers.md)."
    )
    return Table(caption, ["model", "log-likelihood", "measured"], [*own, *published])
