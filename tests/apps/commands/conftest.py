"""Two models that the command line fitted to houses, made once."""

import os
from pathlib import Path

import pytest

from manymodes.apps.cli import main
from tests.apps.commands.tables import houses, write_csv


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Return a folder with ``houses.csv``, ``new.csv``, and the models ``first`` and ``second``, a worse one."""
    folder = tmp_path_factory.mktemp("houses")
    write_csv(folder / "houses.csv", houses())
    write_csv(folder / "new.csv", houses(40, seed=1))
    for name, epochs in (("first", "20"), ("second", "1")):
        fitted = ["fit", str(folder / "houses.csv"), "--target", "price", "--drop", "id", "--preset", "fast", "--quiet"]
        assert main([*fitted, "--max-epochs", epochs, "--output", str(folder / name), "--json"]) == 0
    return folder


@pytest.fixture
def inside(folder, monkeypatch) -> Path:
    """Work inside that folder."""
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def one_thread() -> dict[str, str]:
    """Return the environment of a program that is run by a test."""
    return os.environ | {"OMP_NUM_THREADS": "1"}
