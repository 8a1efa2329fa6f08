"""The model card: what a model is, what it was fitted to and how far it can be trusted, in Markdown.

References:
    Mitchell et al. (2019), Model cards for model reporting, FAT*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from manymodes.estimators.regressor import MDNRegressor

CARD_FILE = "MODEL_CARD.md"

_MOST_LEVELS = 8  # that are listed


def model_card(model: MDNRegressor, document: Mapping[str, Any], evaluation: str) -> str:
    """Return the card of a fitted regressor.

    Args:
        model: The regressor.
        document: Its document, see ``document.describe_model``.
        evaluation: How good it is on rows it has not seen, in Markdown; empty where nobody measured it.
    """
    targets = ", ".join(document["targets"])
    parts = [
        f"# p({targets} | features)\n\nA mixture density network of manymodes {document['manymodes_version']}: for "
        f"every row it predicts a whole density of {targets}, not a single number.",
        "## What it takes\n\n" + _table(["feature", "kind", "seen in the fit", "may be missing"], _features(document)),
        "## What it is\n\n" + "\n".join(f"- {line}" for line in _make(model, document)),
        "## How it was fitted\n\n" + "\n".join(f"- {line}" for line in _fit(model)),
        "## How good it is\n\n" + (evaluation or "Nobody has measured it on rows held out; `manymodes evaluate` does."),
        "## Where not to trust it\n\n" + "\n".join(f"- {line}" for line in _LIMITS),
        "## Use\n\n" + _USE,
    ]
    return "\n\n".join(parts) + "\n"


def _features(document: Mapping[str, Any]) -> Iterator[list[str]]:
    for feature in document["features"]:
        gaps = "yes" if feature["has_missing"] else "no"
        yield [f"`{feature['name']}`", feature["kind"], _seen(feature), gaps]


def _seen(feature: Mapping[str, Any]) -> str:
    if not feature["is_used"]:
        return "nothing that varies: not used"
    if feature["kind"] == "category":
        levels = [f"`{level}`" for level in feature["levels"]]
        more = len(levels) - _MOST_LEVELS
        return ", ".join(levels[:_MOST_LEVELS]) + (f" and {more} more" if more > 0 else "")
    ends = [feature["low"], feature["high"]]
    if None in ends:
        return "not kept"
    shown = [_date(end) if feature["kind"] == "time" else f"{end:.6g}" for end in ends]
    return " to ".join(shown)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _make(model: MDNRegressor, document: Mapping[str, Any]) -> Iterator[str]:
    size = sum(parameter.numel() for parameter in model.network_.parameters())
    members = document["n_members"]
    yield f"{members} network{'s' * (members > 1)} pooled into one mixture, {size:,} numbers"
    for group in document["components"]:
        families = ", ".join(
            block["family"] + (" between bounds, through a logit" if block["transform"] else "")
            for block in group["blocks"]
        )
        yield f"{group['size']} component{'s' * (group['size'] > 1)} of each network: {families}"


def _fit(model: MDNRegressor) -> Iterator[str]:
    history = model.history_
    yield (
        f"each network learned from {history.n_train:,} rows and chose its best of {history.n_epochs} epochs on "
        f"{history.n_validation:,} others"
    )
    yield from [*model.target_notes(), *model.feature_notes()]
    yield from history.diagnosis().splitlines()


_LIMITS = (
    "Beyond the ranges above it guesses; `is_far` in Python says which rows are far from those of the fit.",
    "A density describes rows like those of the fit. It says nothing of causes, nor of times when the world differs.",
    "Its probabilities were not corrected on other rows; `manymodes evaluate` shows how well they are calibrated.",
)

_USE = """```python
import runtime  # the file beside this one; needs numpy and onnxruntime

model = runtime.load(".")
density = model.predict_distribution({name: [...] for name in model.features})
density.mean, density.icdf(0.9), density.modes(), density.highest_density_region(0.9), density.sample(100)
```"""


def _table(header: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
