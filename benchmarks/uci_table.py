"""The table of the UCI benchmark beside published figures."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from manymodes.studies.tables import published

AIMS: dict[str, dict[str, float]] = {
    "rmse": {
        "boston-housing": 2.6, "concrete": 3.8, "energy": 0.31, "kin8nm": 0.0636,
        "naval-propulsion-plant": 1e-4, "protein-tertiary-structure": 3.5, "yacht": 0.30,
    },
    "crps": {"concrete": 1.85, "energy": 0.15, "kin8nm": 0.0365, "protein-tertiary-structure": 1.65, "yacht": 0.13},
    "nll": {
        "boston-housing": 2.25, "concrete": 2.50, "energy": -0.05, "kin8nm": -1.38,
        "protein-tertiary-structure": 1.78, "yacht": -0.70,
    },
}  # fmt: skip
COLUMNS = ("nll", "nll_new", "nll_seen", "nll_cell", "crps", "rmse", "coverage_90", "seconds")
_WORDS = {"nll_new": "NLL, new targets", "nll_seen": "NLL, seen targets", "nll_cell": "NLL of the cell"}

Entry = dict[str, Any]


def markdown(entries: list[Entry], seconds: list[Entry]) -> str:
    """Return all means with their standard errors over splits, beside what is published, and seconds of fits alone."""
    parts = [_HEAD]
    for table in sorted({entry["table"] for entry in entries}):
        of_table = [entry for entry in entries if entry["table"] == table]
        share = sum(entry["share_seen"] for entry in of_table) / len(of_table)
        parts.append(f"\n## {table}\n\n{share:.0%} of the test targets occur in the training rows.\n")
        parts.append("| model | splits | " + " | ".join(_WORDS.get(name, name) for name in COLUMNS) + " |")
        parts.append("|---" * (2 + len(COLUMNS)) + "|")
        models: dict[str, list[Entry]] = defaultdict(list)
        for entry in of_table:
            models[entry["model"]].append(entry)
        parts += [_measured(name, own) for name, own in models.items()]
        parts += [_published(name, table) for name in _names(table)]
        parts.append(_row("aim", [AIMS.get(column, {}).get(table) for column in COLUMNS]))
    sources = sorted({entry["source"] for entry in entries})
    if len(sources) > 1:
        parts.append(f"\nMind: these are results of different versions, {', '.join(sources)} (git rev-parse HEAD:src).")
    parts.append(_ALONE)
    parts += ["| table | rows | model | threads | seconds |", "|---|---|---|---|---|"]
    parts += ["| {table} | {n_train} | {model} | {threads} | {seconds:.1f} |".format(**one) for one in seconds]
    return "\n".join(parts) + "\n"


def _measured(name: str, entries: list[Entry]) -> str:
    return f"| {name} | {len(entries)} | " + " | ".join(_cell(entries, column) for column in COLUMNS) + " |"


def _names(table: str) -> list[str]:
    names = [name for rows in published.FIGURES.values() for name, row in rows.items() if table in row]
    return list(dict.fromkeys(names))


def _published(name: str, table: str) -> str:
    return _row(f"*{name}*", [published.FIGURES.get(column, {}).get(name, {}).get(table) for column in COLUMNS])


def _row(name: str, values: list[float | None]) -> str:
    return f"| {name} | | " + " | ".join("" if value is None else f"{value:.4g}" for value in values) + " |"


def _cell(entries: list[Entry], column: str) -> str:
    values = [entry[column] for entry in entries if entry[column] is not None]
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1 or column == "seconds":
        return f"{mean:.4g}"
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    return f"{mean:.4g} ± {error:.2g}"


_HEAD = """# UCI tables, canonical splits, one default

Made by `make bench-uci` from `uci/MODEL/TABLE.json`, one entry for each split. Means over splits ± their standard
error, in original units; NLL in nats, lower is better. Rows in *italics* are published figures on these or comparable
splits, most of them tuned for each table. `seconds` are those of one fit on one thread while another ran beside it.

Judge by CRPS and RMSE first: a density may spike on targets that repeat, so NLL is also given apart for test targets
that do and do not occur in the training rows, and as the likelihood of the rounding cell where targets lie on a
lattice. TabPFN's NLL on concrete, energy and protein gains from repeated targets in the same way; on naval, figures
below ln 0.001 = -6.91 measure the interpolation of a simulator, not uncertainty. *best boosting* and *best other* take
for every cell the best of several methods.

The default was chosen on other tables (california-housing, bike-sharing, kin40k, sarcos, diabetes, simulations), since
the canonical splits overlap. The prototypes that the design started from had been looked at on test rows of these
splits."""

_ALONE = """
## How long a fit takes on its own

Made by `python -m benchmarks.uci_seconds`: the first split of each table, in a warm process, with all threads and
nothing beside it.
"""
