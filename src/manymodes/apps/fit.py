"""``manymodes fit``: from a table to a model, honest scores and a report."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from sklearn.base import clone

from manymodes import _checks, metrics
from manymodes.apps.inputs import is_parquet_folder
from manymodes.apps.learning import FolderLearning, Learning, TableLearning
from manymodes.apps.page_precision import round_as_pages_do
from manymodes.apps.report import Judged, report_page
from manymodes.apps.report.judged import modes_are_of
from manymodes.apps.scores import count_modes, score
from manymodes.apps.summary import MODEL_NAMES, SUMMARY_FILE, Summary, as_json
from manymodes.distributions import Prediction
from manymodes.estimators import MDNRegressor
from manymodes.estimators.baselines import GaussianNetwork, UnconditionalDensity
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.estimators.tables.columns import table_of
from manymodes.training import Interrupted
from manymodes.training.files import naming

_FITTED = {name: f"{words} for comparison" for name, words in MODEL_NAMES.items()} | {"model": "the model"}
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class FitOptions:
    """What the command line was told.

    Attributes:
        file: Table to learn from, or a folder of Parquet files.
        targets: Columns to predict, jointly.
        output: Folder to write.
        overwrite: Whether the folder may exist already.
        drop: Columns that are no features.
        held_out: Share of rows held out for the scores.
        random_state: Seed of everything random.
        checkpoint: Folder where the fit writes down how far it is.
        exact_weights: Whether all digits of the weights are kept, also where the report has no room for them.
        settings: Settings of ``MDNRegressor``.
        called: What pages call the folder; None for its path.
    """

    file: Path
    targets: list[str]
    output: Path
    overwrite: bool = False
    drop: list[str] = field(default_factory=list)
    held_out: float = 0.1
    random_state: int = 0
    checkpoint: Path | None = None
    exact_weights: bool = False
    settings: dict[str, object] = field(default_factory=dict)
    called: str | None = None

    def place_of(self, name: str) -> str:
        """Return what pages call a file of the output folder."""
        return str(self.output / name if self.called is None else Path(self.called) / name)


def fit_file(
    options: FitOptions,
    tell: Callable[[str], None],
    *,
    verbose: bool = False,
    is_first: bool = True,
    watch: Callable[[MDNRegressor, Learning], Sequence[Any]] = lambda model, learning: (),
) -> Summary:
    """Fit a model and its baselines, write the output folder and return what was found.

    Once the model's first epoch is over, an interruption ends its fit and leaves out the network among the baselines.

    Args:
        options: What to do.
        tell: Called with a line of text at every stage.
        verbose: Whether to draw progress bars.
        is_first: Whether this is the one process among several that writes.
        watch: Returns callbacks that see how far the fit of a model to a table in memory is, see
            ``MDNRegressor.fit``.
    """
    started = time.monotonic()
    _check_output(options)
    learning = _learning(options)
    model = MDNRegressor(verbose=verbose, random_state=options.random_state, **options.settings)  # type: ignore[arg-type]
    tell(f"Fitting {_FITTED['model']} to {learning.n_train} rows ...")
    with suppress(Interrupted):
        learning.fit(model, options.checkpoint, watch(model, learning))
    rounding = None if options.exact_weights else round_as_pages_do(model, learning.held_out)
    about = [*_about_components(model), *([rounding] if rounding else [])]
    predictions = {"model": model.predict_distribution(learning.held_out)}
    held_out = model.encoder_.encode_fully(table_of(learning.held_out))  # baselines take numbers
    for name, estimator in _baselines(model, options.random_state):
        tell(f"Fitting {_FITTED[name]} ...")
        with suppress(KeyboardInterrupt):  # the model is there; it is written without this comparison
            learning.fit_baseline(estimator, model.encoder_)
            predictions[name] = estimator.predict_distribution(held_out)
    judged = _judged(options, learning, model, predictions, about)
    summary = _summary(options, judged, about, time.monotonic() - started)
    if is_first:
        _write(options, model, report_page(judged), summary)
    return summary


def _judged(
    options: FitOptions,
    learning: Learning,
    model: MDNRegressor,
    predictions: dict[str, Prediction],
    about: Sequence[str],
) -> Judged:
    """Return the model beside the rows that were held out, and beside its baselines."""
    y = torch.from_numpy(learning.y_held_out)
    return Judged(
        model=model,
        path=options.place_of(MODEL_FILE),
        file=str(options.file),
        table=learning.table,
        n_table_rows=learning.n_table_rows,
        X=learning.held_out,
        y=y,
        density=predictions["model"],
        scores={name: score(predicted, y, learning.targets) for name, predicted in predictions.items()},
        log_scores={name: metrics.log_score(predicted, y) for name, predicted in predictions.items()},
        row_numbers=learning.row_numbers,
        notes=[*model.target_notes(), *model.feature_notes(), *about],
    )


def _summary(options: FitOptions, judged: Judged, about: Sequence[str], seconds: float) -> Summary:
    """Return what was found, for machines."""
    model, history = judged.model, judged.history
    return Summary(
        file=judged.file,
        features=judged.features,
        targets=judged.targets,
        rows={"train": history.n_train, "validation": history.n_validation, "held_out": judged.n_rows},
        scores=judged.scores,
        modes=count_modes(modes_are_of(judged.density)),
        epochs={"run": history.n_epochs, "kept": history.best_epoch + 1},
        target_notes=model.target_notes(),
        feature_notes=model.feature_notes(),
        diagnosis=[*about, *history.diagnosis().splitlines()],
        seconds=seconds,
        interrupted=_is_interrupted(model),
        model=judged.path,
        report=options.place_of(REPORT_FILE),
    )


def _learning(options: FitOptions) -> Learning:
    """Read the rows to learn from, or open the folder that holds them."""
    share = _checks.number_between("--held-out", options.held_out, 0.0, 1.0)
    for name in options.targets:
        if options.targets.count(name) > 1 or name in options.drop:
            raise _checks.InputError(f"--target {name!r} must be named once and not under --drop.")
    learning: Learning
    categorical: Any = options.settings.get("categorical_features", ())
    if is_parquet_folder(options.file):
        learning = FolderLearning(options.file, options.targets, options.drop, share)
    else:
        seed = options.random_state
        learning = TableLearning(options.file, options.targets, options.drop, share, seed, categorical)
    _checks.known_columns(categorical, learning.features, repr(str(options.file)))
    return learning


def _baselines(model: MDNRegressor, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield what to compare a fitted model with."""
    # The race need not be run again: the single normal takes what the model's race found.
    categories = [place for place, _ in model.architecture_.categories]
    plain = clone(model).set_params(frequency=model.race_.chosen[0], categorical_features=categories)
    if not _is_in_a_hurry(model):
        yield "gaussian_network", GaussianNetwork(plain, random_state=seed)
    yield "unconditional", UnconditionalDensity(random_state=seed)


