"""How commands talk: progress to the error stream, what was found to the output stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

_SECONDS_BETWEEN = 10.0  # lines of a log
_TELLING = 0.05  # of a job, which tells how long the rest will take


def teller(quiet: bool) -> Callable[[str], None]:
    """Return what tells a line of progress."""
    return _errors(quiet).print


def printer() -> Console:
    """Return what prints findings."""
    return Console(markup=False, highlight=False)


@contextmanager
def following(doing: str, things: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told how far a job is: how many things are done, and of how many.

    On a terminal it draws a bar with the time that is left, elsewhere it prints a line now and then.

    Args:
        doing: What is done, say ``"predicting"``.
        things: What is counted, say ``"rows"``.
        quiet: Whether to show nothing.
    """
    console = _errors(quiet)
    if not console.is_terminal:
        yield Lines(f"{doing}:", things, console.print)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(things))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, n_all: bar.update(task, completed=done, total=n_all)


class Lines:
    """Lines of a log that say how far a job is, the first one when it has run for a while.

    Args:
        doing: How a line begins.
        things: What is counted.
        tell: What prints a line.
        clock: Seconds since some point in time.
    """

    def __init__(
        self, doing: str, things: str, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doing, self._things, self._tell, self._clock = doing, things, tell, clock
        self._started = self._told = clock()

    def __call__(self, done: int, n_all: int, more: str = "") -> None:
        """Print a line where the last one is some time ago and the job is not over.

        Args:
            done: How many things are done.
            n_all: How many there are.
            more: What else to say.
        """
        now = self._clock()
        if now - self._told < _SECONDS_BETWEEN or not 0 < done < n_all:
            return
        self._told = now
        left = (now - self._started) * (n_all - done) / done
        known = f", about {in_words(left)} left" if done >= _TELLING * n_all else ""  # the first step may be a slow one
        self._tell(f"{self._doing} {done:,} of {n_all:,} {self._things}{more}{known}")


def in_words(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _errors(quiet: bool) -> Console:
    return Console(stderr=True, quiet=quiet, markup=False, highlight=False, soft_wrap=True)
