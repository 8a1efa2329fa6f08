"""``manymodes fit``: from a table to a model, honest scores and a report."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from manymodes import _checks
from manymodes.apps.files import Columns, read_columns
from manymodes.apps.report import report_page
from manymodes.apps.scores import count_modes, score
from manymodes.apps.summary import MODEL_NAMES, Summary, as_json
from manymodes.estimators import MDNRegressor
from manymodes.estimators.baselines import GaussianNetwork, UnconditionalDensity
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.estimators.row_numbers import renumber_rows
from manymodes.estimators.tables import from_columns, refuse_constant
from manymodes.training import Interrupted
from manymodes.training.files import naming

_FEWEST_ROWS = 10
_FITTED = {name: f"{words} for comparison" for name, words in MODEL_NAMES.items()} | {"model": "the model"}
_REPORT_FILE, _SUMMARY_FILE = "report.html", "summary.json"


@dataclass(frozen=True)
class FitOptions:
    """What the command line was told.

    Attributes:
        file: Table to learn from.
        targets: Columns to predict, jointly.
        output: Folder to write.
        overwrite: Whether the folder may exist already.
        drop: Columns that are no features.
        held_out: Share of rows held out for the scores.
        random_state: Seed of everything random.
        checkpoint: Folder where the fit writes down how far it is.
        settings: Settings of ``MDNRegressor``.
    """

    file: Path
    targets: list[str]
    output: Path
    overwrite: bool = False
    drop: list[str] = field(default_factory=list)
    held_out: float = 0.1
    random_state: int = 0
    checkpoint: Path | None = None
    settings: dict[str, object] = field(default_factory=dict)


def fit_file(options: FitOptions, tell: Callable[[str], None], *, verbose: bool, is_first: bool = True) -> Summary:
    """Fit a model and its baselines, write the output folder and return what was found.

    Once the model's first epoch is over, an interruption ends its fit and leaves out the network among the baselines.

    Args:
        options: What to do.
        tell: Called with a line of text at every stage.
        verbose: Whether to draw progress bars.
        is_first: Whether this is the one process among several that writes.
    """
    started = time.monotonic()
    _check_output(options)
    share = _checks.number_between("--held-out", options.held_out, 0.0, 1.0)
    features, targets = _read_columns(options)
    X, y = from_columns(features, "feature").values, from_columns(targets, "target").values
    refuse_constant(y, list(targets))
    train, held_out = _split(len(y), share, options.random_state)
    model = MDNRegressor(verbose=verbose, random_state=options.random_state, **options.settings)  # type: ignore[arg-type]
    predictions = {}
    for name, estimator in _with_baselines(model, options.random_state):
        tell(f"Fitting {_FITTED[name]} to {len(train)} rows ...")
        more = {"checkpoint": options.checkpoint} if name == "model" else {}
        with suppress(Interrupted):
            estimator.fit(_rows(features, train), _rows(targets, train), **more)
        predictions[name] = estimator.predict_distribution(_rows(features, held_out))
    renumber_rows(model, train)
    distribution = predictions["model"]
    history, y_held_out = model.history_, torch.from_numpy(y[held_out])
    summary = Summary(
        file=str(options.file),
        features=list(features),
        targets=list(targets),
        rows={"train": history.n_train, "validation": history.n_validation, "held_out": len(held_out)},
        scores={name: score(predicted, y_held_out, list(targets)) for name, predicted in predictions.items()},
        modes=count_modes(distribution),
        epochs={"run": history.n_epochs, "kept": history.best_epoch + 1},
        target_notes=model.target_notes(),
        diagnosis=[*_about_components(model), *history.diagnosis().splitlines()],
        seconds=time.monotonic() - started,
        interrupted=_is_interrupted(model),
        model=str(options.output / MODEL_FILE),
        report=str(options.output / _REPORT_FILE),
    )
    if is_first:
        _write(options.output, model, report_page(summary, history, distribution, X[held_out], y_held_out), summary)
    return summary


def _with_baselines(model: MDNRegressor, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the model and, once it is fitted, what to compare it with."""
    yield "model", model
    # The race need not be run again: the single normal takes what the model's race found.
    plain = clone(model).set_params(frequency=model.race_.chosen[0])
    if not _is_interrupted(model):
        yield "gaussian_network", GaussianNetwork(plain, random_state=seed)
    yield "unconditional", UnconditionalDensity(random_state=seed)


def _is_interrupted(model: MDNRegressor) -> bool:
    return model.history_.ended_by == "interrupt"


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


def _read_columns(options: FitOptions) -> tuple[Columns, Columns]:
    columns, where = read_columns(options.file), repr(str(options.file))
    for name in options.targets:
        if options.targets.count(name) > 1 or name in options.drop:
            raise _checks.InputError(f"--target {name!r} must be named once and not under --drop.")
    _checks.known_columns([*options.targets, *options.drop], list(columns), where)
    categorical: Any = options.settings.get("categorical_features", ())
    _checks.known_columns(categorical, [name for name in columns if name not in options.targets], where)
    n_rows = len(next(iter(columns.values())))
    if n_rows < _FEWEST_ROWS:
        raise _checks.InputError(
            f"{where} has {_checks.counted(n_rows, 'row')}, and a fit needs at least {_FEWEST_ROWS}."
        )
    targets = {name: columns[name] for name in options.targets}
    left_out = {*options.targets, *options.drop}
    features = {name: column for name, column in columns.items() if name not in left_out}
    if not features:
        raise _checks.InputError(f"{where} has no column left to predict from; it needs one beside --target.")
    return features, targets


def _split(n_rows: int, share: float, random_state: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw the rows to learn from and those to hold out, at least two."""
    order = np.random.default_rng(random_state).permutation(n_rows)
    n_held_out = min(max(2, round(share * n_rows)), n_rows - 2)
    return order[n_held_out:], order[:n_held_out]


def _rows(columns: Columns, index: NDArray[np.intp]) -> Columns:
    return {name: column[index] for name, column in columns.items()}


def _write(output: Path, model: MDNRegressor, report: str, summary: Summary) -> None:
    """Write everything into a hidden folder first, so that a failure leaves what was there.

    A new output appears whole, in one move; in an existing one the model is replaced last.
    """
    with naming(output):
        is_new = not output.exists()
        home = output.parent if is_new else output  # on the same file system, so that moving is renaming
        home.mkdir(parents=True, exist_ok=True)
        staging = home / f".{output.name}-{secrets.token_hex(4)}"
        staging.mkdir()
        try:
            (staging / _REPORT_FILE).write_text(report, encoding="utf-8")
            (staging / _SUMMARY_FILE).write_text(as_json(summary) + "\n", encoding="utf-8")
            model.save(staging / MODEL_FILE)
            if is_new:
                staging.rename(output)
            else:
                for name in (_REPORT_FILE, _SUMMARY_FILE, MODEL_FILE):
                    (staging / name).replace(output / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
