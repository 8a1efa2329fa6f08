"""Pictures of a robot arm: its poses, where its hand ends up, which answers a map of the workspace has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from manymodes.datasets import robot_arm_joints, robot_arm_position
from manymodes.plots import canvas
from manymodes.studies.frame.comparison import Comparison, Part
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record
from manymodes.studies.robot_arm.answers import RIGHT

Floats = NDArray[np.float64]


def poses(record: Record, part: Part, rows: list[int], name: str, caption: str) -> Figure:
    """Return arms in the poses of all modes, and in that of the mean, for some goals.

    Args:
        record: What ``arm_answers.look`` kept.
        part: The rows.
        rows: Places of the goals among the test rows.
        name: Name of the file.
        caption: What to see.
    """

    def draw(*axes: Any) -> None:
        for ax, row in zip(axes, rows, strict=True):
            for mode, mass in zip(record["modes"][row], record["mass"][row], strict=False):
                if not np.isnan(mode).any():
                    _arm(ax, mode, canvas.BLUE, 1.0 + 3.0 * float(mass), f"a mode, {mass:.0%}")
            _arm(ax, record["mean"][row], canvas.ATOM, 1.4, "the mean", style="--")
            _goal(ax, part.X_test[row])
            canvas.finish(ax, "x1", "x2", legend_inside=True)

    return drawn(name, caption, draw, n_columns=len(rows), size=(11.0, 4.2), sharex=True, sharey=True)


def candidate_poses(candidates: Floats, part: Part, rows: list[int], name: str, caption: str) -> Figure:
    """Return arms in the poses of all candidates, (N, C, D), for some goals."""

    def draw(*axes: Any) -> None:
        for ax, row in zip(axes, rows, strict=True):
            for angles in candidates[row]:
                if not np.isnan(angles).any():
                    _arm(ax, angles, canvas.BLUE, 1.5, None)
            _goal(ax, part.X_test[row])
            canvas.finish(ax, "x1", "x2", legend_inside=True)

    return drawn(name, caption, draw, n_columns=len(rows), size=(11.0, 4.2), sharex=True, sharey=True)


def hull(comparison: Comparison, part: Part, models: list[str], name: str, caption: str) -> Figure:
    """Return where the hand ends up for every goal, by the answer of each model, beside the hull of training rows."""
    outline = part.X[np.append(vertices := ConvexHull(part.X).vertices, vertices[0])]

    def draw(*axes: Any) -> None:
        for ax, model in zip(axes, models, strict=True):
            reached = robot_arm_position(comparison.first(model, "mode"))
            goals = part.X_test[: len(reached)]
            ax.plot(*outline.T, "-", color=canvas.GREY, lw=1.0, label="hull of training rows")
            for goal, end in zip(goals, reached, strict=True):
                ax.plot(*np.stack([goal, end]).T, "-", color=canvas.ATOM, lw=0.6)
            ax.plot(*reached.T, "o", ms=2.0, color=canvas.BLUE, label="where the hand ends up")
            ax.set_title(model)
            ax.set_aspect("equal")
            canvas.finish(ax, "x1", "x2", legend_inside=True)

    return drawn(name, caption, draw, n_columns=len(models), size=(11.0, 4.6), sharex=True, sharey=True)


def workspace(record: Record, name: str, caption: str) -> Figure:
    """Return maps of the workspace: the probability of the best mode, and the number of modes.

    Args:
        record: Places ``x1`` (A,) and ``x2`` (B,), and ``map_mass`` and ``map_count`` there, (B, A), NaN out of reach.
        name: Name of the file.
        caption: What to see.
    """

    def draw(first: Any, second: Any) -> None:
        labels = {"map_mass": "probability of the best mode", "map_count": "number of modes"}
        for ax, (what, label) in zip((first, second), labels.items(), strict=True):
            shown = ax.pcolormesh(record["x1"], record["x2"], record[what], cmap="viridis", zorder=0, shading="nearest")
            counts = np.unique(record[what][~np.isnan(record[what])]) if what == "map_count" else None
            ax.figure.colorbar(shown, ax=ax, label=label, ticks=counts).outline.set_visible(False)
            ax.set_aspect("equal")
            canvas.finish(ax, "x1", "x2")

    return drawn(name, caption, draw, n_columns=2, size=(11.0, 4.2), sharex=True, sharey=True)


def errors_by_count(comparison: Comparison, name: str, caption: str) -> Figure:
    """Return how the best error falls with the number of candidates, for every model."""

    def draw(ax: Any) -> None:
        for model, color in zip(comparison.records, canvas.qualitative(len(comparison.records)), strict=True):
            errors = comparison.first(model, "errors")
            ax.plot(range(1, len(errors) + 1), errors, "-o", ms=3, color=color, label=model)
        ax.axhline(RIGHT, color=canvas.GREY, lw=1.0, ls=":")
        ax.set_yscale("log")
        canvas.finish(ax, "candidates that are tried", "mean distance of the best one's hand from the goal")

    return drawn(name, caption, draw, size=(9.0, 4.2))


def _arm(ax: Any, angles: Floats, color: str, width: float, label: str | None, style: str = "-") -> None:
    joints = robot_arm_joints(angles)
    ax.plot(*joints.T, style, marker="o", ms=3, color=color, lw=width, label=label)
    ax.set_aspect("equal")


def _goal(ax: Any, goal: Floats) -> None:
    ax.plot(*goal, "x", color=canvas.INK, ms=9, mew=2, label="goal", zorder=6)
