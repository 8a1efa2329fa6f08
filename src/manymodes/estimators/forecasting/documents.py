"""The document of a forecaster's model file: everything about it that is not a tensor, and how to read it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from manymodes import __version__, _checks
from manymodes.estimators.architecture import with_tuples
from manymodes.estimators.documents import filled, kept_params, warn_of_params
from manymodes.estimators.forecasting.answers import ForecastMixin
from manymodes.estimators.forecasting.clock import Clock
from manymodes.estimators.forecasting.dependence import Dependence
from manymodes.estimators.forecasting.model import WindowModel, levels_from_lists, levels_to_lists
from manymodes.estimators.forecasting.network import Architecture
from manymodes.estimators.forecasting.series import Panel, Series, Track
from manymodes.estimators.forecasting.windows import View
from manymodes.training import History

Forecaster = TypeVar("Forecaster", bound=ForecastMixin)

_NETWORK = "network."


def contents(forecaster: ForecastMixin) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the document of a fitted forecaster."""
    model, panel = forecaster.model_, forecaster.panel_
    tensors = {_NETWORK + name: value for name, value in model.network.state_dict().items()}
    tensors["widths"] = torch.from_numpy(model.widths)
    if model.dependence is not None:
        tensors["correlation"] = model.dependence.correlation
    for number, series in enumerate(panel):
        tensors[f"series.{number}"] = torch.from_numpy(np.ascontiguousarray(series.values))
        if series.known is not None:
            tensors[f"known.{number}"] = torch.from_numpy(np.ascontiguousarray(series.known.values))
    return tensors, {
        "kind": type(forecaster).__name__,
        "manymodes_version": __version__,
        "holds_training_rows": True,
        **kept_params(forecaster),
        "architecture": asdict(forecaster.architecture_),
        "view": asdict(model.view),
        "levels": levels_to_lists(model.levels),
        "panel": {
            "clock": panel.clock.to_dict(),
            "targets": panel.targets,
            "covariates": panel.covariates,
            "is_single": panel.is_single,
            "is_flat": panel.is_flat,
            "series": [_described(series) for series in panel],
        },
        "history": forecaster.history_.to_dict(),
        "seed": forecaster.seed_,
        "frame_kind": forecaster.frame_kind_,
    }


def restored(
    forecaster_class: type[Forecaster],
    tensors: dict[str, Tensor],
    document: dict[str, Any],
    backbone: nn.Module | None,
) -> Forecaster:
    """Return the fitted forecaster that ``contents`` described."""
    make: Callable[..., Forecaster] = forecaster_class
    forecaster = make(**{**with_tuples(document["params"]), "backbone": backbone})
    architecture = Architecture(**with_tuples(document["architecture"]))
    weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    network: Any = filled(architecture, weights, backbone)
    correlation = tensors.get("correlation")
    forecaster.model_ = WindowModel(
        network,
        View(**with_tuples(document["view"])),
        tensors["widths"].numpy(),
        levels_from_lists(document["levels"]),
        None if correlation is None else Dependence(correlation, architecture.target_dim),
    )
    forecaster.architecture_, forecaster.history_ = architecture, History.from_dict(document["history"])
    forecaster.panel_ = _panel(document["panel"], tensors)
    forecaster.context_ = forecaster.model_.view.context
    forecaster.seed_, forecaster.frame_kind_ = document["seed"], document["frame_kind"]
    warn_of_params(document, stacklevel=4)
    return forecaster


def _described(series: Series) -> dict[str, Any]:
    if not isinstance(series.name, (str, int, float, bool)):
        raise _checks.InputError(
            f"names of series must be text or numbers to be saved; got {series.name!r}, a {type(series.name).__name__}."
        )
    known = None if series.known is None else series.known.start
    return {
        "name": series.name,
        "label": series.label,
        "start": series.start,
        "known": known,
        "padding": series.padding,
    }


def _panel(document: dict[str, Any], tensors: dict[str, Tensor]) -> Panel:
    series = []
    for number, entry in enumerate(document["series"]):
        one = Series(entry["start"], tensors[f"series.{number}"].numpy(), entry["name"], entry["label"])
        if entry["known"] is not None:
            one = replace(one, known=Track(entry["known"], tensors[f"known.{number}"].numpy()))
        one = replace(one, padding=entry["padding"])
        series.append(one)
    names = with_tuples({name: document[name] for name in ("targets", "covariates")})
    flags = {name: document[name] for name in ("is_single", "is_flat")}
    return Panel(tuple(series), Clock(**document["clock"]), **names, **flags)
