"""A progress bar on standard error, for people who watch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from manymodes.training.history import History


@contextmanager
def progress_bar(show: bool | None, max_epochs: int, title: str = "fitting") -> Iterator[ProgressUpdate]:
    """Yield a callback that draws one bar over the epochs; None shows it on a terminal only."""
    visible = sys.stderr.isatty() if show is None else show
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not visible, transient=True) as progress:
        yield ProgressUpdate(progress, title, max_epochs)


class ProgressUpdate:
    """Advances a bar by an epoch each time it is called with the history."""

    def __init__(self, progress: Progress, title: str, max_epochs: int) -> None:
        self._progress = progress
        self._title = title
        self._task = progress.add_task(title, total=max_epochs)

    def __call__(self, history: History) -> None:
        """Show the last epoch's validation loss."""
        text = f"{self._title} (validation loss {history.validation_loss[-1]:.3f})"
        self._progress.update(self._task, completed=history.n_epochs, description=text)
