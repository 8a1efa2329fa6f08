"""The studies by name: what each asks, which data it needs. Importing this imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from manymodes import _checks

ALL = "all"


@dataclass(frozen=True)
class Entry:
    """A study that can be run.

    Attributes:
        name: What it is called; its module has the same name, with ``_`` for ``-``.
        question: What it asks, in one line.
        tables: Tables that it reads, see ``datasets.load_table``; ``"mnist"`` for the images.
        minutes: How long it takes on two cores, about.
    """

    name: str
    question: str
    tables: tuple[str, ...] = ()
    minutes: float = 5.0

    @property
    def module(self) -> str:
        """Where the study is written down."""
        return f"manymodes.studies.{self.name.replace('-', '_')}"


_ENTRIES: tuple[Entry, ...] = (
    Entry(
        "sinusoid", "One answer forward, several back: what does a plain network make of it, and a mixture?", minutes=7
    ),
    Entry("robot-arm", "Which angles put the hand of a robot at its goal: elbow up, or elbow down?", minutes=7),
    Entry(
        "mnist",
        "Which digit is it, if a digit is a number, and what does a 4 look like?",
        tables=("mnist",),
        minutes=12,
    ),
    Entry(
        "tables",
        "How near does one default come to what was published for each table?",
        tables=("uci-boston-housing", "uci-concrete", "uci-energy", "uci-yacht", "uci-kin8nm"),
        minutes=8,
    ),
    Entry(
        "calibration",
        "Can the stated probabilities be trusted, and what mends them when they cannot?",
        tables=("california-housing", "speedflow-lane2", "bike-sharing"),
        minutes=9,
    ),
    Entry(
        "active-learning",
        "Which rows are worth labelling next?",
        tables=("bike-sharing",),
        minutes=8,
    ),
    Entry(
        "decisions",
        "How many bicycles, when one too few costs more than one too many, and which rows are better left to a person?",
        tables=("bike-sharing", "speedflow-lane2"),
        minutes=7,
    ),
    Entry("densities", "How far from the truth, where the truth is known, does every model stay?", minutes=12),
    Entry("sensitivity", "What does a mixture density network depend on, and what does each setting cost?", minutes=8),
    Entry("traffic", "At one flow, do cars drive freely or queue?", tables=("speedflow-lane2",), minutes=5),
    Entry("geyser", "Will the next eruption of Old Faithful be short or long?", minutes=3),
    Entry("taxi", "Where will a taxi go, and how is that drawn on a map?", tables=("nyc-taxi-yellow",), minutes=6),
    Entry("rain", "How much rain, when a quarter of the days have none?", tables=("rain-innsbruck",), minutes=7),
    Entry(
        "forecast",
        "What may come next, and how likely is it: for a transformer, for stocks, and between two wells?",
        tables=("etth1", "eustockmarkets"),
        minutes=12,
    ),
    Entry("dynamics", "Plan for what may happen, or for what happens on average?", minutes=6),
)

STUDIES: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def entry(name: str) -> Entry:
    """Return a study by its name, or refuse one that is not there with the nearest names.

    Raises:
        ValueError: An unknown name.
    """
    if name in STUDIES:
        return STUDIES[name]
    near = difflib.get_close_matches(name.lower(), STUDIES, n=3, cutoff=0.5)
    offered = f"the nearest is {_checks.quoted(near)}" if len(near) == 1 else f"the nearest are {_checks.quoted(near)}"
    hint = offered if near else f"there are {_checks.quoted(STUDIES)}"
    raise _checks.InputError(f"there is no study {name!r}; {hint}.")
