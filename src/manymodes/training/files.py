"""Files that are whole or not there, for models, predictions and whatever else must not be lost."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to a new file beside ``path`` and put it there in one move; links are followed."""
    with new_file(path) as file:
        file.write(content)


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file beside ``path``, and put it there in one move once all is written; links are followed."""
    path = Path(path).resolve()
    with naming(path):
        new = path.parent / f".{path.name}-{secrets.token_hex(4)}"
        try:
            with new.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system name ``path``, which the user knows, and not a temporary file."""
    try:
        yield
    except OSError as error:
        own = error.filename is None or f".{path.name}-" in str(error.filename)
        if error.errno is None or not own:  # one that names another file is told as it is
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
