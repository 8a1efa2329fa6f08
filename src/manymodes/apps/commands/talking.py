"""How commands talk: progress to the error stream, what was found to the output stream."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console


def teller(quiet: bool) -> Callable[[str], None]:
    """Return what tells a line of progress."""
    console = Console(stderr=True, quiet=quiet, markup=False, highlight=False, soft_wrap=True)
    return console.print


def printer() -> Console:
    """Return what prints findings."""
    return Console(markup=False, highlight=False)
