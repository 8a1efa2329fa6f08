"""Files of real data: where they are kept, and how they get there and are read; none is taken without its checksum."""

from __future__ import annotations

import hashlib
import os
import secrets
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from manymodes import _checks

NAMED_BY = "folder, --data or $MANYMODES_DATA"  # how a user says where data are

_TIMEOUT = 30.0  # seconds without an answer, after which a server counts as silent


def data_folder() -> Path:
    """Return where data are kept unless a folder is named: ``$MANYMODES_DATA``, or manymodes in the user's cache.

    The cache is ``$XDG_CACHE_HOME``, or else ``~/.cache``.
    """
    named = os.environ.get("MANYMODES_DATA")
    if named:
        return Path(named).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "manymodes"


def located(folder: str | os.PathLike[str] | None, name: str, file: str) -> Path:
    """Return where a file of the data set ``name`` is, or belongs: in a folder itself, or in its subfolder ``name``.

    Args:
        folder: The folder; None for ``data_folder()``.
        name: Name of the data set.
        file: Name of the file.
    """
    folder = data_folder() if folder is None else Path(folder).expanduser()
    return folder / file if (folder / file).is_file() else folder / name / file


def checked_file(path: Path, sha256: str) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: Content with another checksum.
        OSError: A file that cannot be read.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _checks.InputError(
            f"{path} must have the sha256 {sha256}; got {found}, so it is damaged, or another file. Put the right one "
            "there, or delete it."
        )
    return content


def download(urls: Sequence[str], path: Path, sha256: str) -> None:
    """Write what the first address gives that has the right content to ``path``, whole or not at all.

    Args:
        urls: Addresses, which are tried in turn.
        path: Where the file belongs; its folder is made.
        sha256: Checksum of the file.

    Raises:
        ConnectionError: No address that gives the file; the message says what each of them gave instead.
        OSError: A folder that cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            content = _answer(url)
        except (OSError, HTTPException) as error:
            failures.append(f"{url}: {_reason(error)}")
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            _write_whole(path, content)
            return
        failures.append(f"{url}: a file with another checksum")
    raise ConnectionError("; ".join(failures))


def _answer(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:  # noqa: S310  # addresses come from this package
        content: bytes = response.read()
    return content


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _write_whole(path: Path, content: bytes) -> None:
    """Write to a new file beside ``path`` and put it there in one move."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with new.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
