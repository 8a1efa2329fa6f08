"""What settings of several commands have in common: how they are read from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token

Repeatable = Parameter(negative="")
Several = Parameter(negative="", consume_multiple=True)
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
AsJson = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def whole(_: type, tokens: Sequence[Token]) -> int:
    """Return a whole number; cyclopts by itself would cut 2.5 to 2."""
    text = tokens[0].value
    if not text.lstrip("+-").isdecimal():
        raise ValueError(f'unable to convert "{text}" into int.')
    return int(text)


def whole_or_auto(kind: type, tokens: Sequence[Token]) -> int | None:
    """Return a whole number, or None for ``auto``."""
    return None if tokens[0].value == "auto" else whole(kind, tokens)


Whole = Annotated[int, Parameter(converter=whole)]
