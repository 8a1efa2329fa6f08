"""``manymodes export``: a fitted model as a folder that needs no torch, with the scores of its fit on the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manymodes import _checks
from manymodes.estimators import MDNRegressor, load
from manymodes.estimators.portable.onnx import export_onnx

FORMATS = {"onnx": export_onnx}


def export_model(path: Path, output: Path, *, to: str = "onnx", overwrite: bool) -> None:
    """Write a model in a format of ``FORMATS``; scores come from the summary of its fit, where one lies beside it.

    Raises:
        ValueError: A model that cannot be exported, or a folder that exists already.
    """
    model = load(path)
    if not isinstance(model, MDNRegressor):
        raise _checks.InputError(
            f"{str(path)!r} holds a {type(model).__name__}, and only an MDNRegressor can be exported; export the "
            "regressor that it was made of."
        )
    if output.exists() and not overwrite:
        raise _checks.InputError(f"{str(output)!r} exists already; choose another folder or pass --overwrite.")
    FORMATS[to](model, output, evaluation=_evaluation(path), overwrite=overwrite)


def _evaluation(path: Path) -> str:
    """Return the scores of a summary as a table of Markdown; empty where there is none."""
    file = path / "summary.json" if path.is_dir() else path.parent / "summary.json"
    if not file.is_file():
        return ""
    summary = json.loads(file.read_text(encoding="utf-8"))
    rows, scores = summary["rows"]["held_out"], summary["scores"]
    lines = ["| model | target | log score | CRPS | RMSE | MAE | coverage of 90 % |", "| --- " * 7 + "|"]
    lines += [line for name, of_model in scores.items() for line in _lines(name, of_model)]
    return f"On {rows:,} rows held out (lower is better; the log score is joint, in nats):\n\n" + "\n".join(lines)


def _lines(name: str, scores: dict[str, Any]) -> list[str]:
    return [
        f"| {name} | {target} | {_number(scores['log_score'])} | {_number(own['crps'])} | {_number(own['rmse'])} | "
        f"{_number(own['mae'])} | {own['coverage_90']:.1%} |"
        for target, own in scores["targets"].items()
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
