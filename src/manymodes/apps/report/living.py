"""The report's living part: the model in the page, and what to say of how exactly it is there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from manymodes.apps.report.judged import Judged
from manymodes.estimators import MDNRegressor
from manymodes.pages.living.example import Example
from manymodes.pages.living.model import page_base, plain_rows, whole_features, with_network, with_slices
from manymodes.pages.living.section import living_section
from manymodes.pages.living.weights import PageNetwork, page_network, rounded_network

HEADING = "Try it: move the features"
NO_LIFE = (
    "This page cannot carry the model itself: it has corrections of its own, or a backbone that takes no table. Ask it "
    "in Python, see the end of this page."
)
MOST_BYTES = 3_000_000  # of a whole page
_MARGIN = 60_000  # bytes for what is around sections, the plan of the network, and where its tensors are
_LISTED = 12  # rows to start from, beside the worst
_WORST = 8
_JUDGED = 500  # rows that tell what rounding changes


def can_live(judged: Judged) -> bool:
    """Return whether a page can carry the model: one that was fitted to a table, without corrections of its own."""
    return isinstance(judged.model, MDNRegressor) and judged.model.encoder_ is not None


def living_part(judged: Judged, taken: int) -> str:
    """Return the section that carries the model.

    Args:
        judged: A model and the rows that it is judged on.
        taken: Bytes that the rest of the page takes.
    """
    model, examples = judged.model, _examples(judged)
    base = page_base(model, examples, _ranges(judged), order=judged.order, whole=whole_features(judged.X))
    room = (MOST_BYTES - taken - _size(living_section(HEADING, base)) - _MARGIN) * 3 // 4  # of bytes before base64
    network = page_network(model.network_, room)
    page = with_slices(base, model, examples, room) if network is None else with_network(base, network)
    targets = " and ".join(judged.targets)
    notes = [
        f"Move the features and see what {targets} may be: the curve is p(y | x), the shaded part the shortest region "
        "that holds the probability you choose, dots are modes, the box below marks quartiles and the 5 and 95 % "
        "quantiles. Drag across the curve for the probability of a range.",
    ]
    if network is None:
        notes.append(
            "This model is too large for a page, so one feature can be moved at a time, over values that were worked "
            f"out when the page was written, {len(page['slices'])} of {len(judged.features)} features."
        )
    elif network.is_exact:
        notes.append("The page holds the numbers of the network as they are in the model file.")
    else:
        notes.append(_about_rounding(judged, network))
    return living_section(HEADING, page, *notes)


def _size(html: str) -> int:
    return len(html.encode())


def _examples(judged: Judged) -> list[Example]:
    """Return rows spread over the predicted means, a typical one first, and those that were predicted worst."""
    means = judged.density.mean[:, 0].numpy()
    order = np.argsort(means, kind="stable")
    spread = [
        int(order[place]) for place in np.linspace(0, len(order) - 1, min(_LISTED, len(order))).round().astype(int)
    ]
    worst = torch.argsort(judged.log_scores["model"], descending=True, stable=True)[:_WORST].tolist()
    rows = list(dict.fromkeys([spread[len(spread) // 2], *spread, *worst]))
    plain = plain_rows(judged.model, judged.X, rows)
    return [
        Example(judged.row_name(row), f"row {judged.row_name(row)}: {_outcome(judged, row)}", own)
        for row, own in zip(rows, plain, strict=True)
    ]


def _outcome(judged: Judged, row: int) -> str:
    return ", ".join(f"{name} {judged.y[row, d].item():.4g}" for d, name in enumerate(judged.targets))


def _ranges(judged: Judged) -> list[tuple[float, float]]:
    """Return what each target's axis reaches over: nearly all of what happened."""
    ends = np.nanquantile(judged.y.numpy(), [0.002, 0.998], axis=0)
    return [(float(low), float(high if high > low else low + 1.0)) for low, high in ends.T]


def _about_rounding(judged: Judged, network: PageNetwork) -> str:
    some = judged.some(_JUDGED)
    model: Any = copy.copy(judged.model)
    model.network_ = rounded_network(judged.model.network_, network.bits or 0)
    change = model.predict_distribution(some.X).log_prob(some.y) - some.density.log_prob(some.y)
    size = float(change[change.isfinite()].abs().mean())
    return (
        f"To fit into the page, the numbers of the network's hidden layers are rounded to {network.bits} bits here: "
        f"the log density of {judged.rows_in_words} changes by {size:.2g} on average. The model file has more digits."
    )
