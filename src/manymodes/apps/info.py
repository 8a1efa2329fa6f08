"""``manymodes info``: what a model file holds, what it was fitted to and how good it was found to be."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from torch import Tensor

from manymodes import _checks
from manymodes.apps.scores import Scores
from manymodes.apps.summary import SUMMARY_FILE
from manymodes.estimators import MDNForecaster, RecalibratedRegressor
from manymodes.estimators.architecture import Architecture, with_tuples
from manymodes.estimators.documents import upgraded
from manymodes.estimators.familiarity import Familiarity, is_of_familiarity
from manymodes.estimators.model_file import MODEL_FILE, MODEL_FORMAT
from manymodes.estimators.predictions import default_names
from manymodes.estimators.tables.encoding import ColumnCode, TableEncoder
from manymodes.estimators.target_notes import target_notes
from manymodes.estimators.targets.facts import TargetFacts
from manymodes.training import History


@dataclass(frozen=True)
class Feature:
    """What a model knows of a feature.

    Attributes:
        name: Its name.
        kind: ``"number"``, ``"category"``, ``"time"``, or ``"nothing"`` where it had one value or none.
        low: Smallest value in the fit, a number or a point in time; None where nothing is known.
        high: Largest value, likewise.
        categories: Categories of the fit.
        may_be_missing: Whether some values were missing in the fit.
    """

    name: str
    kind: str
    low: float | str | None = None
    high: float | str | None = None
    categories: list[Any] = field(default_factory=list)
    may_be_missing: bool = False


@dataclass(frozen=True)
class Target:
    """What a model knows of a target.

    Attributes:
        name: Its name.
        family: Family of its components.
        low: Smallest value in the fit; None where nothing is known.
        high: Largest value, likewise.
    """

    name: str
    family: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Info:
    """What is known of a model.

    Attributes:
        path: The model file.
        kind: Name of its class.
        features: Its features; of a forecaster what is known in advance.
        targets: Its targets.
        members: Networks of the ensemble.
        components: Mixture components of each.
        covariance_type: Of the components.
        atoms: Values with a probability of their own.
        numbers: Weights and other numbers in the file.
        recalibration: Kind of correction; None for none.
        horizon: Steps that a forecaster forecasts; None for others.
        holds_training_rows: Whether rows of the fit can be read off the file.
        file: Table that it was fitted to, where the summary of the fit lies beside the model.
        rows: Number of rows that trained, chose the best epoch, and were held out where that is known.
        epochs: Epochs that ran and the one that was kept.
        seconds: Time that training took.
        ended_by: What ended the fit early; empty for nothing.
        written: When the file was written, local time.
        scores: Scores on held-out rows of the model and of its baselines, where the summary of the fit is there.
        notes: What was found in targets and features, and what happened in training.
        bytes: Size of the file.
        format_version: Version of its format.
        manymodes_version: Version of manymodes that wrote it.
    """

    path: str
    kind: str
    features: list[Feature]
    targets: list[Target]
    members: int
    components: int
    covariance_type: str
    atoms: list[float]
    numbers: int
    recalibration: str | None
    horizon: int | None
    holds_training_rows: bool
    file: str | None
    rows: dict[str, int]
    epochs: dict[str, int]
    seconds: float
    ended_by: str
    written: str
    scores: dict[str, Scores]
    notes: list[str]
    bytes: int
    format_version: int
    manymodes_version: str


def info_of(path: Path) -> Info:
    """Return what is known of a model; nothing of it is run.

    Args:
        path: A model file, or a folder that ``manymodes fit`` wrote.

    Raises:
        ValueError: A file that is no model, or damaged.
    """
    path = path / MODEL_FILE if path.is_dir() else path
    tensors, document = MODEL_FORMAT.read(path)
    kind = document["kind"]
    model = document["model"] if kind == RecalibratedRegressor.__name__ else document
    model = model if kind == MDNForecaster.__name__ else upgraded(model)
    about = _of_forecaster(model) if kind == MDNForecaster.__name__ else _of_regressor(model, tensors)
    history = History.from_dict(model["history"])
    summary, unread = _summary(path.parent / SUMMARY_FILE)
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return Info(
        path=str(path),
        kind=kind,
        numbers=sum(value.numel() for name, value in tensors.items() if not is_of_familiarity(name)),
        recalibration=_correction(document["recalibration"]) if "recalibration" in document else None,
        holds_training_rows=bool(model.get("holds_training_rows", False)),
        file=summary.get("file"),
        rows={"train": history.n_train, "validation": history.n_validation} | _held_out(summary),
        epochs={"run": history.n_epochs, "kept": history.best_epoch + 1},
        seconds=history.seconds,
        ended_by=history.ended_by,
        written=written.isoformat(" ", "seconds"),
        scores=_scores(summary),
        notes=[*about.pop("notes"), *history.diagnosis().splitlines(), *unread],
        bytes=path.stat().st_size,
        format_version=_format_version(path),
        manymodes_version=model.get("manymodes_version", "unknown"),
        **about,
    )


def _correction(record: Mapping[str, Any]) -> str:
    temperature = f"temperature {record['temperature']:.3g}"
    return temperature if record["maps"] is None else f"{temperature}, and a map of the probabilities of each target"


def _of_regressor(document: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    architecture = Architecture(**with_tuples(document["architecture"]))
    names = document["target_names"] or default_names(architecture.target_dim)
    facts = [TargetFacts.from_dict(record) for record in document["target_facts"]]
    encoder = None if document["encoder"] is None else TableEncoder.from_dict(document["encoder"])
    rounding = document["params"].get("rounding")
    return {
        "features": [] if encoder is None else _features(encoder, Familiarity.from_tensors(tensors)),
        "targets": [
            Target(name, _family(family), *_range_of_target(facts, d))
            for d, (name, family) in enumerate(zip(names, architecture.families, strict=True))
        ],
        "members": architecture.n_members or 1,
        "components": architecture.n_components,
        "covariance_type": architecture.covariance_type,
        "atoms": list(architecture.atoms),
        "horizon": None,
        "notes": [
            *(target_notes(tuple(facts), names, architecture, rounding=rounding) if facts else []),
            *([] if encoder is None else encoder.notes()),
        ],
    }


def _of_forecaster(document: Mapping[str, Any]) -> dict[str, Any]:
    architecture, panel = document["architecture"], document["panel"]
    n_series = _checks.counted(len(panel["series"]), "series", "series")
    return {
        "features": [Feature(str(name), "number") for name in panel["covariates"]],
        "targets": [Target(str(name), "normal") for name in panel["targets"]],
        "members": architecture["n_members"],
        "components": architecture["n_components"],
        "covariance_type": architecture["covariance_type"],
        "atoms": [],
        "horizon": architecture["horizon"],
        "notes": [f"It holds {n_series}, whose ends it goes on from, and looks {architecture['steps'][0]} steps back."],
    }


def _features(encoder: TableEncoder, familiarity: Familiarity | None) -> list[Feature]:
    """Return the features, with their ranges where the file has them."""
    first = np.cumsum([0, *(code.width for code in encoder.columns)])[:-1]
    places = np.argsort(encoder.order)[first]  # where the first number of each comes to the network
    return [_feature(code, familiarity, int(place)) for code, place in zip(encoder.columns, places, strict=True)]


def _feature(code: ColumnCode, familiarity: Familiarity | None, place: int) -> Feature:
    if code.is_empty or code.is_constant:
        return Feature(code.name, "nothing", may_be_missing=code.has_missing)
    if code.kind == "category" or familiarity is None:
        return Feature(code.name, code.kind, categories=list(code.levels), may_be_missing=code.has_missing)
    ends = [float(end[place]) for end in (familiarity.low, familiarity.high)]
    low, high = (_time(end) for end in ends) if code.kind == "time" else ends
    return Feature(code.name, code.kind, low, high, may_be_missing=code.has_missing)


def _time(seconds: float) -> str:
    """Return seconds since 1970 as a point in time."""
    return str(np.datetime64(round(seconds), "s")).removesuffix("T00:00:00")


def _family(family: Any) -> str:
    """Return a family's name, with its bounds where it has any."""
    return family if isinstance(family, str) else f"{family[0]} from {family[1]:g} to {family[2]:g}"


def _range_of_target(facts: Sequence[TargetFacts], d: int) -> tuple[float | None, float | None]:
    return (facts[d].smallest, facts[d].largest) if facts else (None, None)


def _format_version(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return int(json.loads(file.metadata()[MODEL_FORMAT.entry])["format_version"])


# --- the summary beside the model ---


def _summary(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the summary of a fit and nothing to mind; an empty one where there is none, or none that can be read."""
    if not path.is_file():
        return {}, []
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        _scores(summary), _held_out(summary)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}, [f"Mind: {str(path)!r} cannot be read, so nothing is told of scores."]
    return summary, []


def _scores(summary: Mapping[str, Any]) -> dict[str, Scores]:
    return {name: Scores.from_dict(record) for name, record in summary.get("scores", {}).items()}


def _held_out(summary: Mapping[str, Any]) -> dict[str, int]:
    return {"held_out": int(summary["rows"]["held_out"])} if summary else {}
