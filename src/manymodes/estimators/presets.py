"""Presets: what ``MDNRegressor`` takes for every setting that the user leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SMOOTH, MIDDLE, ROUGH = 0.02, 0.3, 1.5  # first frequencies of the embedding, in turns per standard deviation

DEFAULT_OBJECTIVE = "0.5 nll + 0.5 crps"
AUTO = "auto"
ENOUGH = 5  # components where no search is possible
MORE_THAN_ENOUGH = 10  # components to start a search with
HIDDEN_SIZES = (256, 256, 256)
RACE_SIZES = (128, 128)  # ranks the candidates alike at a fraction of the cost


@dataclass(frozen=True)
class Preset:
    """Settings of a fit that depend on nothing but the number of rows.

    Attributes:
        n_members: Members of the ensemble.
        steps: Steps of the final fit, about.
        frequencies: First frequencies of the embedding that race against each other; a single one needs no race.
        race_steps: Steps of the race.
        race_folds: Folds of the race: each candidate is judged on every row by a member that did not see it.
    """

    n_members: int
    steps: int
    frequencies: tuple[float, ...]
    race_steps: int = 600
    race_folds: int = 4


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(n_members=4, steps=400, frequencies=(MIDDLE,)),
    "default": Preset(n_members=8, steps=2000, frequencies=(SMOOTH, MIDDLE, ROUGH)),
    "best": Preset(n_members=32, steps=6000, frequencies=(SMOOTH, 0.1, MIDDLE, 0.7, ROUGH), race_steps=1500),
}
