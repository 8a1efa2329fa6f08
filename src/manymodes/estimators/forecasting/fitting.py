"""The fit of a forecaster: which windows it learns from, which later ones judge it, and how its network is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.estimators.forecasting.calendar import cycles_of
from manymodes.estimators.forecasting.dependence import Dependence
from manymodes.estimators.forecasting.model import WindowModel, training_targets
from manymodes.estimators.forecasting.network import Architecture
from manymodes.estimators.forecasting.series import Panel, Series
from manymodes.estimators.forecasting.windows import (
    EVERY,
    Level,
    Origins,
    Past,
    View,
    inputs_of,
    past_of,
    targets_of,
    units_of,
)
from manymodes.estimators.tables.numbers import Floats
from manymodes.objectives import Objective, named
from manymodes.training import History, Partition
from manymodes.training import fit as train
from manymodes.training.followers import NOBODY, Followers
from manymodes.training.randomness import isolated

_LONGEST = 512  # steps of a context that nobody asked for
_FEWEST_TELLING, _MOST_TELLING = 32, 512  # windows that tell of the dependence between steps
_TRIED = 20  # stretches of time that may be held out where those that are wanted hold nothing


@dataclass(frozen=True)
class Settings:
    """What a fit needs to know, checked.

    Attributes:
        horizon: Steps that are forecast, H.
        context: Steps that are seen; None for the usual number.
        season: Steps of a cycle; None for those that times make likely.
        is_rolled: Whether the network predicts one step, and paths are rolled forward.
        scaling: Name in ``SCALINGS``.
        sizes: What ``Architecture`` wants beside the shapes of inputs.
        objective: What is minimised, or None for the usual.
        options: What ``training.fit`` takes beside the data.
        validation_fraction: Share of each series' steps that each member holds out.
        max_windows: Most windows to learn from.
        device: Where to train.
    """

    horizon: int
    context: int | None
    season: int | None
    is_rolled: bool
    scaling: str
    sizes: Mapping[str, Any]
    objective: str | Objective | None
    options: Mapping[str, Any]
    validation_fraction: float
    max_windows: int
    device: torch.device


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit gives.

    Attributes:
        model: What predicts.
        architecture: What it takes to build its network again.
        history: What happened while training.
    """

    model: WindowModel
    architecture: Architecture
    history: History


def fit_panel(
    panel: Panel,
    settings: Settings,
    *,
    backbone: nn.Module | None,
    seed: int | None,
    callbacks: Followers = NOBODY,
) -> Fitted:
    """Return what predicts the series of a panel.

    Every member holds out a stretch of time of its own, which chooses its best epoch, and in direct mode tells how
    errors of one path hang together: all of the past is learned from, and all seasons judge. A member learns from no
    window whose targets come into its stretch.

    Raises:
        ValueError: Series that are too short.
    """
    view, levels = _view(panel, settings), _levels(panel, settings.scaling)
    origins = _origins(panel, view, settings.max_windows)
    past, values = past_of(panel, origins, levels, view), targets_of(panel, origins, view.horizon)
    targets, widths = training_targets(past, values, view)
    rows = _rows(past, targets, view)
    partition = _partition(panel, origins, view, settings)
    architecture = _architecture(rows[0], view.horizon, targets.shape[-1], settings)
    with isolated(seed):
        network = architecture.build(backbone).to(settings.device)
    history = train(
        network,
        rows,
        objective=_objective(settings.objective, rows[1]),
        validation=partition,
        random_state=seed,
        callbacks=callbacks,
        **settings.options,
    )
    model = WindowModel(network.to("cpu").double().eval(), view, widths, levels)
    if not settings.is_rolled:
        telling = _telling(partition.held_out, len(past))
        scores = model.member_scores(past, values, telling)
        model.dependence = Dependence.of(scores, _is_later(origins, telling.flatten()))
    return Fitted(model, architecture, history)


def _view(panel: Panel, settings: Settings) -> View:
    return View(
        context=_context(panel, settings),
        horizon=1 if settings.is_rolled else settings.horizon,
        cycles=cycles_of(panel.clock, min(s.start for s in panel), max(panel.end(s) for s in panel)),
        scaling=settings.scaling,
        has_gaps=any(bool(np.isnan(series.values).any()) for series in panel),
    )


def _levels(panel: Panel, scaling: str) -> dict[Any, Level]:
    if scaling == "panel":
        return {EVERY: Level.of(np.concatenate([series.values for series in panel]))}
    return {series.name: Level.of(series.values) for series in panel}


def _architecture(x: Mapping[str, Tensor], horizon: int, target_dim: int, settings: Settings) -> Architecture:
    sizes = dict(settings.sizes)
    if target_dim == 1 and sizes["covariance_type"] == "full":  # the same, and faster
        sizes["covariance_type"] = "diag"
    return Architecture.of(x, horizon, target_dim, **sizes)


def _context(panel: Panel, settings: Settings) -> int:
    """Return how many steps are seen, or refuse series that are too short for it."""
    horizon, longest = settings.horizon, max(map(len, panel))
    if longest < 2 * horizon + 1:
        raise _checks.InputError(
            f"horizon must be at most {max((longest - 1) // 2, 0)} for series of at most "
            f"{_checks.counted(longest, 'step')}, so that one is learned from and one held out; got {horizon}."
        )
    shortest = min(panel, key=len)
    if settings.context is None:
        seasons = panel.clock.seasons if settings.season is None else (settings.season, 2 * settings.season)
        if len(shortest) <= horizon:
            raise _checks.InputError(
                f"every series must have at least horizon + 1 = {horizon + 1} steps to be learned from; got "
                f"{len(shortest)} in {shortest.label}; lower horizon, or leave it out."
            )
        return min(max(3 * horizon, *seasons), _LONGEST, len(shortest) - horizon, longest - 2 * horizon)
    needed = settings.context + horizon
    if len(shortest) < needed:
        raise _checks.InputError(
            f"every series must have at least context + horizon = {needed} steps; got {len(shortest)} in "
            f"{shortest.label}; lower context or horizon, or leave it out."
        )
    if longest < needed + horizon:
        raise _checks.InputError(
            f"a series must have at least context + 2 horizon = {needed + horizon} steps, the last of which are held "
            f"out; got at most {longest}; lower context or horizon."
        )
    return settings.context


