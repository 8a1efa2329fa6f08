"""The command line. Torch is imported inside the commands, so that help comes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter, Token
from rich.console import Console

import manymodes
from manymodes import _checks

_BAD_INPUT, _INTERRUPTED = 2, 130

app = App(
    name="manymodes",
    version=manymodes.__version__,
    help="Predict a whole distribution where one input has several right answers.",
    help_epilogue="Exit codes: 0 done, 2 input that cannot be used (one sentence says why), 130 interrupted.",
    suppress_keyboard_interrupt=False,  # main says what an interruption means
)

Repeatable = Parameter(negative="")
AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def _whole(_: type, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    if not text.lstrip("+-").isdecimal():  # cyclopts by itself would cut 2.5 to 2
        raise ValueError(f'unable to convert "{text}" into int.')
    return int(text)


def _whole_or_auto(kind: type, tokens: Sequence[Token]) -> int | None:
    return None if tokens[0].value == "auto" else _whole(kind, tokens)


Whole = Annotated[int, Parameter(converter=_whole)]


@app.command
def fit(
    file: Path,
    /,
    *,
    target: Annotated[list[str], Repeatable],
    output: Path,
    overwrite: bool = False,
    drop: Annotated[list[str] | None, Repeatable] = None,
    preset: str = "default",
    time_limit: float | None = None,
    n_components: Annotated[int | None, Parameter(converter=_whole_or_auto)] = None,
    rounding: float | None = None,
    categorical: Annotated[list[str] | None, Repeatable] = None,
    max_epochs: Annotated[int | None, Parameter(converter=_whole)] = None,
    held_out: float = 0.1,
    random_state: Whole = 0,
    checkpoint: Path | None = None,
    quiet: bool = False,
    json: AsJson = False,
) -> None:
    """Fit a model to a table; write it, its scores on held-out rows and a report into a folder.

    Several processes fit one model together where torchrun -m manymodes fit starts them.

    Parameters
    ----------
    file
        CSV or Parquet file, one row per example; or a folder of Parquet files, which need not fit into memory.
    target
        Column to predict; repeat it to predict several columns jointly.
    output
        Folder to write: model.mm, report.html, summary.json.
    overwrite
        Replace these files where the folder exists already.
    drop
        Column to leave out of the features; repeat it for several.
    preset
        How much to compute: fast, default or best.
    time_limit
        Seconds that the fit of the model may take.
    n_components
        Number of mixture components of each network, or auto, the default: as many as held-out rows ask for.
    rounding
        Width of the cells that targets were rounded to, whose probability is then scored.
    categorical
        Feature whose numbers are names of categories; repeat it for several.
    max_epochs
        Passes over the training rows; by default as many as the preset's steps make.
    held_out
        Share of rows that neither train nor choose anything: the scores are theirs.
    random_state
        Seed of the split, the initial weights and the batches.
    checkpoint
        Folder where the fit writes down every minute how far it is; the same command, started again after it was
        killed, goes on from there.
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
        settings={
            "preset": _checks.one_of("--preset", preset, {name: name for name in ("fast", "default", "best")}),
            "time_limit": None if time_limit is None else _checks.positive("--time-limit", time_limit),
            "n_components": "auto"
            if n_components is None
            else _checks.integer_at_least("--n-components", n_components, 1),
            "rounding": None if rounding is None else _checks.positive("--rounding", rounding),
            "categorical_features": tuple(categorical or ()),
            "max_epochs": None if max_epochs is None else _checks.integer_at_least("--max-epochs", max_epochs, 1),
        },
    )
    with together() as world:
        tell = _teller(quiet or not world.is_first)
        summary = fit_file(options, tell, verbose=not quiet and sys.stderr.isatty(), is_first=world.is_first)
    if not world.is_first:
        return
    if json:
        print(as_json(summary))  # noqa: T201
    else:
        print_summary(summary, _printer())
    if summary.interrupted:
        raise KeyboardInterrupt(f"interrupted; the best model so far was written to {summary.model}.")


