"""How the columns of a table become the numbers that a network is fed: learned by a fit, and saved with it.

Numbers stay as they are, categories become the number of their level, points in time their usual parts; what is missing
stays missing, for the network to fill in (``nn.TableScaling``). Columns come to the network in an order of the
encoder's own, which depends on their values alone, so that the order in which a table has them does not matter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from manymodes import _checks
from manymodes.estimators.tables.columns import Column, Kind, RawTable
from manymodes.estimators.tables.numbers import Floats
from manymodes.estimators.tables.times import varying_parts
from manymodes.runtime import TIME_PARTS, time_parts

_MOST_LEVELS = 1000  # of a column of text
_FEW_LEVELS, _MOST_OF_ROWS = 20, 0.8  # text that differs from row to row is names, not categories
_UNSEEN = -1.0  # a level that the fit did not have
_ORDER_ROWS = 100_000  # tell the columns' order


@dataclass(frozen=True)
class ColumnCode:
    """How one column becomes numbers.

    Attributes:
        name: Its name.
        kind: ``"number"``, ``"category"`` or ``"time"``.
        levels: Categories in ascending order: text or numbers; a missing one comes after them where the fit had any.
        parts: Names in ``runtime.TIME_PARTS`` of a point in time.
        has_missing: Whether some values were missing in the fit.
        is_empty: Whether all were; the column then says nothing, whatever it becomes.
        is_constant: Whether it had a single value.
        is_rounded: Whether it had whole numbers too large for double precision.
        zone: Time zone of points in time; empty for none.
    """

    name: str
    kind: str
    levels: tuple[Any, ...] = ()
    parts: tuple[str, ...] = ()
    has_missing: bool = False
    is_empty: bool = False
    is_constant: bool = False
    is_rounded: bool = False
    zone: str = ""

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return 1 + sum(TIME_PARTS[part] for part in self.parts)

    @property
    def is_category(self) -> bool:
        """Whether it becomes the number of a level."""
        return self.kind == "category" and not self.is_constant

    @property
    def has_gaps(self) -> bool:
        """Whether it becomes a number that may be missing."""
        return self.has_missing and not self.is_empty and self.kind != "category"

    @property
    def n_levels(self) -> int:
        """Number of categories, a missing one among them."""
        return len(self.levels) + self.has_missing

    def encode(self, column: Column) -> Floats:
        """Return the column as numbers, (N, width)."""
        if self.is_empty or self.is_constant:
            return np.zeros((len(column.values), self.width))
        self._refuse_another_kind(column)
        if not self.has_missing and (missing := column.missing).any():
            raise _checks.InputError(
                f"Column {self.name!r} has {_checks.counted(int(missing.sum()), 'missing value')} (first: "
                f"{column.row(int(missing.argmax()))}), and none was missing in the fit, so nothing is known of what a "
                "missing one means; fill them in, or fit the model to a table that has some."
            )
        if self.kind == "category":
            return self._level_numbers(column)[:, None]
        if self.kind == "time":
            return time_parts(column.values, self.parts)
        return column.values[:, None]

    def _level_numbers(self, column: Column) -> Floats:
        """Return the number of each row's level, counted from 0; -1 for one that the fit did not have."""
        values: Iterable[Any] = column.values
        number: dict[Any, float] = {level: float(place) for place, level in enumerate(self.levels)}
        if self._has_text and column.kind is Kind.NUMBER:  # "007" was a level, and 7 is the same
            number = _by_value(number)
        elif not self._has_text and column.kind is Kind.TEXT:
            values = map(_number, column.values)
        codes = np.fromiter((number.get(value, _UNSEEN) for value in values), np.float64, len(column.values))
        if self.has_missing:
            codes[column.missing] = len(self.levels)
        return codes

    @property
    def _has_text(self) -> bool:
        return bool(self.levels) and isinstance(self.levels[0], str)

    def _refuse_another_kind(self, column: Column) -> None:
        if self.kind == "time" and column.kind is Kind.TIME and column.zone != self.zone:
            now = f"is in the time zone {column.zone}" if column.zone else "has no time zone"
            then = (
                f"was in {self.zone} in the fit; convert it to that" if self.zone else "had none in the fit; remove it"
            )
            raise _checks.InputError(f"Column {self.name!r} {now}, and {then}.")
        wanted = Kind.TIME if self.kind == "time" else Kind.TEXT if self._has_text else Kind.NUMBER
        if column.kind is wanted or column.missing.all():
            return
        may_spell = self.kind == "category" and column.kind is not Kind.TIME
        if not may_spell or not _spell_numbers(self.levels if self._has_text else column.values):
            raise _checks.InputError(
                f"Column {self.name!r} holds {_WORDS[column.kind]}, and {_WORDS[wanted]} in the fit; hand in what the "
                "model was fitted with."
            )


