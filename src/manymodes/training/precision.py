"""Precision of a network's matrix products while training; likelihoods always keep the network's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork

PRECISIONS: Mapping[str, Callable[[torch.device], bool]] = {
    "full": lambda device: False,
    "bfloat16": lambda device: True,
    "auto": lambda device: _is_native(device),
}


def autocast(network: MixtureDensityNetwork, precision: str) -> AbstractContextManager[None]:
    """Return a context in which products are taken in bfloat16 where ``precision`` says so.

    Args:
        network: The network; one of double precision is left alone.
        precision: ``"full"``, ``"bfloat16"``, or ``"auto"``: bfloat16 on devices with instructions for it.

    Raises:
        ValueError: Another precision.
    """
    lower = _checks.one_of("precision", precision, PRECISIONS)(network.device)
    enabled = lower and network.dtype == torch.float32
    return torch.autocast(network.device.type, torch.bfloat16, enabled=enabled)


def _is_native(device: torch.device) -> bool:
    if device.type == "cpu":
        known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