@app.command
def predict(
    model: Path,
    file: Path,
    /,
    *,
    output: Path,
    quantile: Annotated[list[float] | None, Parameter(negative="", consume_multiple=True)] = None,
    interval: float = 0.9,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Predict the rows of a table: mean, median, quantiles, an interval, and log-density of known targets.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        CSV or Parquet file with the features, in any order; or a folder of Parquet files.
    output
        CSV or Parquet file to write, a row for each row of the input.
    quantile
        Levels to predict, strictly between 0 and 1. By default 0.1 0.25 0.75 0.9.
    interval
        Probability that the central interval holds.
    overwrite
        Replace the output file where it exists already.
    quiet
        Print nothing.
    """
    from manymodes.apps.predict import predict_file

    tell = _teller(quiet)
    levels = [0.1, 0.25, 0.75, 0.9] if quantile is None else quantile
    n_rows = predict_file(model, file, output, levels=levels, interval=interval, overwrite=overwrite)
    tell(f"Predictions for {n_rows} rows: {output}")


@app.command
def evaluate(
    model: Path,
    file: Path,
    /,
    *,
    json: AsJson = False,
) -> None:
    """Score a model on the rows of a table that it has not seen.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    file
        CSV or Parquet file with features and targets.
    json
        Print the scores as JSON.
    """
    from manymodes.apps.predict import evaluate_file
    from manymodes.apps.summary import as_json, print_scores

    scores, note = evaluate_file(model, file)
    if note is not None:
        print(note, file=sys.stderr)  # noqa: T201
    if json:
        print(as_json(scores))  # noqa: T201
    else:
        print_scores({str(model): scores}, _printer())


@app.command
def study(
    name: str | None = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    quick: bool = False,
    data: Path | None = None,
    output: Path = Path("manymodes-studies"),
    overwrite: bool = False,
    random_state: Whole = 0,
    keep_steps: bool = False,
    quiet: bool = False,
) -> None:
    """Run a published experiment anew: print its tables, write results.json, figures and a page into a folder.

    A study that was interrupted goes on where it was when the same command is started again.

    Parameters
    ----------
    name
        Name of the study, or all.
    list_
        Name all studies, what they ask and what they need.
    quick
        Show within seconds that everything works; the figures mean little.
    data
        Folder with the real tables. By default $MANYMODES_DATA, or manymodes in the cache folder.
    output
        Folder that gets a folder for each study.
    overwrite
        Replace what finished studies wrote there.
    random_state
        Seed; repetitions count from it.
    keep_steps
        Keep the outcomes of steps, from which the page can be drawn anew.
    quiet
        Print no progress.
    """
    from manymodes.apps.study import StudyOptions, list_studies, run_studies

    if list_ or name is None:
        list_studies(_printer())
        return
    options = StudyOptions(
        name=name,
        output=output,
        quick=quick,
        data=data,
        overwrite=overwrite,
        random_state=_checks.random_state(random_state, "--random-state"),
        keep_steps=keep_steps,
    )
    run_studies(options, _teller(quiet), _printer())


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever the user got wrong becomes one sentence."""
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(f"{error} See manymodes --help.", _BAD_INPUT)
    except KeyboardInterrupt as interruption:
        return _refuse(str(interruption) or "interrupted; nothing is half-written.", _INTERRUPTED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror}{where}." if error.strerror else str(error), _BAD_INPUT)
    except (_checks.InputError, FloatingPointError) as error:
        return _refuse(str(error), _BAD_INPUT)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and "WORLD_SIZE" in os.environ:
            reason = str(error).partition("\n")[0]
            return _refuse(f"the other processes of this fit cannot be reached any more ({reason}).", _BAD_INPUT)
        if "memory" not in str(error):  # torch reports a failed allocation as a RuntimeError
            raise
        return _refuse("there is not enough memory for this; ask for a smaller model or fewer rows.", _BAD_INPUT)
    return 0


def run() -> None:
    """Be the program ``manymodes``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± still gets its table
    sys.exit(main())


def _refuse(sentence: str, code: int) -> int:
    rank = os.environ.get("RANK", "0")  # of a process among those of torchrun
    name = "manymodes" if rank == "0" else f"manymodes, process {rank}"
    print(f"{name}: {sentence}", file=sys.stderr)  # noqa: T201
    return code


def _teller(quiet: bool) -> Callable[[str], None]:
    console = Console(stderr=True, quiet=quiet, markup=False, highlight=False, soft_wrap=True)
    return console.print


def _printer() -> Console:
    return Console(markup=False, highlight=False)
