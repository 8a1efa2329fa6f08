"""Looking at a fit while it runs: its losses, how long it takes, and what it predicts of a few rows by now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manymodes.apps.learning import Learning
from manymodes.estimators import MDNRegressor
from manymodes.estimators.portable.components import describe_components
from manymodes.estimators.portable.parameters import ParameterNetwork
from manymodes.estimators.tables.columns import table_of
from manymodes.nn import MixtureDensityNetwork
from manymodes.training import History

_WATCHED = 6  # rows whose densities are shown
_SHOWN_FEATURES = 4
_SECONDS_BETWEEN = 0.25  # looks at the densities
_TELLING = 0.05  # of the epochs, which tell how long the others will take

Show = Callable[[dict[str, Any]], None]


class Watcher:
    """Follows a fit, and ends it when it is told to.

    Args:
        model: What is fitted.
        learning: Its rows, some of those held out are looked at.
        show: Called with what is new, as JSON can hold it.
        stop: Set when the fit shall end.
        clock: Seconds since some point in time.
    """

    def __init__(
        self,
        model: MDNRegressor,
        learning: Learning,
        show: Show,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._learning, self._show, self._stop, self._clock = model, learning, show, stop, clock
        self._rows = _spread(learning.y_held_out[:, 0])
        self._started = self._looked = -np.inf
        choosing = {} if model.preset == "fast" else {"sentence": "Choosing settings on some of the rows ..."}
        show({"rows": self._described(), "ranges": _ranges(learning.y_held_out), **choosing})

    def on_fit_start(self, network: MixtureDensityNetwork) -> None:
        """Take the network that is about to learn."""
        self._network, self._started = network, self._clock()
        self._show({"sentence": "Learning ..."})
        rows = {name: column[self._rows] for name, column in self._learning.held_out.items()}
        self._encoded = torch.from_numpy(self._model.encoder_.encode(table_of(rows)))

    def on_epoch_end(self, history: History) -> bool:
        """Show how far the fit is; return whether it shall end."""
        now, done, planned = self._clock(), history.n_epochs, history.max_epochs
        news: dict[str, Any] = {
            "train": _rounded(history.train_loss),
            "validation": _rounded(history.validation_loss),
            "max_epochs": planned,
            "seconds_left": (now - self._started) / done * (planned - done) if done >= _TELLING * planned else None,
        }
        is_last = done == planned or self._stop.is_set()
        if now - self._looked >= _SECONDS_BETWEEN or is_last:
            self._looked = now
            news["densities"] = densities_of(self._network, self._encoded)
        self._show(news)
        return self._stop.is_set()

    def _described(self) -> list[dict[str, Any]]:
        """Return what happened in each row, and some of its features as text."""
        features = list(self._learning.held_out.items())[:_SHOWN_FEATURES]
        return [
            {
                "outcome": _rounded(self._learning.y_held_out[row].tolist()),
                "features": {name: _text(column[row]) for name, column in features},
            }
            for row in self._rows
        ]


@torch.no_grad()
def densities_of(network: MixtureDensityNetwork, rows: Tensor) -> dict[str, Any]:
    """Return what a network predicts of encoded rows, (n, E), as the scripts of a page take it."""
    copied = ParameterNetwork(network).cpu().double()  # a copy: the fit goes on as if nobody had looked
    values = [value.flatten(1) for value in copied(rows)]
    components, scaling = copied.network.members(rows).components, copied.network.target_scaling
    target_dim = components.event_shape[0]
    model = {
        "n_members": copied.network.n_members or 1,
        "scaling": {
            "shift": scaling.loc.expand(target_dim).tolist(),
            "scale": scaling.scale.expand(target_dim).tolist(),
        },
        "components": describe_components(components),
    }
    parameters = [
        {name: _rounded(value[row].tolist()) for name, value in zip(copied.names, values, strict=True)}
        for row in range(len(rows))
    ]
    return {"model": model, "rows": parameters}


def _spread(y: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the numbers of some rows, from the smallest outcome to the largest."""
    order = np.argsort(np.where(np.isnan(y), np.inf, y), kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, _WATCHED).round().astype(int))
    return np.asarray(order[chosen], np.intp)


def _ranges(y: np.ndarray[Any, np.dtype[np.float64]]) -> list[list[float]]:
    low, high = np.nanquantile(y, [0.0, 1.0], axis=0)
    room = np.where(high > low, 0.15 * (high - low), 1.0)
    return [[float(a), float(b)] for a, b in zip(low - room, high + room, strict=True)]


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Return numbers with the digits that a picture shows; None where there is none."""
    return [float(f"{value:.7g}") if abs(value) < np.inf else None for value in values]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
