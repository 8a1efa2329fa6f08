"""How long to train, in what steps, and at which learning rate."""

from __future__ import annotations

import math

from manymodes import _checks

_STEPS = 3000  # enough for the tables of the benchmarks; small tables see each row more often
_FEWEST_EPOCHS, _MOST_EPOCHS = 20, 400


def default_batch_size(n_rows: int) -> int:
    """Return about an eighth of the rows, a power of two from 16 to 512."""
    return int(min(512, max(16, 2 ** round(math.log2(max(n_rows, 1) / 8)))))


def default_max_epochs(n_batches: int) -> int:
    """Return the epochs that make some 3,000 steps, from 20 to 400."""
    return min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_STEPS / n_batches)))


class WarmUpAndDecay:
    """The learning rate of each step: linear up over a share of the steps, then half a cosine to 0.

    Args:
        lr: Highest learning rate.
        warm_up: Share of the steps over which it rises, in [0, 1].
        n_steps: Steps of the whole fit.
    """

    def __init__(self, lr: float, warm_up: float, n_steps: int) -> None:
        self._lr = _checks.positive("lr", lr)
        warm_up = _checks.number_between("warm_up", warm_up, 0.0, 1.0, including=(0.0, 1.0))
        self._n_warm = max(1, round(warm_up * n_steps))
        self._n_decay = max(1, n_steps - self._n_warm)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self._n_warm:
            return self._lr * (step + 1) / self._n_warm
        return self._lr * 0.5 * (1 + math.cos(math.pi * (step - self._n_warm) / self._n_decay))
