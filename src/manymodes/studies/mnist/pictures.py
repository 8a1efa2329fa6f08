"""Pictures of digits: images beside their densities, what is taken for what, and images that densities draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.datasets.mnist import Mnist
from manymodes.plots import canvas
from manymodes.studies.frame.comparison import Comparison
from manymodes.studies.frame.kept import as_mixture
from manymodes.studies.frame.pictures import drawn
from manymodes.studies.frame.result import Figure
from manymodes.studies.frame.work import Record
from manymodes.studies.mnist.digits import N_DIGITS, POSSIBLE, SIDE
from manymodes.studies.mnist.images import DIAGONAL, LOW_RANK, N_DRAWN

N_CLEAR, N_WRONG = 3, 32  # images shown
_IN_ROW, _WRONG_IN_ROW = 3, 8
_PAPER, _GAP, _FOR_TEXT = 255, 3, 13  # brightness between images of a mosaic, and pixels, also where text is above
_INK = "gray_r"

Array = NDArray[Any]


def to_show(chances: Array, y: Array, n_doubtful: int) -> list[int]:
    """Return the first images of different digits, and then those whose second digit is likeliest, pair by pair.

    Args:
        chances: Probability of each digit, (N, 10).
        y: The digits, (N,).
        n_doubtful: How many of the latter.
    """
    clear = list(dict.fromkeys(y.tolist()))[:N_CLEAR]
    shown = [int(np.flatnonzero(y == digit)[0]) for digit in clear]
    order = np.argsort(-chances, axis=1)
    pairs: dict[tuple[int, ...], int] = {}
    for row in np.argsort(-np.sort(chances, axis=1)[:, -2], kind="stable"):
        if row not in shown:
            pairs.setdefault(tuple(sorted(order[row, :2].tolist())), int(row))
    return shown + list(pairs.values())[:n_doubtful]


def images_and_densities(found: Record, data: Mnist) -> Figure:
    """Return images beside the densities of their digits, the clear ones first."""
    y, prediction = np.linspace(-0.9, N_DIGITS - 0.1, 241), as_mixture(found)
    points = torch.from_numpy(y)[:, None, None].expand(-1, len(found["shown"]), 1)
    height = prediction.log_prob(points).exp().T.numpy()  # (N, G)

    def draw(*axes: Any) -> None:
        pairs = zip(axes[::2], axes[1::2], strict=True)
        for number, ((image, density), row) in enumerate(zip(pairs, found["shown"].tolist(), strict=False)):
            _image(image, data.X_test[row], f"a {data.y_test[row]}")
            density.fill_between(y, height[number], color=canvas.BLUE, alpha=0.35, lw=0)
            density.plot(y, height[number], color=canvas.BLUE, lw=1.2)
            density.axvline(found["mean"][row], color=canvas.ATOM, ls="--", lw=1.2)
            density.set_title(_in_words(found["chances"][row]), fontsize=9)
            density.set_xticks(range(N_DIGITS))
            density.set_yticks([])
            canvas.finish(density, "", "")
            density.spines["left"].set_visible(False)
        for ax in axes[2 * len(found["shown"]) :]:
            ax.set_axis_off()

    caption = (
        f"Images beside the densities of their digits. The first {N_CLEAR} are the first of the test images that show "
        "different digits: one peak each. The others are the most doubtful, one for each pair of digits: a peak on "
        "each digit that it may be, and next to nothing between. The dashed line is the mean of the density; where "
        "there are two peaks, it lies where nothing is. Above each density are its digits with at least "
        f"{POSSIBLE:.0%}, above the image what its writer meant."
    )
    n_rows = -(-len(found["shown"]) // _IN_ROW)
    ratios = {"width_ratios": [1.0, 2.3] * _IN_ROW}
    return drawn(
        "images", caption, draw, n_columns=2 * _IN_ROW, n_rows=n_rows, size=(10.4, 1.85 * n_rows), gridspec_kw=ratios
    )


def _in_words(chances: Array) -> str:
    """Return the digits that an image may show with their probabilities, the likeliest first."""
    order = [digit for digit in np.argsort(-chances) if chances[digit] >= POSSIBLE]
    return ", ".join(f"{digit}: {chances[digit]:.0%}" for digit in order)


def confusion(y: Array, said: Array) -> NDArray[np.int64]:
    """Return how many images of each digit are taken for each, (10, 10); what is beyond 0 or 9 counts there."""
    table = np.zeros((N_DIGITS, N_DIGITS), dtype=np.int64)
    np.add.at(table, (y, np.clip(said, 0, N_DIGITS - 1).astype(int)), 1)
    return table


def taken_for(found: Record, data: Mnist) -> Figure:
    """Return which digits are taken for which, by the best mode and by the rounded mean."""
    said = {"nearest to the best mode": found["best"], "nearest to the mean": found["mean"].round()}
    tables = {name: confusion(data.y_test, values) for name, values in said.items()}
    most = max(int(_mistakes(table).max()) for table in tables.values())

    def draw(*axes: Any) -> None:
        for ax, (name, table) in zip(axes, tables.items(), strict=True):
            wrong = _mistakes(table)
            ax.imshow(wrong, cmap="Blues", vmin=0, vmax=max(1, 1.4 * most))
            for row, column in zip(*np.nonzero(wrong), strict=True):
                ax.text(column, row, wrong[row, column], ha="center", va="center", fontsize=8)
            ax.plot(range(N_DIGITS), range(N_DIGITS), "s", ms=15, color="#EEEEEE", zorder=0.6)
            ax.set_xticks(range(N_DIGITS))
            ax.set_yticks(range(N_DIGITS))
            ax.set_title(f"{name}: {wrong.sum()} wrong")
            canvas.finish(ax, "taken for", "digit")
            ax.spines[["left", "bottom"]].set_visible(False)

    caption = (
        "Which digits are taken for which: test images of each kind of mistake. The best mode can only be wrong about "
        "digits that look alike to the network. The mean can also land between them, on digits that look like "
        "neither: what might be a 4 or a 9 becomes something from 5 to 8, and what might be a 9 or something smaller "
        "falls a little short, beside the diagonal."
    )
    return drawn("confusion", caption, draw, n_columns=2, size=(10.0, 5.0))


def _mistakes(table: NDArray[np.int64]) -> NDArray[np.int64]:
    return table - np.diag(np.diag(table))


def wrong_ones(found: Record, data: Mnist) -> Figure:
    """Return images whose best mode is another digit, the surest first."""
    wrong = np.flatnonzero(found["best"] != data.y_test)
    chance = found["chances"][np.arange(len(found["best"])), np.clip(found["best"], 0, N_DIGITS - 1)]
    rows = wrong[np.argsort(-chance[wrong], kind="stable")][:N_WRONG]

    said = [f"{data.y_test[row]}, read as {found['best'][row]}\n{chance[row]:.0%}" for row in rows]
    n_rows = max(1, -(-len(rows) // _WRONG_IN_ROW))
    shown = np.zeros((n_rows * _WRONG_IN_ROW, SIDE**2), dtype=np.uint8)
    shown[: len(rows)] = data.X_test[rows].reshape(len(rows), -1)

    def draw(ax: Any) -> None:
        _mosaic(ax, shown.reshape(n_rows, _WRONG_IN_ROW, -1), "", _FOR_TEXT)
        for number, text in enumerate(said):
            row, column = divmod(number, _WRONG_IN_ROW)
            x, y = (column + 0.5) * (SIDE + _GAP), row * (SIDE + _FOR_TEXT) + 0.5 * _FOR_TEXT
            ax.text(x, y, text, ha="center", va="center", fontsize=9)

    number = "all" if len(rows) == len(wrong) else f"{len(rows)} of the {len(wrong)}"
    caption = (
        f"Here are {number} images whose best mode is not their digit, the surest mistakes first: what was meant, what "
        "was read, and its probability."
    )
    return drawn("mistakes", caption, draw, size=(10.0, 1.7 * n_rows))


def right_digits(compared: Comparison) -> Figure:
    """Return how many digits every model reads by its best mode and by its mean, with standard errors over seeds."""
    own = next(iter(compared.records))
    order = sorted(compared.records, key=lambda model: compared.value(model, "digit_of_mode").mean)

    def draw(ax: Any) -> None:
        for place, model in enumerate(order):
            color = canvas.BLUE if model == own else canvas.INK
            for what, face in (("digit_of_mode", color), ("digit_of_mean", "white")):
                share = compared.value(model, what)
                bar = 200 * (share.error or 0.0)
                ax.errorbar(100 * share.mean, place, xerr=bar, fmt="o", color=color, mfc=face, capsize=3)
        ax.plot([], [], "o", color=canvas.INK, label="best mode")
        ax.plot([], [], "o", color=canvas.INK, mfc="white", label="mean")
        ax.set_yticks(range(len(order)), order)
        canvas.finish(ax, "right digits, %", "")

    caption = (
        "Share of test images whose digit is the integer nearest to the best mode (full) or to the mean (hollow); bars "
        "are two standard errors. One normal has its mode at its mean; only densities with several modes can do better "
        "by their mode."
    )
    return drawn("right-digits", caption, draw, size=(8.2, 0.6 + 0.4 * len(order)))


def _image(ax: Any, pixels: Array, title: str) -> None:
    ax.imshow(pixels, cmap=_INK, vmin=0, vmax=255, interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()


# --- from the digit to the image ---


def mosaic(images: Array, above: int = _GAP) -> NDArray[np.uint8]:
    """Return images, (R, C, 784) of brightness 0 to 255, as one, with R rows and C columns; ink becomes dark.

    Args:
        images: The images.
        above: Pixels of paper above each of them.
    """
    n_rows, n_columns = images.shape[:2]
    frame = ((0, 0), (0, 0), (above, 0), (_GAP, 0))
    framed = np.pad(255 - images.reshape(n_rows, n_columns, SIDE, SIDE), frame, constant_values=_PAPER)
    return np.asarray(framed.transpose(0, 2, 1, 3).reshape(n_rows * (SIDE + above), n_columns * (SIDE + _GAP)))


def samples(records: Mapping[str, Record], data: Mnist) -> Figure:
    """Return written digits beside those that densities draw."""
    written = np.stack([data.X_train[data.y_train == digit][:N_DRAWN] for digit in range(N_DIGITS)])
    shown = {"written by people": written, **{f"drawn: {name}": record["samples"] for name, record in records.items()}}

    def draw(*axes: Any) -> None:
        for ax, (name, images) in zip(axes, shown.items(), strict=True):
            _mosaic(ax, images, name)

    caption = (
        "Images of each digit: written by people, and drawn at random from three densities of 784 pixels. One normal "
        "mixes up all ways to write a digit, and adds noise to each pixel by itself. Components separate the ways of "
        "writing; pixels that vary together, along two directions for each component, make smoother strokes."
    )
    return drawn("samples", caption, draw, n_columns=2, n_rows=2, size=(9.6, 12.0))


def component_means(records: Mapping[str, Record]) -> Figure:
    """Return the means of the components of each digit, the heaviest first."""
    names = (DIAGONAL, LOW_RANK)

    def draw(*axes: Any) -> None:
        for ax, name in zip(axes, names, strict=True):
            _mosaic(ax, records[name]["means"], name)

    heaviest = ", ".join(f"{records[name]['weights'][:, 0].mean():.0%} ({name})" for name in names)
    caption = (
        "The means of the components of each digit, the heaviest on the left: upright and slanted, round and narrow, "
        "ones with a foot. The lightest are hardly used, and need not look like the digit. The heaviest holds "
        f"{heaviest} of the probability, the mean over digits."
    )
    return drawn("means", caption, draw, n_columns=2, size=(9.6, 5.6))


def _mosaic(ax: Any, images: Array, title: str, above: int = _GAP) -> None:
    ax.imshow(mosaic(images, above), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()
