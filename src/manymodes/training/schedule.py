"""How long to train, in what steps, and at which learning rate."""

from __future__ import annotations

import math

_STEPS = 3000  # enough for the tables of the benchmarks; small tables see each row more often
_FEWEST_EPOCHS, _MOST_EPOCHS = 20, 400


def default_batch_size(n_rows: int) -> int:
    """Return about an eighth of the rows, a power of two from 16 to 512."""
    return int(min(512, max(16, 2 ** round(math.log2(max(n_rows, 1) / 8)))))


def default_max_epochs(n_batches: int) -> int:
    """Return the epochs that make some 3,000 steps, from 20 to 400."""
    return min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_STEPS / n_batches)))


def warm_up_and_decay(step: int, n_steps: int, warm_up: float) -> float:
    """Return the learning rate's factor: linear up over a share of the steps, then half a cosine to 0."""
    n_warm = max(1, round(warm_up * n_steps))
    if step < n_warm:
        return (step + 1) / n_warm
    return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))
