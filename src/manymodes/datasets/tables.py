"""Real tables from a folder: numbers as they are in the file, and the customary splits where there are any."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.datasets.files import NAMED_BY, checked_file, located
from manymodes.datasets.sources import TABLES

_OWN = frozenset({"X", "y", "feature_names", "target_names", "train_idx", "test_idx"})


class Split(NamedTuple):
    """Numbers of the rows to learn from and to judge by."""

    train: NDArray[np.int32]
    test: NDArray[np.int32]


class Table(NamedTuple):
    """A real table; nothing in it is standardised.

    Attributes:
        X: Features, (N, F).
        y: Targets, (N,), or (N, D) of several.
        feature_names: Names of the features.
        target_names: Names of the targets.
        splits: The splits that published figures are means over; none where there is no custom.
        extras: What else the file has, by name: say days, blocks of rows, further targets.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    splits: tuple[Split, ...]
    extras: Mapping[str, NDArray[Any]]


def load_table(name: str, folder: str | os.PathLike[str] | None = None) -> Table:
    """Return a real table, whose file is checked.

    Args:
        name: Name in ``TABLES``, which says where it comes from.
        folder: Folder with a subfolder ``NAME`` that has the file, ``NAME.npz`` or the published one, or with the file
            itself; None for ``$MANYMODES_DATA``, or else manymodes in the user's cache.

    Raises:
        ValueError: Another name, a file that is not there, or a damaged one.
    """
    source = _checks.one_of("name", name, TABLES)
    path = located(folder, name, source.published or f"{name}.npz")
    if not path.is_file():
        raise _checks.InputError(
            f"table {name!r} must be in {path} (sha256 {source.sha256}; numbers of github.com/{source.repository}); "
            f"got no such file. Put it there, or name a folder that has it ({NAMED_BY})."
        )
    content = checked_file(path, source.sha256)
    return _series(content) if source.published else _arrays(content)


def _arrays(content: bytes) -> Table:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    splits = zip(arrays.get("train_idx", ()), arrays.get("test_idx", ()), strict=True)
    return Table(
        X=arrays["X"],
        y=arrays["y"],
        feature_names=tuple(arrays["feature_names"].tolist()),
        target_names=tuple(arrays["target_names"].tolist()),
        splits=tuple(Split(train, test) for train, test in splits),
        extras={key: value for key, value in arrays.items() if key not in _OWN},
    )


def _series(content: bytes) -> Table:
    """Return a series that was published as compressed text: times are an extra, the last column is the target."""
    head, *lines = csv.reader(io.StringIO(gzip.decompress(content).decode()))
    place = head.index("date")
    times = np.array([line.pop(place) for line in lines], dtype="datetime64[s]")
    names = (*head[:place], *head[place + 1 :])
    values = np.array(lines, dtype=np.float64)
    return Table(values[:, :-1], values[:, -1], names[:-1], names[-1:], (), {"date": times})
