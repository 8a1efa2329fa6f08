"""Commands that several processes run together, started by ``torchrun -m manymodes ...``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from manymodes import _checks
from manymodes.training.world import World


@contextmanager
def together() -> Iterator[World]:
    """Join the processes that ``torchrun`` started, for as long as a command runs; yield this one alone without it."""
    size = os.environ.get("WORLD_SIZE", "1")
    if not size.isdecimal() or int(size) < 1:
        raise _checks.InputError(f"WORLD_SIZE must be an integer >= 1, the number of processes; got {size!r}.")
    if size == "1":
        yield World.current()
        return
    try:
        dist.init_process_group("gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise _checks.InputError(
            f"WORLD_SIZE={size} needs the other variables of torchrun ({reason}). Start the "
            "command with torchrun --nproc-per-node N -m manymodes."
        ) from None
    try:
        yield World.current()
    finally:
        dist.destroy_process_group()
