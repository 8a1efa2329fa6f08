"""Pictures of planning: where the system went, where particles go, all returns, and what the members doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from manymodes.datasets import DoubleWell, SlippingCart
from manymodes.plots import canvas
from manymodes.studies.dynamics import hole
from manymodes.studies.dynamics.tasks import CART, CERTAIN, CVAR, WAYS, WELL, Array, Records, Task, ever_failed
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record

_COLORS: Mapping[str, str] = dict(zip(WAYS, (canvas.ATOM, canvas.BLUE, "#E69F00", "#009E73"), strict=True))
_SHOWN = 3  # seeds whose paths are drawn
_WIDE = (11.5, 3.9)
_RANGES: Mapping[str, tuple[float, float]] = {WELL: (-1.7, 2.1), CART: (-0.1, 4.0)}  # of positions


def well(task: Task, records: Records) -> Figure:
    """Return the landscape of the double well, and the paths of two ways to plan."""
    system = DoubleWell()

    def draw(land: Any, *paths: Any) -> None:
        x = np.linspace(-1.7, 1.75, 200)
        land.plot(system.potential(x), x, color=canvas.INK, lw=1.8)
        land.axhspan(*_beyond(task), color=canvas.GREY, alpha=0.15, lw=0)
        at = np.array([system.goal])
        land.plot(system.potential(at), at, "o", color=canvas.BLUE, ms=9)
        canvas.finish(land, "potential", "position x")
        land.set_title("landscape, on its side")
        _paths(paths, task, records, "")
        land.set_ylim(*_RANGES[WELL])

    caption = (
        "Left: the landscape, turned so that its valleys lie at the heights of the paths beside it. The particle is to "
        "be held at the dot, on the slope of the barrier; grey is beyond it. Middle and right: episodes planned for "
        "the mean state and for the worst cases; those that fall are orange. Kicks show as jumps."
    )
    return drawn("double-well", caption, draw, n_columns=3, size=_WIDE, sharey=True)


def cart(task: Task, records: Records) -> Figure:
    """Return where the cart may slip, and the paths of two ways to plan."""
    system = SlippingCart()

    def draw(road: Any, *paths: Any) -> None:
        x = torch.linspace(-0.1, 4.0, 200, dtype=torch.float64)
        for force, color in ((0.2, canvas.GREY), (1.0, canvas.INK)):
            chance = system.slip_probability(x[:, None], torch.full((200, 1), force, dtype=torch.float64))
            road.plot(chance.numpy(), x.numpy(), color=color, lw=1.8, label=f"push of {force:g}")
        road.axhspan(*_beyond(task), color=canvas.GREY, alpha=0.15, lw=0)
        canvas.finish(road, "probability of a slip", "position", legend_inside=True)
        road.set_title("ice")
        _paths(paths, task, records, "")
        for ax in paths:
            ax.axhline(system.goal, color=canvas.BLUE, lw=0.8, ls="--")
        road.set_ylim(*_RANGES[CART])

    caption = (
        "Left: how probable it is that wheels slip, by place, for a gentle push and a full one; grey is beyond the "
        "edge. Middle and right: episodes planned for the mean state and for the worst cases, the goal a dashed line; "
        "those that go over the edge are orange. The mean of the brake's effect is known to both, its chance only to "
        "one."
    )
    return drawn("cart", caption, draw, n_columns=3, size=_WIDE, sharey=True)


def _paths(axes: Sequence[Any], task: Task, records: Records, y_label: str) -> None:
    for ax, way in zip(axes, (CERTAIN, CVAR), strict=True):
        states = np.concatenate([record[f"{way}: states"] for record in records[:_SHOWN]])
        fell = ever_failed(task.system, states)
        steps = np.arange(states.shape[1])
        for path, failed in zip(states[..., 0], fell, strict=True):
            ax.plot(steps, path, color=canvas.ATOM if failed else canvas.BLUE, lw=0.9, alpha=0.7)
        ax.axhspan(*_beyond(task), color=canvas.GREY, alpha=0.15, lw=0)
        ax.set_ylim(*_RANGES[task.name])
        ax.set_title(f"planned for: {way}")
        canvas.finish(ax, "step", y_label)


def _beyond(task: Task) -> tuple[float, float]:
    """Return from where to where positions are to be avoided, as far as pictures go."""
    low, high = _RANGES[task.name]
    return (low, 0.0) if task.name == WELL else (SlippingCart().edge, high)


def particles(tasks: Sequence[Task], found: Mapping[str, Records]) -> Figure:
    """Return where particles go with actions that would hold the mean state."""

    def draw(*axes: Any) -> None:
        pairs = [(task, name) for task in tasks for name in ("model", "exact")]
        for ax, (task, name) in zip(axes, pairs, strict=True):
            record = found[task.name][0]
            paths = np.asarray(record[f"particles, {name}"])[:, : task.n_shown, 0]
            ax.plot(paths.T, color=canvas.BLUE, lw=0.7, alpha=0.45)
            ax.set_title(f"{task.name}, {'learned' if name == 'model' else 'exact'}")
            ax.axhspan(*_beyond(task), color=canvas.GREY, alpha=0.15, lw=0)
            ax.set_ylim(*_RANGES[task.name])
            canvas.finish(ax, "step", "position" if name == "model" else "")

    caption = (
        "Forty particles that follow the same actions, nothing replanned, by the learned density and by the exact one. "
        "Double well: the force that would balance the particle at its goal, were it not for chance, and grey beyond "
        "the barrier. Cart: the brakes at 80 % on the ice from a speed of 0.6, grey over the edge."
    )
    return drawn("particles", caption, draw, n_columns=4, size=(12.5, 3.4))


def returns(tasks: Sequence[Task], found: Mapping[str, Records]) -> Figure:
    """Return the distributions of returns of all ways to plan."""

    def draw(*axes: Any) -> None:
        for ax, task in zip(axes, tasks, strict=True):
            for way in WAYS:
                every = np.sort(np.concatenate([record[f"{way}: returns"] for record in found[task.name]]))
                share = np.arange(1, len(every) + 1) / len(every)
                ax.step(every, share, where="post", color=_COLORS[way], lw=1.8, label=way)
            ax.set_title(task.name)
            canvas.finish(ax, "return of an episode", "share of episodes up to there" if ax is axes[0] else "")
            ax.get_legend().remove()
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    caption = (
        "All episodes of all seeds, from the worst to the best: the farther right a line, the better. The luckiest "
        "episodes are at the top, and the worst cases at the bottom."
    )
    return drawn("returns", caption, draw, n_columns=2, size=(10.0, 4.3))


def doubts(records: Records) -> Figure:
    """Return the disagreement of members along the road, and what a penalty makes of paths."""

    def draw(left: Any, *others: Any) -> None:
        for name, label, color in (("hole", "rows before the ice", canvas.ATOM), ("whole", "all places", canvas.BLUE)):
            left.plot(hole.PLACES, _mean_curve(records, name), color=color, lw=1.8, label=f"learned from {label}")
        left.axvspan(hole.FARTHEST, hole.PLACES[-1], color=canvas.GREY, alpha=0.15, lw=0)
        left.set_ylim(bottom=0.0)
        canvas.finish(left, "position", "disagreement of members", legend_inside=True)
        for ax, penalty in zip(others, (hole.PENALTIES[0], hole.PENALTIES[-1]), strict=True):
            states = np.concatenate([record[f"{penalty}: states"] for record in records[:_SHOWN]])
            for path, failed in zip(states[..., 0], ever_failed(SlippingCart(), states), strict=True):
                ax.plot(path, color=canvas.ATOM if failed else canvas.BLUE, lw=0.9, alpha=0.7)
            ax.axhspan(hole.FARTHEST, _RANGES[CART][1], color=canvas.GREY, alpha=0.15, lw=0)
            ax.axhline(SlippingCart().edge, color=canvas.INK, lw=0.8, ls="--")
            ax.set_ylim(*_RANGES[CART])
            ax.set_title(f"penalty {penalty:g}")
            canvas.finish(ax, "step", "position")

    caption = (
        "Grey: where the logs hold nothing. Left: disagreement of the members, mean over velocities and forces. Middle "
        "and right: paths without a penalty and with the largest one; the edge is dashed, carts that go over it are "
        "orange."
    )
    return drawn("hole", caption, draw, n_columns=3, size=_WIDE)


def _mean_curve(records: Sequence[Record], name: str) -> Array:
    return np.asarray(np.mean([hole.curve(record, name) for record in records], axis=0))
