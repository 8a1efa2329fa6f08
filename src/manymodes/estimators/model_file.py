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

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from manymodes import _checks
from manymodes.training.files import write_atomically

FORMAT_VERSION = 1


def write_model_file(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document to ``path``, whole or not at all."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps({"format_version": FORMAT_VERSION, **document}, allow_nan=False, sort_keys=True)
    metadata = {"format": "manymodes", "document": text, "sha256": _checksum(stored, text)}
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
    if metadata.get("format") != "manymodes":
        raise _checks.InputError(f"{str(path)!r} is a safetensors file, but not one of manymodes.")
    text = metadata.get("document", "")
    if metadata.get("sha256") != _checksum(tensors, text):
        raise _checks.InputError(f"{str(path)!r} is damaged: its checksum does not match. Restore it from a copy.")
    document: dict[str, Any] = json.loads(text)
    version = document.pop("format_version")
    if version > FORMAT_VERSION:
        raise _checks.InputError(
            f"{str(path)!r} has format version {version}, and this manymodes reads up to {FORMAT_VERSION}; "
            "upgrade manymodes."
        )
    return tensors, document


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
