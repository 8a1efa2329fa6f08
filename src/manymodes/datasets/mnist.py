"""MNIST: 70,000 handwritten digits, downloaded when they are first asked for."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes._checks import InputError
from manymodes.datasets.files import NAMED_BY, checked_file, download, located

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES: Mapping[str, str] = {  # sha256 by name
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}

_SUBFOLDER = "mnist"


class Mnist(NamedTuple):
    """Images and the digits that they show.

    Attributes:
        X_train: Images to learn from, (60000, 28, 28): brightness from 0 to 255, ink is bright.
        y_train: Their digits, (60000,).
        X_test: Images to judge by, (10000, 28, 28).
        y_test: Their digits, (10000,).
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def fetch_mnist(folder: str | os.PathLike[str] | None = None, *, download: bool = True) -> Mnist:
    """Return MNIST from the four original files, which are checked, and downloaded once where they are missing.

    Args:
        folder: Folder with the files, or with a subfolder ``mnist`` that has them; it is never written to. None for
            ``$MANYMODES_DATA``, or else manymodes in the user's cache, where downloads are kept: 11 MB.
        download: Whether missing files may be downloaded.

    Raises:
        ValueError: Files that are missing and cannot be downloaded, or that are damaged; the message says where they
            can be had and with which checksums.

    References:
        LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition,
        Proceedings of the IEEE 86.
    """
    places = {name: located(folder, _SUBFOLDER, name) for name in FILES}
    missing = {name: place for name, place in places.items() if not place.is_file()}
    if missing:
        _fetch(missing, may_download=download and folder is None)
    X_train, y_train, X_test, y_test = (_numbers(checked_file(places[name], FILES[name])) for name in FILES)
    return Mnist(X_train, y_train.astype(np.int64), X_test, y_test.astype(np.int64))


def _fetch(missing: Mapping[str, Path], *, may_download: bool) -> None:
    """Download files, or refuse with a sentence that says how to get those that are not there."""
    why = ""
    try:
        for name, place in missing.items() if may_download else ():
            download([mirror + name for mirror in MIRRORS], place, FILES[name])
    except OSError as error:
        why = f", and the download failed ({error})"
    lacking = {name: place for name, place in missing.items() if not place.is_file()}
    if lacking:
        wanted = ", ".join(f"{name} (sha256 {FILES[name]})" for name in lacking)
        home = next(iter(lacking.values())).parent
        raise InputError(
            f"MNIST must have its {len(FILES)} files in one folder; {home} lacks {wanted}{why}. Fetch them from "
            f"{' or '.join(MIRRORS)}, or name a folder that has them ({NAMED_BY})."
        )


def _numbers(content: bytes) -> NDArray[Any]:
    """Return the array of an idx file: a header of two zeros, a type and the sizes of all axes, then one byte each."""
    raw = gzip.decompress(content)
    n_axes = raw[3]
    shape = np.frombuffer(raw, ">u4", count=n_axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape).copy()  # a view could not be written to
