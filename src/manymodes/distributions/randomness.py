"""Where random numbers come from when nobody says."""

from __future__ import annotations

import torch

from manymodes import _checks

_SEED = 1729  # not 0, with which users seed their own data


def default_generator(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """Return the generator handed in, or a fresh one of a fixed seed: the same call gives the same numbers.

    The seed is none that users are likely to choose: numbers that judge targets must not be those that made them.

    Raises:
        TypeError: What is no generator: a seed, say.
    """
    if generator is not None:
        _checks.instance("generator", generator, torch.Generator, ": torch.Generator().manual_seed(seed)")
    return torch.Generator(device).manual_seed(_SEED) if generator is None else generator
