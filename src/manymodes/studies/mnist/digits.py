"""From an image to the digit on it, as a number: rows, one network for images, and what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor, nn

from manymodes.datasets import fetch_mnist
from manymodes.datasets.mnist import Mnist
from manymodes.distributions import Incomplete, Prediction
from manymodes.estimators import MDNRegressor
from manymodes.metrics.uniformity import distance_from_uniform
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Model, Models, Part
from manymodes.studies.frame.work import Record, Work
from manymodes.training.randomness import isolated

N_DIGITS, SIDE = 10, 28
POSSIBLE = 0.05  # probability from which a digit is one that an image may show
N_PRINCIPAL = 40  # numbers that trees and neighbours get of an image
_SHIFT = 2  # pixels in every direction
_CELL = 1.0  # of an integer: what is rounded to it

Array = NDArray[Any]


class Few(NamedTuple):
    """How much is computed where models are compared.

    Attributes:
        n_rows: Images to learn from.
        max_epochs: Passes over them.
        n_pooled: Networks of the ensemble.
        mode_rows: Test images whose modes are counted.
    """

    n_rows: int
    max_epochs: int
    n_pooled: int
    mode_rows: int


def few(work: Work) -> Few:
    """Return the settings of the full study, or those of a quick look."""
    return work.pick(Few(4_000, 8, 3, 1_000), Few(300, 1, 2, 50))


class DigitBackbone(nn.Module):
    """Three convolutions and a layer, (N, 28, 28) -> (N, 128); it learns from images that are moved by some pixels.

    Args:
        shift: Pixels by which training images are moved at most, up or down and to a side.
    """

    def __init__(self, shift: int = _SHIFT) -> None:
        super().__init__()
        self.shift = shift
        self.out_features = 128
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(48, 64, 3, padding=1),
            nn.SiLU(),
            nn.Dropout2d(0.25),
            nn.Flatten(),
            nn.Linear(64 * (SIDE // 4) ** 2, self.out_features),
            nn.SiLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of images of brightness 0 to 255."""
        if self.training and self.shift:
            x = moved(x, torch.randint(2 * self.shift + 1, (2, len(x))) - self.shift)
        features: Tensor = self.layers(x.unsqueeze(1).float() / 255)
        return features


def moved(x: Tensor, by: Tensor) -> Tensor:
    """Return images, (N, H, W), each moved by its own number of pixels down and to the right, (2, N); what is new is 0.

    The numbers may be no larger than the images.
    """
    height, width = x.shape[-2:]
    padded = nn.functional.pad(x, (width, width, height, height))
    rows = (torch.arange(height) + height - by[0, :, None]).unsqueeze(2)  # (N, H, 1)
    columns = (torch.arange(width) + width - by[1, :, None]).unsqueeze(1)  # (N, 1, W)
    return padded[torch.arange(len(x))[:, None, None], rows, columns]


class DigitRegressor(MDNRegressor):
    """A regressor whose backbone sees each row of a table of pixels as an image; baselines hand out tables only."""

    def fit(self, X: Any, y: Any, *others: Any, **options: Any) -> Self:
        """Fit the network to rows of pixels, (N, 784); the rest is as in ``MDNRegressor``."""
        return super().fit(as_images(X), y, *others, **options)

    def _open(self, X: Any, first_row: int) -> Any:
        return super()._open(as_images(X), first_row)


def as_images(pixels: Any) -> NDArray[np.uint8]:
    """Return rows of pixels, (N, 784), as images, (N, 28, 28)."""
    return np.asarray(pixels).reshape(-1, SIDE, SIDE).astype(np.uint8)


def digit_regressor(*, random_state: int, **settings: Any) -> DigitRegressor:
    """Return a regressor whose backbone starts from numbers of its own seed."""
    with isolated(random_state):
        backbone = DigitBackbone()
    return DigitRegressor(backbone=backbone, random_state=random_state, **settings)


class OnPrincipalComponents:
    """A model that sees the first principal components of the pixels in their place.

    Args:
        model: The model.
        count: How many components.
    """

    def __init__(self, model: Model, count: int = N_PRINCIPAL) -> None:
        self.model = model
        self.reduction = PCA(count, svd_solver="covariance_eigh")

    def fit(self, X: Array, y: Array) -> Self:
        """Fit the model to rows of pixels, (N, 784)."""
        self.model.fit(self.reduction.fit_transform(X.astype(np.float64)), y)
        return self

    def predict_distribution(self, X: Array) -> Prediction:
        """Return what the model predicts."""
        prediction: Prediction = self.model.predict_distribution(self.reduction.transform(X.astype(np.float64)))
        return prediction


