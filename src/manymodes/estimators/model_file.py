"""The model file: a fitted estimator's tensors and its document. Every version of it stays loadable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from manymodes.training.tensor_file import TensorFile

MODEL_FORMAT = TensorFile("manymodes", 4, "manymodes model file")
MODEL_FILE = "model.mm"  # its name inside a folder that the command line writes

UNSTORABLE = object()  # stands for a value that JSON cannot hold


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it, NumPy's numbers and arrays as Python's, or else ``UNSTORABLE``."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):  # keys would become text
        return UNSTORABLE
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return UNSTORABLE
    return value
