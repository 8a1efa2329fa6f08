"""`python -m benchmarks.uci_seconds`: how long one fit takes on its own, with all threads, in a warm process.

The first canonical split of each UCI table; figures go to ``results/uci_seconds.json``, from which, too,
``results/uci.md`` is written; what is there already is not timed again. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import uci_rows
from benchmarks.models import MODELS

FILE = Path(__file__).parent / "results" / "uci_seconds.json"


def main() -> None:
    """Time fits one after another."""
    parser = argparse.ArgumentParser(prog="benchmarks.uci_seconds", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["default", "fast"], choices=list(MODELS))
    parser.add_argument("--tables", nargs="+", default=list(uci_rows.TABLES), choices=list(uci_rows.TABLES))
    options = parser.parse_args()
    X, y, *_ = uci_rows.part("yacht", 0)
    MODELS["fast"](0).fit(X, y)  # warm
    done = {(entry["table"], entry["model"]) for entry in read()}
    for table in options.tables:
        for name in options.models:
            if (table, name) not in done:
                _keep(_timed(name, table))


def read() -> list[dict[str, Any]]:
    """Return all entries so far."""
    return json.loads(FILE.read_text()) if FILE.exists() else []


def _timed(name: str, table: str) -> dict[str, Any]:
    X, y, *_ = uci_rows.part(table, 0)
    started = time.perf_counter()
    MODELS[name](0).fit(X, y)
    seconds = time.perf_counter() - started
    print(f"{table} {name}: {seconds:.1f} s", flush=True)
    return {
        "table": table,
        "model": name,
        "n_train": len(y),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 2),
    }


def _keep(entry: dict[str, Any]) -> None:
    entries = sorted([*read(), entry], key=lambda one: (one["table"], one["model"]))
    FILE.write_text("[\n" + ",\n".join(json.dumps(one) for one in entries) + "\n]\n")


if __name__ == "__main__":
    main()
