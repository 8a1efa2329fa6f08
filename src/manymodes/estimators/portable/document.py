"""The document of an exported model: everything about it that is no weight, as JSON can hold it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from manymodes import __version__, runtime
from manymodes.estimators.portable.components import describe_components
from manymodes.estimators.portable.features import describe_features
from manymodes.estimators.predictions import default_names
from manymodes.estimators.regressor import MDNRegressor


def describe_model(model: MDNRegressor, example: Tensor) -> dict[str, Any]:
    """Return the document of a fitted regressor, which ``manymodes.runtime`` reads.

    Args:
        model: The regressor.
        example: Rows as its network takes them, one at least; which ones does not matter.
    """
    network = model.network_
    with torch.no_grad():
        components = network.members(example).components
    names = model.target_names_ or default_names(model.architecture_.target_dim)
    return {
        "format": runtime.FORMAT,
        "format_version": runtime.VERSION,
        "manymodes_version": __version__,
        "encoder": None if model.encoder_ is None else model.encoder_.to_dict(),
        "features": [] if model.encoder_ is None else describe_features(model),
        "targets": list(names),
        "scaling": {
            "shift": network.target_scaling.loc.expand(len(names)).tolist(),
            "scale": network.target_scaling.scale.expand(len(names)).tolist(),
        },
        "n_members": network.n_members or 1,
        "components": describe_components(components),
    }