def _is_interrupted(model: MDNRegressor) -> bool:
    return model.history_.ended_by == "interrupt"


def _is_in_a_hurry(model: MDNRegressor) -> bool:
    return model.history_.ended_by in ("interrupt", "callback")


def _about_components(model: MDNRegressor) -> list[str]:
    """Return why there are so many components, where that was found out."""
    search = model.race_.components
    return [] if search is None else [search.reason()]


def _check_output(options: FitOptions) -> None:
    output = options.output
    if output.exists() and not output.is_dir():
        raise _checks.InputError(f"{str(output)!r} is a file; --output must name a folder.")
    if output.exists() and not options.overwrite:
        raise _checks.InputError(f"{str(output)!r} exists already; choose another folder or pass --overwrite.")
    home = next(folder for folder in (output.absolute(), *output.absolute().parents) if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        raise _checks.InputError(f"{str(output)!r} cannot be written: {str(home)!r} is no folder to write to.")


def _write(options: FitOptions, model: MDNRegressor, report: str, summary: Summary) -> None:
    """Write everything into a hidden folder first, so that a failure leaves what was there.

    A new output appears whole, in one move; in an existing one the model is replaced last.

    Raises:
        ValueError: An output that came to be during the fit and may not be overwritten; the fit is kept beside it.
    """
    output = options.output
    with naming(output):
        is_new = not output.exists() or not options.overwrite
        home = output.parent if is_new else output  # on the same file system, so that moving is renaming
        home.mkdir(parents=True, exist_ok=True)
        staging = home / f".{output.name}-{secrets.token_hex(4)}"
        staging.mkdir()
        try:
            (staging / REPORT_FILE).write_text(report, encoding="utf-8")
            (staging / SUMMARY_FILE).write_text(as_json(summary) + "\n", encoding="utf-8")
            model.save(staging / MODEL_FILE)
            if is_new:
                _move(staging, output)
            else:
                for name in (REPORT_FILE, SUMMARY_FILE, MODEL_FILE):
                    (staging / name).replace(output / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, output: Path) -> None:
    """Let the hidden folder be the output, unless another fit was faster."""
    try:
        staging.rename(output)
    except OSError:
        if not output.exists():
            raise
        beside = output.with_name(staging.name.removeprefix("."))
        staging.rename(beside)
        raise _checks.InputError(
            f"{str(output)!r} came to be while this fit ran, so it was written to {str(beside)!r} instead."
        ) from None