def _number(text: str | None) -> float | None:
    """Return the number that a text spells; None where it spells none."""
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _by_value(number: dict[Any, float]) -> dict[Any, float]:
    """Return the numbers of levels by the values that their texts spell, where that is one level each."""
    spelled = [(_number(level), place) for level, place in number.items()]
    values = [value for value, _ in spelled]
    return {value: place for value, place in spelled if value is not None and values.count(value) == 1}


def _spell_numbers(texts: Iterable[Any]) -> bool:
    """Return whether some texts spell numbers."""
    return any(_number(text) is not None for text in texts)


_WORDS = {Kind.NUMBER: "numbers", Kind.TEXT: "text", Kind.TIME: "points in time"}


@dataclass(frozen=True)
class TableEncoder:
    """How a table becomes a matrix of numbers, (N, E).

    Attributes:
        columns: How each of its columns does, F of them.
        order: Which number comes where: the place of each of the E numbers among those of the columns.
        repeats: Columns that were equal to an earlier one, which is named beside them.
    """

    columns: tuple[ColumnCode, ...]
    order: tuple[int, ...]
    repeats: tuple[tuple[str, str], ...] = ()

    @classmethod
    def learn(cls, table: RawTable, categorical: Sequence[int] = ()) -> Self:
        """Return an encoder for a table.

        Args:
            table: Its columns.
            categorical: Places of columns whose numbers are names of categories.

        Raises:
            ValueError: A column that is no feature: mixed kinds, infinite numbers, text that differs from row to row.
        """
        categories = table.categorical.union(categorical)
        read = [table.column(place, as_category=place in categories) for place in range(len(table.names))]
        codes = tuple(_code(column, place in categories) for place, column in enumerate(read))
        values = np.column_stack([code.encode(column) for code, column in zip(codes, read, strict=True)])
        return cls(codes, _own_order(values), _repeats(codes, read))

    @classmethod
    def of_numbers(cls, names: Sequence[str]) -> Self:
        """Return the encoder that leaves a matrix as it is."""
        return cls(tuple(ColumnCode(name, "number") for name in names), tuple(range(len(names))))

    def encode(self, table: RawTable) -> Floats:
        """Return a table as numbers, (N, E), its columns in the order of the fit.

        Raises:
            ValueError: Values that the fit had none like: another kind, infinite ones, missing ones where none was.
        """
        parts = [
            code.encode(table.column(place, as_category=code.kind == "category"))
            for place, code in enumerate(self.columns)
        ]
        return np.column_stack(parts)[:, self.order]

    def encode_fully(self, table: RawTable) -> Floats:
        """Return a table as numbers none of which is missing, (N, E + G): those that are count as 0.

        A column of 1 where a number is missing and 0 elsewhere, one for each of ``gaps``, comes after all others.
        """
        values = self.encode(table)
        missing = np.isnan(values[:, list(self.gaps)])
        return np.column_stack([np.nan_to_num(values), missing.astype(np.float64)])

    @property
    def categories(self) -> tuple[tuple[int, int], ...]:
        """Place and number of levels of every one of the E numbers that stands for a category."""
        pairs = zip(self.places, self.columns, strict=True)
        return tuple(sorted((place, code.n_levels) for place, code in pairs if code.is_category))

    @property
    def gaps(self) -> tuple[int, ...]:
        """Places of the numbers that may be missing."""
        pairs = zip(self.places, self.columns, strict=True)
        return tuple(sorted(place for place, code in pairs if code.has_gaps))

    def notes(self) -> list[str]:
        """Return sentences about columns that need some."""
        told = [f"Column {later!r} repeats {first!r} in every row." for later, first in self.repeats[:_SHOWN]]
        return _notes(self.columns) + told

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the encoder that ``to_dict`` gave ``record`` of."""
        columns = (
            ColumnCode(**{**code, "levels": tuple(code["levels"]), "parts": tuple(code["parts"])})
            for code in record["columns"]
        )
        return cls(tuple(columns), tuple(record["order"]), tuple(map(tuple, record["repeats"])))

    @cached_property
    def places(self) -> list[int]:
        """Where the first of the numbers of each column comes."""
        first = np.cumsum([0, *(code.width for code in self.columns)])[:-1]
        return [int(place) for place in np.argsort(self.order)[first]]


# --- learning ---


def _code(column: Column, is_category: bool) -> ColumnCode:
    missing = column.missing
    known = column.values[~missing]
    has_missing = bool(missing.any())
    if not len(known):
        return ColumnCode(column.name, "number", has_missing=True, is_empty=True)
    if column.kind is Kind.TIME and is_category:
        raise _checks.InputError(
            f"Column {column.name!r} holds points in time, which are no categories; turn them into text, or take them "
            "as they are."
        )
    if column.kind is Kind.TEXT or is_category:
        levels = sorted(set(known.tolist()))
        if not is_category:
            _refuse_many(column, levels, len(known))
        return ColumnCode(
            column.name, "category", tuple(levels), has_missing=has_missing, is_constant=len(levels) + has_missing == 1
        )
    is_constant = bool(known.min() == known.max()) and not has_missing
    if column.kind is Kind.TIME:
        return ColumnCode(
            column.name,
            "time",
            parts=varying_parts(known),
            has_missing=has_missing,
            is_constant=is_constant,
            zone=column.zone,
        )
    return ColumnCode(
        column.name, "number", has_missing=has_missing, is_constant=is_constant, is_rounded=column.is_rounded
    )


def _refuse_many(column: Column, levels: Sequence[str], n_rows: int) -> None:
    n_levels = len(levels)
    if n_levels > _MOST_LEVELS or (n_levels > _FEW_LEVELS and n_levels > _MOST_OF_ROWS * n_rows):
        raise _checks.InputError(
            f"Column {column.name!r} holds {n_levels} different texts in {n_rows} rows, too many for categories; leave "
            "it out, turn it into fewer ones, or name it under categorical_features."
        )


def _own_order(values: Floats) -> tuple[int, ...]:
    """Return an order of columns, (N, E), that depends on their standardised values alone.

    Columns are sorted by the projection of those values, and of where they are missing, on random directions, always
    the same: they tell all columns apart that differ by more than units.
    """
    some = values[:_ORDER_ROWS]
    directions = np.random.default_rng(0).standard_normal((len(some), 2)) / math.sqrt(len(some))
    with np.errstate(invalid="ignore"):
        keys = [
            (float(_standardised(column) @ directions[:, 0]), float(np.isnan(column) @ directions[:, 1]))
            for column in some.T
        ]
    return tuple(sorted(range(len(keys)), key=keys.__getitem__))


def _standardised(column: Floats) -> Floats:
    """Return a column in standard deviations from its mean, 0 where it is missing; all 0 where it is constant."""
    known = ~np.isnan(column)
    if not known.any() or column[known].min() == column[known].max():
        return np.zeros_like(column)
    offset = np.where(known, column / 2 - column[known].mean() / 2, 0.0)
    offset /= np.abs(offset).max()  # no square overflows or vanishes
    unit: Floats = offset / np.sqrt(np.square(offset).sum() / known.sum())
    return unit


def _repeats(codes: Sequence[ColumnCode], columns: Sequence[Column]) -> tuple[tuple[str, str], ...]:
    """Return the columns that equal an earlier one in every row, and that one; constant ones do not count."""
    first: dict[bytes, str] = {}
    pairs = []
    for code, column in zip(codes, columns, strict=True):
        if code.is_constant or code.is_empty:
            continue
        values = np.ascontiguousarray(code.encode(column))
        known = first.setdefault(hashlib.blake2b(values.data).digest() + code.kind.encode(), code.name)
        if known != code.name:
            pairs.append((code.name, known))
    return tuple(pairs)


# --- in words ---


def _notes(columns: Sequence[ColumnCode]) -> list[str]:
    told = []
    for which, words in (
        ([code.name for code in columns if code.is_empty], "{} missing in every row: {} not used."),
        ([code.name for code in columns if code.is_constant], "{} the same in every row: {} not used."),
    ):
        if which:
            one = len(which) == 1
            told.append(words.format(f"{_listed(which)} {'is' if one else 'are'}", "it is" if one else "they are"))
    rounded = [code.name for code in columns if code.is_rounded]
    if rounded:
        told.append(
            f"{_listed(rounded)} {'holds' if len(rounded) == 1 else 'hold'} whole numbers beyond 2**53, which are "
            "rounded; if they are names, hand them in as text or under categorical_features."
        )
    gaps = [code.name for code in columns if code.has_missing and not code.is_empty]
    if gaps:
        told.append(f"{_listed(gaps)} {'has' if len(gaps) == 1 else 'have'} missing values, which count as such.")
    return told


_SHOWN = 5


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    label = "Column" if len(names) == 1 else "Columns"
    more = len(names) - _SHOWN
    return f"{label} {shown}" + (f" and {_checks.counted(more, 'other')}" if more > 0 else "")
