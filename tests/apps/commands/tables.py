"""Tables in files, and what a refused command says."""

import csv
from pathlib import Path

import numpy as np

from manymodes.apps.cli import main


def houses(n=60, seed=0) -> dict[str, np.ndarray]:
    """Return houses in two towns, whose price depends on their size."""
    rng = np.random.default_rng(seed)
    size, town = rng.uniform(50, 200, n).round(2), rng.choice(["Ayr", "Bath"], n)
    return {
        "id": np.array([f"{i:03d}" for i in range(n)]),
        "size": size,
        "town": town,
        "price": (2 * size + 50 * (town == "Bath") + rng.normal(0, 5, n)).round(3),
    }


def write_csv(path: Path, columns: dict) -> Path:
    """Write columns to a CSV file, and return its path."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return path


def refused(capsys, *words) -> str:
    """Run a command that must be refused with one sentence; return it."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("manymodes: ")
    return line.removeprefix("manymodes: ")
