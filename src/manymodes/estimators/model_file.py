"""The model file: safetensors for numbers, JSON for everything else, a checksum over both.

No pickle is read or written, and nothing in a file is ever run. ``FORMAT_VERSION`` grows when the document
changes; every version stays loadable.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from manymodes import _checks
from manymodes.training.files import write_atomically

FORMAT_VERSION = 2
MODEL_FILE = "model.mm"  # its name inside a folder that the command line writes

UNSTORABLE = object()  # stands for a value that JSON cannot hold

_ENTRY = "manymodes"  # in the metadata of the safetensors file


def write_model_file(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document to ``path``, whole or not at all."""
    stored = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    envelope = {"format_version": FORMAT_VERSION, "sha256": _checksum(stored, document), "document": document}
    # One entry only: safetensors writes several in no fixed order, and equal models should make equal files.
    metadata = {_ENTRY: json.dumps(envelope, allow_nan=False, sort_keys=True)}
    write_atomically(path, to_safetensors(stored, metadata=metadata))


def read_model_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the document of a model file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A file of another kind, of a newer version, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _checks.InputError(f"{str(path)!r} is not a manymodes model file, or it is damaged ({error}).") from None
    if _ENTRY not in metadata:
        raise _checks.InputError(f"{str(path)!r} is a safetensors file, but not one of manymodes.")
    try:
        envelope = json.loads(metadata[_ENTRY])
        version, document, checksum = (envelope[key] for key in ("format_version", "document", "sha256"))
    except (ValueError, KeyError, TypeError):
        raise _checks.InputError(f"{str(path)!r} is damaged: its description cannot be read.") from None
    if not isinstance(version, int) or version < 1:
        raise _checks.InputError(f"{str(path)!r} is damaged: it has no format version.")
    if version > FORMAT_VERSION:
        raise _checks.InputError(
            f"{str(path)!r} has format version {version}, and this manymodes reads up to {FORMAT_VERSION}; "
            "upgrade manymodes."
        )
    as_written = metadata[_ENTRY] == json.dumps(envelope, sort_keys=True)  # digits beyond a number's precision, too
    if checksum != _checksum(tensors, document) or not as_written:
        raise _checks.InputError(f"{str(path)!r} is damaged: its checksum does not match. Restore it from a copy.")
    return tensors, document


def as_json(value: Any) -> Any:
    """Return a value as JSON can hold it, NumPy's numbers and arrays as Python's, or else ``UNSTORABLE``."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return UNSTORABLE
    return value


def _checksum(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, allow_nan=False, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
