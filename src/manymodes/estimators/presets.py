"""Presets: what ``MDNRegressor`` takes for every setting that the user leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SMOOTH, MIDDLE, ROUGH = 0.02, 0.3, 1.5  # first frequencies of the embedding, in turns per standard deviation

DEFAULT_OBJECTIVE = "0.5 nll + 0.5 crps"
AUTO = "auto"
ENOUGH = 5  # components where no search is possible
MORE_THAN_ENOUGH = 10  # components to start a search with


@dataclass(frozen=True)
class Preset:
    """What is computed for a fit, whatever the table.

    Attributes:
        n_members: Members of the ensemble.
        steps: Steps of the final fit, about; a race halves them at most, or doubles them, ...
        epochs: ... but they are at least so many passes over the rows.
        hidden_sizes: Width of each hidden layer.
        lr: Highest learning rate.
        frequencies: First frequencies of the embedding that race against each other.
        race_steps: Steps of the race; 0 for none, and then the first frequency and five components are taken.
        race_folds: Folds of the race: each candidate is judged on every row by a member that did not see it.
        race_sizes: Width of each hidden layer in the race, where the user left it open.
    """

    n_members: int
    steps: int
    epochs: int
    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    lr: float = 4e-3
    frequencies: tuple[float, ...] = (SMOOTH, MIDDLE, ROUGH)
    race_steps: int = 600
    race_folds: int = 4
    race_sizes: tuple[int, ...] = (128, 128)  # ranks the candidates alike at a fraction of the cost


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(n_members=4, steps=250, epochs=40, hidden_sizes=(128, 128), frequencies=(MIDDLE,), race_steps=0),
    "default": Preset(n_members=8, steps=2000, epochs=60),
    "best": Preset(n_members=32, steps=5000, epochs=100, race_steps=1500),
}
