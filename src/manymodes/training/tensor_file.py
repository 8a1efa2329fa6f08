"""Files of tensors and a JSON document with a checksum over both: what model files and checkpoints are.

safetensors for numbers, JSON for everything else. No pickle is read or written, and nothing in a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from manymodes import _checks
from manymodes.training.files import write_atomically


@dataclass(frozen=True)
class TensorFile:
    """One kind of such files.

    Attributes:
        entry: What the metadata of its safetensors files is kept under; it tells kinds apart.
        version: Version of its documents; it grows when they change.
        noun: What messages call it.
    """

    entry: str
    version: int
    noun: str

    def write(self, path: str | os.PathLike[str], tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
        """Write tensors and a JSON document to ``path``, whole or not at all."""
        stored = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        envelope = {"format_version": self.version, "sha256": _checksum(stored, document), "document": document}
        # One entry only: safetensors writes several in no fixed order, and equal contents should make equal files.
        metadata = {self.entry: json.dumps(envelope, allow_nan=False, sort_keys=True)}
        write_atomically(path, to_safetensors(stored, metadata=metadata))

    def read(self, path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the document of a file.

        Raises:
            FileNotFoundError: No such file.
            ValueError: A file of another kind, of a newer version, or damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no {self.noun} {str(path)!r}.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                # Copies lie in memory as torch lays it out, so matrix products round as they did before saving.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise _checks.InputError(f"{str(path)!r} is not a {self.noun}, or it is damaged ({error}).") from None
        if self.entry not in metadata:
            raise _checks.InputError(f"{str(path)!r} is a safetensors file, but not a {self.noun}.")
        return tensors, self._document(path, tensors, metadata[self.entry])

    def _document(self, path: Path, tensors: Mapping[str, Tensor], text: str) -> dict[str, Any]:
        """Return the document in a file's envelope once its version and checksum are found right."""
        try:
            envelope = json.loads(text)
            version, document, checksum = (envelope[key] for key in ("format_version", "document", "sha256"))
        except (ValueError, KeyError, TypeError):
            raise _checks.InputError(f"{str(path)!r} is damaged: its description cannot be read.") from None
        if not isinstance(version, int) or version < 1:
            raise _checks.InputError(f"{str(path)!r} is damaged: it has no format version.")
        if version > self.version:
            raise _checks.InputError(
                f"{str(path)!r} has format version {version}, and this manymodes reads up to {self.version}; "
                "upgrade manymodes."
            )
        as_written = text == json.dumps(envelope, sort_keys=True)  # digits beyond a number's precision, too
        if checksum != _checksum(tensors, document) or not as_written:
            raise _checks.InputError(f"{str(path)!r} is damaged: its checksum does not match. Restore it from a copy.")
        known: dict[str, Any] = document
        return known


def _checksum(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, allow_nan=False, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
