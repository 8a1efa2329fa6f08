"""Randomness that neither reads nor changes the caller's generators."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from manymodes import _checks


@contextmanager
def isolated(random_state: int | None, device: torch.device | str = "cpu") -> Iterator[torch.Generator]:
    """Yield a CPU generator, with torch's global ones seeded from it inside and restored after.

    Dropout and the initial weights of torch's layers take no generator, so the global ones have to be
    borrowed. None draws a fresh seed from the operating system.
    """
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    generator = seeded(random_state)
    with torch.random.fork_rng(devices=devices):
        drawn = int(torch.randint(2**62, (), generator=generator))
        torch.default_generator.manual_seed(drawn)  # torch.manual_seed would reseed every GPU as well
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(drawn)
        yield generator


def seeded(random_state: int | None) -> torch.Generator:
    """Return a CPU generator; None seeds it from the operating system."""
    return torch.Generator().manual_seed(as_seed(random_state))


def as_seed(random_state: int | None) -> int:
    """Return the seed itself; None draws one from the operating system."""
    return secrets.randbits(32) if random_state is None else _checks.random_state(random_state)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators, to be set again."""
    cuda = {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {"torch": torch.get_rng_state(), **cuda}


def set_random_states(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Go on as ``random_states`` found it."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
