"""What surrounds a fit: gradients switched on, a seed that processes share, a device that is there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from manymodes import _checks
from manymodes.estimators.predictions import as_seed
from manymodes.training.world import World


@contextmanager
def with_gradients() -> Iterator[None]:
    """Let networks learn also where somebody has switched gradients off."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


def agreed_seed(random_state: Any) -> int | None:
    """Return the seed of the fit, which several processes must share; None draws one in each place that needs it."""
    seed, world = as_seed(random_state), World.current()
    return seed if world.is_alone else world.agreed(secrets.randbits(32) if seed is None else seed)


def usable_device(name: Any) -> torch.device:
    """Return a device, if this machine has it."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise _checks.InputError(
            f"device must name a device that this machine has, say 'cpu'; got {name!r}."
        ) from error
