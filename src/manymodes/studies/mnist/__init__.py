"""MNIST: the digit on an image as a number, where the average of a 4 and a 9 is no digit; and images from the digit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.datasets.mnist import Mnist
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import READING, READING_MODES, Comparison, Problem, compare
from manymodes.studies.frame.kept import as_arrays
from manymodes.studies.frame.pictures import score_dots
from manymodes.studies.frame.result import Block, Cell, Measured, Result, Section, Table
from manymodes.studies.frame.work import Record, Work
from manymodes.studies.mnist.digits import (
    N_PRINCIPAL,
    Few,
    all_images,
    answers,
    digit_models,
    digit_part,
    digit_regressor,
    few,
    figures,
    look,
)
from manymodes.studies.mnist.images import LEVELS, N_EMBEDDED, bits, densities, settings_of
from manymodes.studies.mnist.pictures import (
    component_means,
    images_and_densities,
    right_digits,
    samples,
    taken_for,
    to_show,
    wrong_ones,
)
from manymodes.studies.mnist.words import between, confused, of_all_images, of_densities, of_models

_NARROWEST = 1 / 6  # peak of integers
_SURE = (0.0, 0.5, 0.7, 0.9, 0.97, 0.99, 1.0)  # ends of bins of the likeliest digit's probability
_DIGIT_HEADINGS: Mapping[str, str] = {
    "digit_of_mode": "right digit: best mode",
    "digit_of_mean": "right digit: mean",
    "digit_score": "log-probability of the digit",
}


def study(work: Work) -> Result:
    """Learn digits from all images, compare models on few of them, and learn images from digits."""
    data, settings = all_images(work), few(work)
    found = work.step("all images", partial(_learned, work, data))
    part = partial(digit_part, data, settings.n_rows)
    problem = Problem("digits", part, digit_models(work), tolerance=0.5, mode_rows=settings.mode_rows, look=look)
    compared = compare(work, problem, work.seeds(3))
    drawn = densities(work, data)
    return Result(
        title="MNIST: what lies between a 4 and a 9?",
        problem=[
            "A handwritten digit is read off its image, not as one of ten classes, but as a number. Most images are "
            "clear. Some might be a 4 or a 9; and then the average, 6.5, is the one answer that is surely wrong. A "
            "density can say 4 or 9, and how likely each is. The network is not told that only 0 to 9 are right; it "
            "has to find that out.",
            f"The data are MNIST (LeCun and others 1998): {len(data.y_train)} images of 28 by 28 pixels to learn from "
            f"and {len(data.y_test)} by other writers to judge by. A network of three convolutions (some 440,000 "
            "weights), whose training images are moved by up to two pixels at random, predicts a mixture of ten "
            "normals. The answer is the integer nearest to the highest mode, or, for contrast, nearest to the mean.",
            "Then the question is turned round: given the digit, what does the image look like? That is one density "
            "of 784 numbers at once, with many right answers for each digit.",
        ],
        conclusions=[
            of_all_images(found, data.y_test),
            between(found, data.y_test),
            confused(found, data.y_test),
            *of_models(compared),
            of_densities(drawn),
        ],
        sections=[
            Section("From the image to the digit", _digits(found, data)),
            Section("Six models", _models(compared, settings)),
            Section("From the digit to the image", _images(work, drawn, data)),
        ],
    )


def _learned(work: Work, data: Mnist) -> Record:
    """Return what a network that learned from all images says about the test images."""
    started = time.perf_counter()
    model = digit_regressor(
        n_components=10,
        objective="nll",
        max_epochs=work.pick(10, 1),
        batch_size=work.pick(128, 16),
        lr=4e-3,
        validation_fraction=0.05,
        random_state=work.random_state,
    ).fit(data.X_train, data.y_train.astype(np.float64))
    seconds = time.perf_counter() - started
    prediction, y = model.predict_distribution(data.X_test), data.y_test
    said = answers(prediction, y)
    rows = to_show(said.chances, y, work.pick(9, 3))
    return {
        **figures(said, y),
        "log_density": float(prediction.log_prob(torch.from_numpy(y).double()[:, None]).mean()),
        "score_error": float(said.score.std() / math.sqrt(len(y))),
        "seconds": seconds,
        "best": said.best,
        "mean": said.mean,
        "chances": said.chances.astype(np.float32),
        "shown": np.array(rows),
        **as_arrays(prediction[rows]),
    }


# --- sections ---


def _digits(found: Record, data: Mnist) -> list[Block]:
    highest, least = (
        -math.log(_NARROWEST * math.sqrt(2 * math.pi)),
        -math.log(math.erf(0.5 / _NARROWEST / math.sqrt(2))),
    )
    return [
        images_and_densities(found, data),
        "Targets that lie on a lattice are recognised, and peaks are kept from becoming narrower than a sixth of its "
        "step; else a network that is sure of its integer would be infinitely sure. So the log-density is at most "
        f"{highest:.3f}; here it is {found['log_density']:.3f} on average. The probability of an integer is that of "
        "the numbers that are rounded to it. Minus its logarithm (NLL) is "
        f"{Measured(-found['digit_score'], found['score_error'])} nats for the true digit; a network that always knows "
        f"would have {least:.4f}.",
        taken_for(found, data),
        wrong_ones(found, data),
        _trust(found, data.y_test),
    ]


def _trust(found: Record, y: NDArray[Any]) -> Table:
    """Return how often the likeliest digit is right, by its probability."""
    chance, right = found["chances"].max(1), found["chances"].argmax(1) == y
    rows: list[list[Cell]] = []
    for low, high in pairwise(_SURE):
        there = (chance >= low) & ((chance < high) | (high == 1.0))
        if there.any():
            share = Measured.over(right[there])
            rows.append([f"{low:.4g} to {high:.4g}", int(there.sum()), float(chance[there].mean()), share])
    caption = "Whether probabilities mean what they say: test images by the probability of their likeliest digit."
    return Table(caption, ["probability", "images", "predicted, mean", "right"], rows)


def _models(compared: Comparison, settings: Few) -> list[Block]:
    rows: list[list[Cell]] = [
        [model, *(compared.value(model, name) for name in _DIGIT_HEADINGS)] for model in compared.records
    ]
    ideals = dict.fromkeys(_DIGIT_HEADINGS.values(), math.inf)
    return [
        f"{models.WHO} Here every network sees images through the convolutions above. To save time all models learn "
        f"from {settings.n_rows} images, drawn anew for every seed, networks for "
        f"{_checks.counted(settings.max_epochs, 'epoch')}, and the ensemble has {settings.n_pooled} networks instead "
        f"of five. Trees and neighbours cannot look at images: they get the first {N_PRINCIPAL} principal components "
        "of the pixels. So they are what one would "
        "use in place of a network, not the same view of the data.",
        Table(
            f"Digits that are read, from {settings.n_rows} images to learn from: share of all test images whose digit "
            "is nearest to the answer, and mean log-probability of the true digit.",
            ["model", *_DIGIT_HEADINGS.values()],
            rows,
            ideals,
        ),
        right_digits(compared),
        compared.table("Scores of the predicted numbers, mean over seeds."),
        READING,
        f"{READING_MODES} The one valid answer is the digit, and near is what is rounded to it. Digits are integers, "
        "so calibration and the central interval ask where the true digit lies in the distribution of integers, with "
        "chance deciding within its cell.",
        score_dots(compared, "log-likelihood"),
    ]


def _images(work: Work, records: Mapping[str, Record], data: Mnist) -> list[Block]:
    settings = settings_of(work)
    rows: list[list[Cell]] = [
        [name, Measured(each["log_score"], each["error"]), bits(each), each["bayes"], each["seconds"]]
        for name, each in records.items()
    ]
    columns = ["density", "log-likelihood", "bits per pixel", "digit by Bayes' rule", "seconds"]
    best = {columns[1]: math.inf, columns[2]: -math.inf, columns[3]: math.inf}
    return [
        f"Each digit has a density of 784 pixels, whose parameters come from a table of {N_EMBEDDED} numbers "
        "per digit through one linear layer. Compared are one normal for each digit, with the mean and the spread of "
        f"every pixel; a mixture of {settings.n_components} normals for each digit whose pixels are independent within "
        "a component; and one whose pixels vary together within a component (a covariance of low rank: a spread for "
        f"every pixel, and two directions). Brightness is one of {LEVELS} levels, with chance within the level, so "
        "that a pixel which is always white has no infinite density.",
        samples(records, data),
        component_means(records),
        Table(
            f"Test images given their digit, {settings.n_test} of them: log-density of an image in nats, behind ± its "
            f"standard error over images; bits per pixel, of the {math.log2(LEVELS):g} that tell the levels apart; and "
            "how often the density under which an image is likeliest is that of its digit.",
            columns,
            rows,
            best,
        ),
    ]
