"""Saving an estimator to a model file and loading it back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

import manymodes
from manymodes import _checks
from manymodes.estimators.architecture import Architecture
from manymodes.estimators.model_file import read_model_file, write_model_file
from manymodes.training import History

if TYPE_CHECKING:
    from manymodes.estimators.regressor import MDNRegressor

MODEL_FILE = "model.mm"  # its name inside a folder that the command line writes


def save_regressor(model: MDNRegressor, path: str | os.PathLike[str]) -> None:
    """Write a fitted regressor to a model file."""
    params = {name: value for name, value in model.get_params(deep=False).items() if _is_json(value)}
    names = getattr(model, "feature_names_in_", None)
    document = {
        "kind": "MDNRegressor",
        "manymodes_version": manymodes.__version__,
        "params": params,
        "architecture": asdict(model._architecture),
        "history": model.history_.to_dict(),
        "n_features_in": model.n_features_in_,
        "feature_names_in": None if names is None else list(names),
        "target_names": model.target_names_,
        "target_ndim": model._target_ndim,
    }
    write_model_file(path, model.network_.state_dict(), document)


def load(path: str | os.PathLike[str], *, backbone: nn.Module | None = None) -> MDNRegressor:
    """Return the fitted model that ``save`` wrote; its predictions are those of the saved one, bit for bit.

    Args:
        path: A model file, or a folder that ``manymodes fit`` wrote.
        backbone: For a model that was fitted with a backbone of your own: a module of the same shape, which is
            copied and filled with the saved weights.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A file that is damaged, foreign or of a newer version; a backbone that is missing,
            not wanted, or of another shape.
    """
    from manymodes.estimators.regressor import MDNRegressor

    path = Path(path)
    path = path / MODEL_FILE if path.is_dir() else path
    tensors, document = read_model_file(path)
    if document["kind"] != "MDNRegressor":
        raise _checks.InputError(f"{str(path)!r} holds a {document['kind']}, which cannot be loaded.")
    architecture = Architecture(**_tuples(document["architecture"]))
    if backbone is not None and architecture.own_backbone_features is None:
        raise _checks.InputError(f"backbone must be left out: the model in {str(path)!r} has the default one.")
    network = architecture.build(backbone)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise _checks.InputError(
            f"backbone must have the same parameters as the saved model's; {' '.join(lines[1:3])}"
        ) from None
    model = MDNRegressor(**{**_tuples(document["params"]), "backbone": backbone})
    model.network_, model._architecture = network.eval(), architecture
    model.history_ = History.from_dict(document["history"])
    model.n_features_in_ = document["n_features_in"]
    if document["feature_names_in"] is not None:
        model.feature_names_in_ = np.asarray(document["feature_names_in"], dtype=object)
    model.target_names_, model._target_ndim = document["target_names"], document["target_ndim"]
    return model


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
