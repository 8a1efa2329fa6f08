"""A progress bar on standard error, for people who watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from manymodes.training.history import History


@contextmanager
def progress_bar(show: bool | None, max_epochs: int) -> Iterator[Callable[[History], None]]:
    """Yield a callback that draws one bar over the epochs; None shows it on a terminal only."""
    visible = sys.stderr.isatty() if show is None else show
    if not visible:
        yield lambda history: None
        return
    # Imported here: rich draws from Python's global random numbers when it is imported.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task("fitting", total=max_epochs)

        def update(history: History) -> None:
            text = f"fitting (validation loss {history.validation_loss[-1]:.3f})"
            bar.update(task, completed=history.n_epochs, description=text)

        yield update
