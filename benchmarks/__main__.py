"""`python -m benchmarks`: measures, prints a table and writes it to benchmarks/results/."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import accuracy, memory, rows, speed, steps
from benchmarks.figure import Figure, describe_machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run every benchmark and write its figures."""
    figures: list[Figure] = []
    for measure in (*speed.ALL, *steps.ALL, *rows.ALL, *memory.ALL, *accuracy.ALL):
        for figure in measure():
            print(figure.line(), flush=True)
            figures.append(figure)
    machine = describe_machine()
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine, "figures": [figure.to_dict() for figure in figures]}
    (RESULTS / "bench.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "bench.md").write_text(_markdown(machine, figures))


def _markdown(machine: str, figures: list[Figure]) -> str:
    rows = "\n".join(f"| {figure.name} | {figure.value} | {figure.reference} |" for figure in figures)
    return f"Made by `make bench` ({machine}).\n\n| what | figure | beside |\n|---|---|---|\n{rows}\n"


if __name__ == "__main__":
    main()