def _origins(panel: Panel, view: View, most: int) -> Origins:
    """Return at most so many origins, evenly spread, whose window and targets have any known value."""
    usable = []
    for number, series in enumerate(panel):
        over = np.arange(view.context, len(series) - view.horizon + 1)
        known = np.concatenate([[0], np.cumsum(~np.isnan(series.values).all(1))])
        seen = known[over] > known[over - view.context]
        told = known[over + view.horizon] > known[over]
        usable.append((number, over[seen & told]))
    count = sum(len(over) for _, over in usable)
    if count > most:  # not every so many-th, which would see some hours of the day only
        kept = np.zeros(count, bool)
        kept[np.linspace(0, count - 1, most).round().astype(int)] = True
        ends = np.cumsum([len(over) for _, over in usable])
        parts = np.split(kept, ends[:-1])
        usable = [(number, over[part]) for (number, over), part in zip(usable, parts, strict=True)]
    kept_origins = [(number, over) for number, over in usable if len(over)]
    if not kept_origins:
        raise _nothing_known(view)
    return kept_origins


def _partition(panel: Panel, origins: Origins, view: View, settings: Settings) -> Partition:
    """Return which windows each member learns from, and which of its stretch of time it is judged on.

    The first member holds out the end of every series, the others stretches of the same length before it, evenly
    spread. Series that are too short for that are only learned from.
    """
    n_members = settings.sizes["n_members"]

    def of(member: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        before = member / n_members
        return _apart(origins, view, [_stretch(panel.series[number], view, settings, before) for number, _ in origins])

    wanted = [of(member) for member in range(n_members)]
    usable = [own for own in wanted if all(map(len, own))]
    if not usable:  # what is held out may have nothing but gaps
        places = np.linspace(0, 1, _TRIED, endpoint=False) * n_members
        usable = [own for place in places if all(map(len, own := of(place)))]
    if not usable:
        raise _nothing_known(view)
    parts = [own if all(map(len, own)) else usable[0] for own in wanted]
    return Partition(*(_as_long(column) for column in zip(*parts, strict=True)))


def _nothing_known(view: View) -> _checks.InputError:
    return _checks.InputError(
        f"series must have known values in some context of {view.context} steps and after it, early and at their ends; "
        "got missing ones alone."
    )


def _stretch(series: Series, view: View, settings: Settings, before: float) -> tuple[int, int]:
    """Return the first step of a stretch and the first one after it, so far before the end; twice 0 for none."""
    room = len(series) - view.context
    if room < 2 * settings.horizon:
        return 0, 0
    length = min(max(settings.horizon, round(settings.validation_fraction * room)), room - settings.horizon)
    end = len(series) - round(before * (room - length))
    return end - length, end


def _apart(
    origins: Origins, view: View, stretches: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of windows to learn from, and of those all of whose targets are in a stretch of time."""
    learned, judged = [], []
    for (_, over), (begin, end) in zip(origins, stretches, strict=True):
        judged.append((over >= begin) & (over + view.horizon <= end))
        learned.append((over + view.horizon <= begin) | (over >= end))
    return np.flatnonzero(np.concatenate(learned)), np.flatnonzero(np.concatenate(judged))


def _as_long(parts: Sequence[NDArray[np.int64]]) -> Tensor:
    """Return numbers of windows of each member, as many as the one with the most, (M, n): others begin again."""
    most = max(map(len, parts))
    return torch.from_numpy(np.stack([np.resize(part, most) for part in parts]))


def _rows(past: Past, targets: Floats, view: View) -> tuple[dict[str, Tensor], Tensor | Incomplete, Tensor]:
    """Return rows as ``training.fit`` takes them: steps without any known target weigh nothing."""
    x, y = inputs_of(past, units_of(past, view), view), torch.from_numpy(targets)
    unknown = y.isnan()
    weight = (~unknown.all(-1)).to(torch.float64)
    if not bool((unknown.any(-1) & (weight > 0)).any()):
        return x, y.nan_to_num(nan=0.0), weight
    return x, Incomplete.missing(y), weight


def _objective(asked: str | Objective | None, y: Tensor | Incomplete) -> Objective:
    """Return what is minimised: likelihood and CRPS, where both can be computed."""
    if asked is not None:
        return named(asked)
    return named("0.5 nll + 0.5 crps" if isinstance(y, Tensor) and y.shape[-1] == 1 else "nll")


def _telling(held_out: Tensor, n_windows: int) -> Tensor:
    """Return the windows of each member, (M, n), whose errors tell how steps hang together: those held out.

    Where these are few, as of short series, windows that were learned from count, too: what errors have in common is
    seen in them, though not how large they are.
    """
    if len(held_out.unique()) >= _FEWEST_TELLING:
        return held_out
    some = np.linspace(0, n_windows - 1, min(n_windows, _MOST_TELLING)).round().astype(np.int64)
    return _as_long(np.array_split(np.resize(some, max(len(some), len(held_out))), len(held_out)))


def _is_later(origins: Origins, rows: Tensor) -> Tensor:
    """Return which of some windows are in the later half of them, (N,)."""
    over = torch.from_numpy(np.concatenate([over for _, over in origins]))[rows]
    return over >= over.median()
