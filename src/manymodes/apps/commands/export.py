"""``manymodes export``: a model for programs without torch."""

from __future__ import annotations

from pathlib import Path

from manymodes import _checks
from manymodes.apps.commands.talking import teller


def export(
    model: Path,
    /,
    *,
    to: str = "onnx",
    output: Path,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Export a model for programs without torch: its network, what its numbers mean, a card and a runtime.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    to
        Format of the network: onnx.
    output
        Folder to write: parameters.onnx, model.json, runtime.py (which needs numpy and onnxruntime), MODEL_CARD.md.
    overwrite
        Replace these files where the folder exists already.
    quiet
        Print nothing.
    """
    from manymodes.apps.export import export_model

    _checks.one_of("--to", to, {"onnx": None})
    export_model(model, output, overwrite=overwrite)
    teller(quiet)(f"Exported: {output}")
