"""Pictures of tables: everyone's scores on every table, and the likelihood of targets that repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.plots import canvas
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.tables.published import FIGURES, SOURCES


def everyone(found: Mapping[str, Comparison], own: str, what: str, heading: str) -> Figure:
    """Return a score of all models that were run and of all published ones, one panel a table.

    Args:
        found: What was measured, by table.
        own: Name of the model to point out.
        what: Name of the score.
        heading: What it is called.
    """
    run = list(next(iter(found.values())).records)
    published = [source for source in SOURCES if any(name in FIGURES[what].get(source, {}) for name in found)]
    names = [*run, *published][::-1]

    def draw(*axes: Any) -> None:
        for ax, (name, one) in zip(axes, found.items(), strict=True):
            for place, who in enumerate(names):
                if who in run:
                    value, color = one.value(who, what), canvas.BLUE if who == own else canvas.INK
                    ax.errorbar(value.mean, place, xerr=2 * (value.error or 0.0), fmt="o", color=color, capsize=2)
                elif name in FIGURES[what].get(who, {}):
                    ax.plot(FIGURES[what][who][name], place, "D", ms=5, color=canvas.ATOM)
            ax.axvline(one.value(own, what).mean, color=canvas.BLUE, lw=0.8, ls=":")
            ax.set_yticks(range(len(names)), names)
            ax.set_title(name)
            canvas.finish(ax, heading, "")

    caption = (
        f"{heading} on every table, lower is better: dots are run here, with two standard errors, the blue one with "
        "the default; diamonds are published. The dotted line is the default."
    )
    size = (2.6 + 1.9 * len(found), 0.9 + 0.27 * len(names))
    return drawn(f"everyone-{what}", caption, draw, n_columns=len(found), size=size, sharey=True)


def seen_or_new(found: Mapping[str, Comparison], model: str) -> Figure:
    """Return the NLL of a model for targets that do and do not occur among the rows that teach, by table."""

    def draw(ax: Any) -> None:
        kinds = (("nll_new", "new targets", canvas.BLUE, -0.12), ("nll_seen", "targets that repeat", canvas.ATOM, 0.12))
        for what, label, color, shift in kinds:
            values = [one.value(model, what) for one in found.values()]
            means = [value.mean for value in values]
            errors = [2 * (value.error or 0.0) for value in values]
            places = np.arange(len(found)) + shift
            ax.errorbar(places, means, yerr=errors, fmt="o", color=color, capsize=3, label=label)
        shares = [f"{name}\n{one.value(model, 'share_seen').mean:.0%} repeat" for name, one in found.items()]
        ax.set_xticks(range(len(found)), shares)
        canvas.finish(ax, "", "NLL, nats")

    caption = (
        "NLL of the default for test targets that are new and for those that occur among the rows that teach, with two "
        "standard errors; lower is better. Below each table stands how many of its test targets repeat."
    )
    return drawn("repeat", caption, draw, size=(8.6, 3.8))
