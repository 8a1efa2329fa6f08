"""From a digit to images of it: densities of 784 pixels at once, fitted, judged and drawn from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical

from manymodes.datasets.mnist import Mnist
from manymodes.distributions import DiagonalNormal, LowRankNormal, Mixture, given
from manymodes.nn import MixtureDensityNetwork, MixtureHead
from manymodes.studies.frame.result import Measured
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.mnist.digits import N_DIGITS, SIDE
from manymodes.training import fit
from manymodes.training.randomness import isolated, seeded

GAUSSIAN, DIAGONAL, LOW_RANK = "one normal", "mixture, pixels by themselves", "mixture, pixels together"
LEVELS, RANK = 16, 2
N_PIXELS = SIDE**2
N_DRAWN = 8  # samples of each digit
N_EMBEDDED = 32  # numbers that stand for a digit
_LEAST_SCALE = 0.01  # of a pixel's spread
_ROWS_AT_A_TIME = 100


class Settings(NamedTuple):
    """How much is computed.

    Attributes:
        n_components: Components of a digit, K.
        max_epochs: Passes over the images.
        n_train: Images to learn from.
        n_test: Images to judge by.
    """

    n_components: int
    max_epochs: int
    n_train: int
    n_test: int


def settings_of(work: Work) -> Settings:
    """Return the settings of the full study, or those of a quick look."""
    return work.pick(Settings(10, 2, 60_000, 10_000), Settings(2, 1, 300, 60))


def grey(images: NDArray[np.uint8], seed: int) -> Tensor:
    """Return images, (N, 28, 28), as points between 0 and 1, (N, 784): one of 16 grey levels, and chance within it.

    A density of exact levels has no upper end: where a pixel is always black it may rise as high as it likes. Chance
    within a level ends that, and makes the log-density a lower bound of the log-probability of the level.

    References:
        Theis, van den Oord and Bethge (2016), A note on the evaluation of generative models, section 3.1.
    """
    level = torch.from_numpy(images.reshape(len(images), -1) // (256 // LEVELS)).float()
    return (level + torch.rand(level.shape, generator=seeded(seed))) / LEVELS


def densities(work: Work, data: Mnist) -> Mapping[str, Record]:
    """Return what was measured of every density, by name; each is a step of the study."""
    settings = settings_of(work)

    def measured(name: str) -> Record:
        y, pixels = torch.from_numpy(data.y_train[: settings.n_train]), grey(data.X_train[: settings.n_train], 0)
        started = time.perf_counter()
        density = _fitted(name, settings, y, pixels, work.random_state)
        seconds = time.perf_counter() - started
        y_test, test = data.y_test[: settings.n_test], grey(data.X_test[: settings.n_test], 1)
        return {"seconds": seconds, **judged(density, y_test, test), **_shown(density)}

    names = (GAUSSIAN, DIAGONAL, LOW_RANK)
    return {name: work.step(f"images, {name}", partial(measured, name)) for name in names}


def _fitted(name: str, settings: Settings, y: Tensor, pixels: Tensor, seed: int) -> Mixture:
    """Return the density of the pixels of each digit, ``batch_shape`` (10,), ``event_shape`` (784,)."""
    if name == GAUSSIAN:
        return one_normal(y, pixels)
    family = DiagonalNormal if name == DIAGONAL else given(LowRankNormal, rank=RANK)
    with isolated(seed):
        head = MixtureHead(
            N_EMBEDDED,
            target_dim=N_PIXELS,
            n_components=settings.n_components,
            family=family,
            min_scale=_LEAST_SCALE,
        )
        network = MixtureDensityNetwork(nn.Embedding(N_DIGITS, N_EMBEDDED), head)
    options: dict[str, Any] = {"validation": 0.02, "batch_size": 32, "lr": 0.03, "progress": False}
    fit(network, (y, pixels), max_epochs=settings.max_epochs, random_state=seed, **options)
    with torch.no_grad():
        density: Mixture = network.eval()(torch.arange(N_DIGITS)).to(torch.float32)
    return density


def one_normal(y: Tensor, pixels: Tensor) -> Mixture:
    """Return one normal for each digit: the mean and the spread of every pixel, which is its maximum of likelihood."""
    own = [pixels[y == digit] for digit in range(N_DIGITS)]
    loc, scale = (torch.stack([getattr(part, what)(0) for part in own])[:, None] for what in ("mean", "std"))
    weights = Categorical(logits=torch.zeros(N_DIGITS, 1), validate_args=False)
    return Mixture(weights, DiagonalNormal(loc, scale, validate_args=False), validate_args=False)


def judged(density: Mixture, y: NDArray[np.int64], pixels: Tensor) -> dict[str, float]:
    """Return how likely test images are, and how often the digit is told by Bayes' rule: which makes it likeliest."""
    parts = pixels.split(_ROWS_AT_A_TIME)
    of_digits = [torch.cat([density[digit].log_prob(rows) for rows in parts]) for digit in range(N_DIGITS)]
    log_prob = torch.stack(of_digits, -1)  # (N, 10)
    own = log_prob.double().gather(-1, torch.from_numpy(y)[:, None])[:, 0]
    return {
        "log_score": float(own.mean()),
        "error": float(own.std() / math.sqrt(len(own))),
        "bayes": float((log_prob.argmax(-1).numpy() == y).mean()),
    }


def bits(record: Record) -> Measured:
    """Return how many bits a pixel takes, of the 4 that tell 16 grey levels apart."""
    a_nat = 1 / (N_PIXELS * math.log(2))
    return Measured(math.log2(LEVELS) - record["log_score"] * a_nat, record["error"] * a_nat)


def _shown(density: Mixture) -> dict[str, NDArray[Any]]:
    """Return samples of each digit, (10, S, 784), the means of components, the heaviest first, and their weights."""
    order = density.weights.argsort(-1, descending=True)  # (10, K)
    means = density.components.mean.gather(1, order.unsqueeze(-1).expand(-1, -1, N_PIXELS))
    samples = density.sample((N_DRAWN,), generator=seeded(0)).movedim(0, 1)
    return {
        "samples": _bytes(samples),
        "means": _bytes(means),
        "weights": density.weights.gather(-1, order).numpy(),
    }


def _bytes(brightness: Tensor) -> NDArray[np.uint8]:
    return (255 * brightness.clamp(0.0, 1.0)).round().to(torch.uint8).numpy()
