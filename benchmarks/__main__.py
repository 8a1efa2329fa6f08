"""`python -m benchmarks`: measures, prints tables and writes them to benchmarks/results/; `--only` for some groups."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import accuracy, joint, memory, rows, scores, sequences, speed, steps
from benchmarks.figure import Figure, describe_machine

RESULTS = Path(__file__).parent / "results"
GROUPS: Mapping[str, Sequence[Callable[[], Iterator[Figure]]]] = {
    "speed": speed.ALL,
    "steps": steps.ALL,
    "rows": rows.ALL,
    "memory": memory.ALL,
    "scores": scores.ALL,
    "accuracy": accuracy.ALL,
    "joint": joint.ALL,
    "sequences": sequences.ALL,
}


def main() -> None:
    """Run the benchmarks that are asked for and write their figures beside those of the others."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(GROUPS), choices=list(GROUPS))
    options = parser.parse_args()
    file = RESULTS / "bench.json"
    record: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for group in options.only:
        figures: list[dict[str, str]] = []
        for measure in GROUPS[group]:
            for figure in measure():
                print(figure.line(), flush=True)
                figures.append(figure.to_dict())
        record[group] = {"machine": describe_machine(), "figures": figures}
        file.write_text(json.dumps({name: record[name] for name in GROUPS if name in record}, indent=1) + "\n")
        (RESULTS / "bench.md").write_text(_markdown(record))


def _markdown(record: dict[str, Any]) -> str:
    return "Made by `make bench`.\n" + "".join(_table(name, record[name]) for name in GROUPS if name in record)


def _table(name: str, group: dict[str, Any]) -> str:
    rows = "\n".join("| {name} | {value} | {reference} |".format(**figure) for figure in group["figures"])
    return f"\n## {name.capitalize()}\n\n{group['machine']}\n\n| what | figure | beside |\n|---|---|---|\n{rows}\n"


if __name__ == "__main__":
    main()