def digit_models(work: Work) -> Models:
    """Return the usual models: networks that see images, an ensemble of fewer of them, the others on components."""
    settings: dict[str, Any] = {
        "max_epochs": few(work).max_epochs,
        "batch_size": 32,
        "lr": 3e-3,
        "validation_fraction": 0.1,
    }
    usual = models.standard(
        work, regressor=digit_regressor, n_components=10, n_members=1, objective="nll", preset="fast", **settings
    )

    def pooled(seed: int) -> Model:
        return usual[models.ENSEMBLE](seed).set_params(n_members=few(work).n_pooled)

    def reduced(name: str) -> Callable[[int], Model]:
        return lambda seed: OnPrincipalComponents(usual[name](seed))

    others = {name: reduced(name) for name in (models.BOOSTING, models.NEIGHBOURS)}
    return {**usual, models.ENSEMBLE: pooled, **others}


# --- rows ---


def all_images(work: Work) -> Mnist:
    """Return the images, or a few of them for a quick look."""
    data = fetch_mnist(work.data)
    n_train, n_test = work.pick((60_000, 10_000), (600, 300))
    return Mnist(data.X_train[:n_train], data.y_train[:n_train], data.X_test[:n_test], data.y_test[:n_test])


def digit_part(data: Mnist, n_rows: int, seed: int) -> Part:
    """Return so many images to learn from, drawn at random, and all test images in random order.

    The order matters: the first 5,000 test images are easier to read than the others.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(data.y_train))[:n_rows]
    test = generator.permutation(len(data.y_test))
    y_test = data.y_test[test].astype(np.float64)
    return Part(
        data.X_train[rows].reshape(n_rows, -1),
        data.y_train[rows].astype(np.float64),
        data.X_test[test].reshape(len(test), -1),
        y_test,
        true_modes=y_test[:, None, None],
    )


# --- what is measured ---


class Answers(NamedTuple):
    """What predictions say about images.

    Attributes:
        best: The integer that is nearest to the best mode, (N,).
        mean: The mean, (N,).
        chances: Probability of each digit, (N, 10).
        score: Log-probability of the true digit, (N,).
        rank: Where the true digit lies in the predicted distribution, (N,), drawn at random within its cell; uniform
            on [0, 1] where predictions are calibrated, as ``metrics.pit`` of counts is.
    """

    best: NDArray[np.int64]
    mean: NDArray[np.float64]
    chances: NDArray[np.float64]
    score: NDArray[np.float64]
    rank: NDArray[np.float64]


def answers(prediction: Prediction, y: NDArray[Any], seed: int = 0) -> Answers:
    """Return what predictions for images of the digits y, (N,), say; the probability of a digit is that of its cell."""
    digits = torch.as_tensor(y).double()[:, None]
    edges = torch.arange(N_DIGITS + 1).double() - 0.5 * _CELL
    below = torch.cat([prediction.cdf(edge.expand_as(digits)) for edge in edges], -1).numpy()  # (N, 11)
    chances, own = np.diff(below), (np.arange(len(y)), np.asarray(y).astype(int))
    drawn = np.random.default_rng(seed).random(len(y))
    return Answers(
        best=prediction.modes().location[:, 0, 0].round().long().numpy(),
        mean=prediction.mean[:, 0].numpy(),
        chances=chances,
        score=prediction.log_prob(Incomplete.rounded(digits, _CELL)).numpy(),
        rank=(below[own] + drawn * chances[own]).clip(0.0, 1.0),
    )


def figures(said: Answers, y: NDArray[Any]) -> dict[str, float]:
    """Return what all models are judged by, beside the scores of every study."""
    return {
        "digit_of_mode": float((said.best == y).mean()),
        "digit_of_mean": float((said.mean.round() == y).mean()),
        "digit_score": float(said.score.mean()),
        "calibration_error": float(distance_from_uniform(said.rank)),
        "coverage_90": float((np.abs(said.rank - 0.5) <= 0.45).mean()),
    }


def look(model: Model, prediction: Prediction, part: Part) -> Record:
    """Return ``figures`` of all test images, for ``Problem.look``."""
    return figures(answers(prediction, part.y_test), part.y_test)
