"""Tensors as text: exactly, or as whole numbers of a few bits each; ``network.js`` reads them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Packed:
    """Tensors one after another as bytes, with an entry for each that says where it is and how to read it."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self._bytes = bytearray()

    def add(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor exactly: in single precision where that loses nothing."""
        values = _as_array(tensor)
        single = values.astype(np.float32)
        kept = single if (single == values).all() else values
        self.entries[name] = {"shape": list(values.shape), "kind": str(kept.dtype), "at": self._append(kept)}

    def add_rounded(self, name: str, tensor: Tensor, bits: int) -> None:
        """Keep a tensor as whole numbers of so many bits and a scale for each row of its last axis."""
        whole, scales = in_whole_numbers(_as_array(tensor), bits)
        entry = {"shape": list(tensor.shape), "bits": bits, "scales": self._append(scales)}
        self.entries[name] = {**entry, "at": self._append(_as_bits(whole.reshape(-1), bits))}

    def base64(self) -> str:
        """Return all bytes as text."""
        return base64.b64encode(bytes(self._bytes)).decode()

    def __len__(self) -> int:
        return len(self._bytes)

    def _append(self, values: NDArray[Any]) -> int:
        at = len(self._bytes)
        self._bytes += np.ascontiguousarray(values).tobytes()
        return at


def in_whole_numbers(values: NDArray[np.float64], bits: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return whole numbers from 0 on, around 2^(bits - 1), and the scale of every row of the last axis."""
    half = 2 ** (bits - 1)
    largest = np.abs(values).max(-1)
    scales = (np.where(largest > 0, largest, 1.0) / (half - 1)).astype(np.float32)
    whole = np.rint(values / scales[..., None].astype(np.float64)).astype(np.int64)
    return np.clip(whole, 1 - half, half - 1) + half, scales


def rounded(tensor: Tensor, bits: int) -> NDArray[np.float32]:
    """Return a tensor as it is read again from whole numbers of so many bits; rounded once more it stays as it is."""
    whole, scales = in_whole_numbers(_as_array(tensor), bits)
    centred = whole.astype(np.float64) - 2 ** (bits - 1)
    return np.asarray(centred * scales[..., None].astype(np.float64), np.float32)


def _as_bits(whole: NDArray[np.int64], bits: int) -> NDArray[np.uint8]:
    """Return whole numbers one after another, lowest bit first."""
    digits = (whole[:, None] >> np.arange(bits)) & 1
    return np.packbits(digits.astype(np.uint8).reshape(-1), bitorder="little")


def _as_array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()
