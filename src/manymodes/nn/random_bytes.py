"""Random bytes, which compiled code draws as other code does: by one operator that the compiler does not look into."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST, _MOST = -(2**63), 2**63 - 1  # of 64 bits
_OPERATOR = "manymodes::random_bytes"


def random_bytes(like: Tensor) -> Tensor:
    """Return a random byte for each number of a tensor, drawn from torch's global generator, eight at a time."""
    if torch.compiler.is_compiling():
        drawn: Tensor = torch.ops.manymodes.random_bytes(like.detach())
        return drawn
    return _drawn(like)


def _drawn(like: Tensor) -> Tensor:
    words = torch.randint(_LEAST, _MOST, (-(-like.numel() // 8),), device=like.device)
    return words.view(torch.uint8)[: like.numel()].view(like.shape)


# A generator of the compiler's own would cost more than the products between two dropouts.
torch.library.define(_OPERATOR, "(Tensor like) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,))
torch.library.impl(_OPERATOR, "CompositeExplicitAutograd", _drawn)
torch.library.register_fake(_OPERATOR, lambda like: torch.empty(like.shape, dtype=torch.uint8, device=like.device))
