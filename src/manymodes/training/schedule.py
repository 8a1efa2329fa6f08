"""How long to train, in what steps, and at which learning rate."""

from __future__ import annotations

import math
import time

from manymodes import _checks
from manymodes.training.world import ALONE, World

_NO_DROPOUT = 0.3  # share of a fit from which on nothing is left out any more
_STEPS = 3000  # enough for the tables of the benchmarks; small tables see each row more often
_FEWEST_EPOCHS, _MOST_EPOCHS = 20, 400
_MANY_STEPS = 20_000  # beyond them, a table is so large that the least number of epochs does not count


def default_batch_size(n_rows: int) -> int:
    """Return about an eighth of the rows, a power of two from 16 to 512."""
    return int(min(512, max(16, 2 ** round(math.log2(max(n_rows, 1) / 8)))))


def default_max_epochs(n_batches: int, n_steps: int | None = None, least_epochs: int | None = None) -> int:
    """Return the epochs that make so many steps, at least a number; by default some 3,000 within 20 to 400 epochs.

    The least number holds for up to 20,000 steps.
    """
    most = math.ceil(_MANY_STEPS / n_batches)
    least = 1 if least_epochs is None else min(most, _checks.integer_at_least("least_epochs", least_epochs, 1))
    if n_steps is None:
        return max(least, min(_MOST_EPOCHS, max(min(most, _FEWEST_EPOCHS), math.ceil(_STEPS / n_batches))))
    return max(least, math.ceil(_checks.integer_at_least("n_steps", n_steps, 1) / n_batches))


class WarmUpAndDecay:
    """The learning rate at each point of a fit: linear up over its first share, then half a cosine to 0.

    Args:
        lr: Highest learning rate.
        warm_up: Share of the fit over which it rises, in [0, 1].
    """

    def __init__(self, lr: float, warm_up: float) -> None:
        self._lr = _checks.positive("lr", lr)
        self._warm_up = _checks.number_between("warm_up", warm_up, 0.0, 1.0, including=(0.0, 1.0))

    def __call__(self, progress: float) -> float:
        """Return the learning rate at a share of the fit, in [0, 1]."""
        if progress < self._warm_up:
            return self._lr * progress / self._warm_up
        decay = (progress - self._warm_up) / max(1 - self._warm_up, 1e-12)
        return self._lr * 0.5 * (1 + math.cos(math.pi * min(decay, 1.0)))


def dropout_level(progress: float) -> float:
    """Return how much of its dropout a network keeps at a share of the fit: all at first, nothing after three tenths.

    A scale that is learned under dropout accounts for the noise of dropout, too, which predictions do not have. Where
    targets are noisy the best epoch comes early, and dropout has done its work by then.
    """
    return 0.5 * (1 + math.cos(math.pi * min(progress / _NO_DROPOUT, 1.0)))


class Pace:
    """How much of a fit is over: its share of the planned steps, or of the time limit, whichever is more.

    Args:
        n_steps: Planned steps.
        time_limit: Seconds that the fit may take; None for any.
        world: Its first process has the watch.

    Attributes:
        step: Steps that were begun.
    """

    def __init__(self, n_steps: int, time_limit: float | None, world: World = ALONE) -> None:
        self._world, self._told = world, 0.0
        self._n_steps = n_steps
        limit = math.inf if time_limit is None else _checks.positive("time_limit", time_limit)
        self._time_limit = world.agreed(limit)
        self._started = time.monotonic()
        self.step = 0

    def resume(self, step: int, seconds: float) -> None:
        """Go on after so many steps, which took so many seconds."""
        self.step = step
        self._started = time.monotonic() - seconds

    def advance(self) -> float:
        """Begin one more step; return the share of the fit that is over in its middle, at most 1."""
        self.step += 1
        self._told = self._world.agreed(time.monotonic() - self._started) if self._is_shared else 0.0
        return min(1.0, max((self.step - 0.5) / self._n_steps, self.seconds / self._time_limit))

    @property
    def seconds(self) -> float:
        """Time since the start; several processes with a time limit know it from the beginning of the last step."""
        return self._told if self._is_shared else time.monotonic() - self._started

    @property
    def _is_shared(self) -> bool:
        return not self._world.is_alone and math.isfinite(self._time_limit)

    @property
    def is_over(self) -> bool:
        """Whether the time limit is reached."""
        return self.seconds >= self._time_limit
