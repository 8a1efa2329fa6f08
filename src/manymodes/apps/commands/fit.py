"""``manymodes fit``: train a model on a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from manymodes import _checks
from manymodes.apps.commands.settings import AsJson, Flag, Repeatable, Several, Whole, whole, whole_or_auto
from manymodes.apps.commands.talking import Lines, printer, teller

if TYPE_CHECKING:
    from manymodes.training import History


def fit(
    file: Path,
    /,
    *,
    target: Annotated[list[str], Repeatable],
    output: Path,
    overwrite: Flag = False,
    drop: Annotated[list[str] | None, Repeatable] = None,
    preset: Literal["fast", "default", "best"] = "default",
    time_limit: float | None = None,
    n_components: Annotated[int | None, Parameter(converter=whole_or_auto)] = None,
    family: str = "normal",
    covariance_type: Literal["diag", "spherical", "full", "low_rank"] = "diag",
    atoms: Annotated[list[float] | None, Several] = None,
    rounding: float | None = None,
    objective: str | None = None,
    categorical: Annotated[list[str] | None, Repeatable] = None,
    max_epochs: Annotated[int | None, Parameter(converter=whole)] = None,
    device: str = "cpu",
    held_out: float = 0.1,
    random_state: Whole = 0,
    checkpoint: Path | None = None,
    exact_weights: Flag = False,
    quiet: Flag = False,
    json: AsJson = False,
) -> None:
    """Fit a model to a table; write it, its scores on held-out rows and a report into a folder.

    Several processes fit one model together where torchrun -m manymodes fit starts them.

    Parameters
    ----------
    file
        Table with one row per example: a CSV or Parquet file, a folder of them, a pattern in quotes, or - for CSV from
        the standard input. A folder of Parquet files need not fit into memory.
    target
        Column to predict; repeat it to predict several columns jointly.
    output
        Folder to write: model.mm, report.html, summary.json.
    overwrite
        Replace these files where the folder exists already.
    drop
        Column to leave out of the features; repeat it for several.
    preset
        How much to compute.
    time_limit
        Seconds that the fit of the model may take.
    n_components
        Number of mixture components of each network, or auto, the default: as many as held-out rows ask for.
    family
        Family of the components: normal, student_t, laplace or logistic; gamma or log_normal for positive targets, beta
        between 0 and 1, von_mises for angles in radians, poisson or negative_binomial for counts.
    covariance_type
        How the components of several targets lie: full and low_rank know correlations.
    atoms
        Values with a probability of their own, say 0 where a target often is exactly 0.
    rounding
        Width of the cells that targets were rounded to, whose probability is then scored.
    objective
        What training minimises: nll, crps, ngem, energy, or a mix such as "0.7 nll + 0.3 crps". By default what suits
        the target.
    categorical
        Feature whose numbers are names of categories; repeat it for several.
    max_epochs
        Passes over the training rows; by default as many as the preset's steps make.
    device
        Where to train, say cuda for a GPU.
    held_out
        Share of rows that neither train nor choose anything: the scores are theirs.
    random_state
        Seed of the split, the initial weights and the batches.
    checkpoint
        Folder where the fit writes down every minute how far it is; the same command, started again after it was
        killed, goes on from there.
    exact_weights
        Keep all digits of the weights. Otherwise a model too large for its report is rounded until it fits, so that the
        report holds the model as it is, where log densities change by less than .001 nats on average.
    quiet
        Print no progress.
    json
        Print the summary as JSON.
    """
    from manymodes.apps.fit import FitOptions, fit_file
    from manymodes.apps.summary import as_json, print_summary
    from manymodes.apps.together import together

    options = FitOptions(
        file=file,
        targets=target,
        output=output,
        overwrite=overwrite,
        drop=drop or [],
        held_out=held_out,
        random_state=_checks.random_state(random_state, "--random-state"),
        checkpoint=checkpoint,
        exact_weights=exact_weights,
        settings={
            "preset": preset,
            "time_limit": None if time_limit is None else _checks.positive("--time-limit", time_limit),
            "n_components": "auto"
            if n_components is None
            else _checks.integer_at_least("--n-components", n_components, 1),
            "family": family,
            "covariance_type": covariance_type,
            "atoms": tuple(atoms or ()),
            "objective": objective,
            "device": device,
            "rounding": None if rounding is None else _checks.positive("--rounding", rounding),
            "categorical_features": tuple(categorical or ()),
            "max_epochs": None if max_epochs is None else _checks.integer_at_least("--max-epochs", max_epochs, 1),
        },
    )
    with together() as world:
        tell = teller(quiet or not world.is_first)
        on_terminal = sys.stderr.isatty()
        in_log = not quiet and not on_terminal and world.is_first
        summary = fit_file(
            options,
            tell,
            verbose=not quiet and on_terminal,
            is_first=world.is_first,
            watch=lambda model, learning: [_InLog(tell)] if in_log else [],
        )
    if not world.is_first:
        return
    if json:
        print(as_json(summary))  # noqa: T201
    else:
        print_summary(summary, printer())
    if summary.interrupted:
        raise KeyboardInterrupt(f"interrupted; the best model so far was written to {summary.model}.")


class _InLog:
    """Prints a line now and then that says how far a fit is."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_fit_start(self, _: object) -> None:
        """Begin to count, after settings were chosen."""
        self._lines = Lines("Fitting:", "epochs", self._tell)

    def on_epoch_end(self, history: History) -> None:
        """Say how far it is."""
        best = min(history.validation_loss)
        self._lines(history.n_epochs, history.max_epochs, f", best validation loss so far {best:.3f}")
