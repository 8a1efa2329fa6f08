"""What a study found, in one format: sections of text, tables and figures, for machines (JSON) and for people."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manymodes.pages.charts import as_text

FORMAT_VERSION = 1
_MOST_DECIMALS = 7


@dataclass(frozen=True)
class Measured:
    """A mean over repetitions and its standard error, None of a single one.

    Attributes:
        mean: The mean.
        error: Its standard error.
    """

    mean: float
    error: float | None = None

    @classmethod
    def over(cls, values: Iterable[float]) -> Measured:
        """Return the mean of numbers with its standard error; numbers that are not known are left out."""
        known = [float(value) for value in values if not math.isnan(value)]
        if not known:
            return cls(math.nan)
        mean = math.fsum(known) / len(known)
        if len(known) == 1 or not math.isfinite(mean):
            return cls(mean)
        variance = math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1)
        return cls(mean, math.sqrt(variance / len(known)))

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return ""
        if self.error is None or not self.error > 0:
            return _number(self.mean)
        decimals = max(0, 1 - math.floor(math.log10(self.error)))  # two digits of the error
        if decimals > _MOST_DECIMALS:
            return f"{self.mean:.3g} ± {self.error:.2g}"
        return f"{self.mean:.{decimals}f} ± {self.error:.{decimals}f}"


Cell = str | float | Measured | None


@dataclass(frozen=True)
class Table:
    """A table of a study.

    Attributes:
        caption: What it shows, in a sentence.
        columns: Names of the columns; the first is a label.
        rows: Cells of each row.
        best: Columns whose best cell is marked, with the ideal value that the best is nearest to: ``-math.inf`` where
            lower is better, ``math.inf`` where higher is.
        aside: Labels of rows that are never the best, say of the truth.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    best: Mapping[str, float] = field(default_factory=dict)
    aside: Collection[str] = ()

    def text(self) -> list[list[str]]:
        """Return the cells as text."""
        return [[cell_text(cell) for cell in row] for row in self.rows]

    def marked(self) -> list[set[int]]:
        """Return for each row the places of its cells that are the best of their columns."""
        marks: list[set[int]] = [set() for _ in self.rows]
        for name, ideal in self.best.items():
            place = list(self.columns).index(name)
            known = [(_far(row[place], ideal), i) for i, row in enumerate(self.rows) if row[0] not in self.aside]
            known = [(far, i) for far, i in known if not math.isnan(far)]
            if known:
                marks[min(known)[1]].add(place)
        return marks

    def to_dict(self) -> dict[str, Any]:
        """Return the table as what JSON holds; means with standard errors become dictionaries."""
        rows = [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]
        return {"caption": self.caption, "columns": list(self.columns), "rows": rows}


@dataclass(frozen=True)
class Figure:
    """A picture of a study.

    Attributes:
        name: Name of its file, without an ending.
        caption: What it shows and what to see there.
        svg: The picture.
    """

    name: str
    caption: str
    svg: str


Block = str | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs, tables, figures."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Result:
    """What a study found.

    Attributes:
        title: What a reader sees first.
        problem: The problem in plain words, one paragraph each.
        conclusions: What to conclude, a sentence or two each.
        sections: What was compared, with tables and figures.
    """

    title: str
    problem: Sequence[str]
    conclusions: Sequence[str]
    sections: Sequence[Section]

    @property
    def tables(self) -> list[Table]:
        """All tables in their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Table)]

    @property
    def figures(self) -> list[Figure]:
        """All figures in their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]

    def to_json(self, **about: Any) -> str:
        """Return the result as JSON, together with what is known about the run; numbers that are not finite are null.

        Args:
            about: Entries beside title, conclusions, tables and figures, say settings.
        """
        record = {
            "format": FORMAT_VERSION,
            "title": self.title,
            **about,
            "conclusions": list(self.conclusions),
            "tables": [table.to_dict() for table in self.tables],
            "figures": [{"name": figure.name, "caption": figure.caption} for figure in self.figures],
        }
        return json.dumps(_plain(record), indent=1, allow_nan=False) + "\n"


def cell_text(cell: Cell) -> str:
    """Return a cell as people read it."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else str(cell) if isinstance(cell, Measured) else _number(cell)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else as_text([value], abs(value) / 100)[0] if math.isfinite(value) else str(value)


def _far(cell: Cell, ideal: float) -> float:
    """Return how far a cell is from what is ideal; NaN where it is no number."""
    value = cell.mean if isinstance(cell, Measured) else cell
    if not isinstance(value, int | float):
        return math.nan
    return math.copysign(1.0, -ideal) * value if math.isinf(ideal) else abs(value - ideal)


def _plain(value: Any) -> Any:
    """Return a value as what JSON holds."""
    if isinstance(value, Measured):
        return {"mean": _plain(value.mean), "standard_error": _plain(value.error)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
