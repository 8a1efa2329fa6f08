"""Argument and shape checks, and the home of error wording that is used more than once.

Every message is one sentence that names the thing, states the rule, shows what was received and, where it
is not obvious, says what to do. Nothing here imports torch, so the command line can use it at start-up.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST = 1e150  # of the values of a table: squares of larger ones overflow


class InputError(ValueError):
    """What a user handed in cannot be used; the message says why and what to do."""


def integer_at_least(name: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """Return ``value`` as an int, or refuse what is not an integer from ``minimum`` to ``maximum``."""
    if _is(numbers.Integral, value) and value >= minimum and (maximum is None or value <= maximum):
        return int(value)
    rule = f">= {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    raise _error(value, numbers.Integral, f"{name} must be an integer {rule}; got {value!r}.")


def random_state(value: Any, name: str = "random_state") -> int:
    """Return a seed that every generator here accepts."""
    return integer_at_least(name, value, 0, 2**32 - 1)


def instance(name: str, value: object, kind: type, hint: str = "") -> None:
    """Refuse a ``value`` that is no ``kind``; the hint says what would be right."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name} must be {article} {kind.__name__}{hint}; got {type(value).__name__}.")


def number_between(name: str, value: Any, low: float, high: float, *, including: Sequence[float] = ()) -> float:
    """Return ``value`` as a float between ``low`` and ``high``, ends only where ``including`` names them."""
    if _is(numbers.Real, value) and (low < value < high or value in including):
        return float(value)
    rule = f"{'>=' if low in including else '>'} {low:g}"
    if high < math.inf:
        rule += f" and {'<=' if high in including else '<'} {high:g}"
    raise _error(value, numbers.Real, f"{name} must be a number {rule}; got {value!r}.")


def boolean(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, NumPy's included, or refuse what is neither True nor False."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(f"{name} must be True or False; got {value!r}.")


def levels(value: Any) -> list[float]:
    """Return one level or several, each > 0 and < 1, as floats."""
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    wanted = [number_between("levels", level, 0.0, 1.0) for level in several]
    if not wanted:
        raise InputError("levels must hold at least 1 level; got none.")
    return wanted


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a finite float > 0."""
    return number_between(name, value, 0.0, math.inf)


def one_of(name: str, value: object, options: Mapping[str, T]) -> T:
    """Return what ``options`` holds under the name ``value``."""
    if isinstance(value, str) and value in options:
        return options[value]
    names = ", ".join(repr(option) for option in sorted(options))
    raise InputError(f"{name} must be one of {names}; got {value!r}.")


def matches_shape(name: str, shape: Sequence[int], expected: Sequence[int | str], because: str) -> None:
    """Refuse a ``shape`` that differs from ``expected``, where a string (say ``"N"``) stands for any size."""
    if len(shape) == len(expected) and all(
        isinstance(wanted, str) or wanted == size for size, wanted in zip(shape, expected, strict=True)
    ):
        return
    raise InputError(f"{name} must have shape {shape_text(expected)} {because}; got {shape_text(shape)}.")


def ends_with_shape(name: str, shape: Sequence[int], expected: Sequence[int], because: str) -> None:
    """Refuse a ``shape`` that does not end with ``expected``; only leading batch sizes may be 1 instead.

    The last size is never broadcast: (N, 1) against (N,) silently becoming (N, N) is the classic bug.
    """
    tail = tuple(shape[len(shape) - len(expected) :])
    fits = len(shape) >= len(expected) and tail[-1:] == tuple(expected[-1:])
    if fits and all(size in (1, wanted) for size, wanted in zip(tail, expected, strict=True)):
        return
    text = shape_text(["...", *expected])
    remedy = " Take [:, None]." if tuple(expected) == (*shape, 1) else ""
    raise InputError(f"{name} must have shape {text} {because}; got {shape_text(shape)}.{remedy}")


def same_rows(first: str, n_first: int, second: str, n_second: int) -> None:
    """Refuse two things that describe different numbers of rows."""
    if n_first != n_second:
        raise InputError(f"{first} and {second} must have the same number of rows; got {n_first} and {n_second}.")


def rows_at_least(n_rows: int, minimum: int, purpose: str) -> None:
    """Refuse targets of fewer rows than something needs."""
    if n_rows < minimum:
        raise InputError(f"y must have at least {counted(minimum, 'row')} for {purpose}; got {n_rows}.")


def known_columns(wanted: Iterable[str], available: Sequence[str], where: str) -> None:
    """Refuse names that are not among the columns of ``where``; the nearest names are offered."""
    missing = [name for name in wanted if name not in available]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0].lower(), [str(name).lower() for name in available], n=3, cutoff=0.5)
    offered = [name for name in available if str(name).lower() in near] or list(available[:10])
    label = ("the nearest is" if len(offered) == 1 else "the nearest are") if near else "it begins with"
    word = "column" if len(missing) == 1 else "columns"
    raise InputError(f"{where} has no {word} {quoted(missing)}; {label} {quoted(offered)}.")


def written_by(writer: str, values: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse values that lack what ``writer`` writes."""
    missing = [name for name in names if name not in values]
    if missing:
        raise InputError(f"values must be what {writer} wrote; got some without {quoted(missing)}.")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, in the plural where it is not one."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def row(index: int) -> str:
    """A row by its number, counted from 1 as people count them."""
    return f"row {index + 1}"


def quoted(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas."""
    return ", ".join(repr(str(name)) for name in names)


def shape_text(shape: Iterable[Any]) -> str:
    """A shape as Python prints a tuple, without quotes around symbolic sizes."""
    sizes = [str(size) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def _error(value: object, kind: type, message: str) -> Exception:
    return InputError(message) if _is(kind, value) else TypeError(message)


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
