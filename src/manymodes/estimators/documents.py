"""The document of a model file: everything about a fitted estimator that is not a tensor."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from manymodes import __version__, _checks
from manymodes.estimators.architecture import Architecture, with_tuples
from manymodes.estimators.familiarity import Familiarity, is_of_familiarity
from manymodes.estimators.fitting import Race
from manymodes.estimators.model_file import UNSTORABLE, as_json
from manymodes.estimators.tables.encoding import TableEncoder
from manymodes.estimators.targets.facts import TargetFacts
from manymodes.training import History


def describe(model: BaseEstimator) -> dict[str, Any]:
    """Return the document of a fitted estimator; settings that JSON cannot hold are named under params_left_out."""
    names = getattr(model, "feature_names_in_", None)
    return {
        "kind": type(model).__name__,
        "manymodes_version": __version__,
        "holds_training_rows": model.architecture_.memory_rows > 0,
        **kept_params(model),
        "encoder": None if model.encoder_ is None else model.encoder_.to_dict(),
        "architecture": {name: as_json(value) for name, value in asdict(model.architecture_).items()},
        "history": model.history_.to_dict(),
        "race": model.race_.to_dict(),
        "target_facts": [asdict(facts) for facts in model.target_facts_],
        "n_features_in": model.n_features_in_,
        "feature_names_in": None if names is None else list(names),
        "target_names": model.target_names_,
        "target_ndim": model.target_ndim_,
    }


def restore(
    model_class: type[BaseEstimator],
    tensors: dict[str, Tensor],
    document: dict[str, Any],
    backbone: nn.Module | None,
) -> BaseEstimator:
    """Return the fitted estimator that ``describe`` described."""
    document = upgraded(document)
    architecture = Architecture(**with_tuples(document["architecture"]))
    model = model_class(**{**with_tuples(document["params"]), "backbone": backbone})
    model.familiarity_ = Familiarity.from_tensors(tensors)
    weights = {name: value for name, value in tensors.items() if not is_of_familiarity(name)}
    model.network_, model.architecture_ = filled(architecture, weights, backbone), architecture
    encoder = document["encoder"]
    model.encoder_ = None if encoder is None else TableEncoder.from_dict(encoder)
    model.history_ = History.from_dict(document["history"])
    model.race_ = Race.from_dict(document["race"])
    model.target_facts_ = tuple(TargetFacts.from_dict(facts) for facts in document["target_facts"])
    model.n_features_in_ = document["n_features_in"]
    if document["feature_names_in"] is not None:
        model.feature_names_in_ = np.asarray(document["feature_names_in"], dtype=object)
    model.target_names_, model.target_ndim_ = document["target_names"], document["target_ndim"]
    warn_of_params(document, stacklevel=4)
    return model


def kept_params(model: BaseEstimator) -> dict[str, Any]:
    """Return the settings of an estimator that JSON can hold, and the names of those that it cannot."""
    params = {name: as_json(value) for name, value in model.get_params(deep=False).items()}
    return {
        "params": {name: value for name, value in params.items() if value is not UNSTORABLE},
        "params_left_out": sorted(name for name, value in params.items() if value is UNSTORABLE),
    }


def warn_of_params(document: dict[str, Any], *, stacklevel: int) -> None:
    """Warn of settings that are not in a document, but for a backbone, which is handed in on loading."""
    left_out = [name for name in document["params_left_out"] if name != "backbone"]
    if left_out:
        warnings.warn(
            f"{_checks.quoted(left_out)} could not be stored in the file and stands at its default again; "
            "predictions do not need it, but set it before a new fit.",
            stacklevel=stacklevel,
        )


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document of any format version as the newest one has it."""
    if "encoder" not in document:  # versions 1 and 2: tables of numbers, which were fed as they are
        names = document["feature_names_in"] or [f"x{place}" for place in range(document["n_features_in"])]
        document = document | {"encoder": TableEncoder.of_numbers(names).to_dict()}
    if "race" in document:
        return document
    history = dict(document["history"])  # version 1: one network, one best epoch, no race
    best = history.pop("best_epoch")
    history |= {"best_epochs": [best], "best_losses": [history["validation_loss"][best]]}
    return document | {"history": history, "race": Race.without(0.0).to_dict(), "target_facts": []}


class Builder(Protocol):
    """What knows how to build a network."""

    def build(self, backbone: nn.Module | None = None) -> nn.Module:
        """Return the network, around a backbone of the user's own if there is one."""


def filled(architecture: Builder, tensors: dict[str, Tensor], backbone: nn.Module | None) -> nn.Module:
    """Return a network with its saved weights, ready to predict.

    Raises:
        ValueError: Weights of other names or shapes.
    """
    with torch.device("meta"):  # asks for no memory and draws no random numbers
        network = architecture.build(backbone)
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        difference = " ".join(line.strip() for line in str(error).splitlines()[1:3])
        what = "the file's description" if backbone is None else "backbone"
        raise _checks.InputError(f"{what} must have the same parameters as the saved model; {difference}") from None
    return network.eval()
