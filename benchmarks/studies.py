"""`python -m benchmarks.studies FOLDER`: keeps what `manymodes study all` found there: results/studies.md and .json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from manymodes.studies import STUDIES, Measured
from manymodes.studies.frame.result import cell_text

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Keep the results of all finished full studies in a folder, and write all that is kept as one page.

    How long they took depends on the machine, and is left out.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.studies", description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    kept = RESULTS / "studies"
    kept.mkdir(exist_ok=True)
    for name in STUDIES:
        file = options.folder / name / "results.json"
        record = json.loads(file.read_text()) if file.is_file() else None
        if record is not None and not record["settings"]["quick"]:
            del record["seconds"]
            (kept / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    records = [json.loads((kept / f"{name}.json").read_text()) for name in STUDIES if (kept / f"{name}.json").exists()]
    (RESULTS / "studies.md").write_text(_markdown(records))


def _markdown(records: list[dict[str, Any]]) -> str:
    return "Made by `make bench-studies`.\n" + "".join(map(_study, records))


def _study(record: dict[str, Any]) -> str:
    head = f"\n## {record['study']}: {record['title']}\n\n"
    conclusions = "".join(f"- {sentence}\n" for sentence in record["conclusions"])
    return head + conclusions + "".join(map(_table, record["tables"]))


def _table(table: dict[str, Any]) -> str:
    columns = table["columns"]
    rows = [[_cell(row[name]) for name in columns] for row in table["rows"]]
    lines = [columns, ["---"] * len(columns), *rows]
    return f"\n{table['caption']}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        mean = float("nan") if value["mean"] is None else value["mean"]
        return cell_text(Measured(mean, value["standard_error"]))
    return cell_text(value)


if __name__ == "__main__":
    main()
