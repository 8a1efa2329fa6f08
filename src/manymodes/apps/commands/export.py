"""``manymodes export``: a model for programs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from manymodes.apps.commands.settings import Flag
from manymodes.apps.commands.talking import teller


def export(
    model: Path,
    /,
    *,
    to: Literal["onnx"] = "onnx",
    output: Path | None = None,
    overwrite: Flag = False,
    quiet: Flag = False,
) -> None:
    """Export a model for programs without torch: its network, what its numbers mean, a card and a runtime.

    Parameters
    ----------
    model
        Folder that fit wrote, or a model file.
    to
        Format of the network.
    output
        Folder to write: parameters.onnx, model.json, runtime.py (which needs numpy and onnxruntime), MODEL_CARD.md. By
        default one beside the model, MODEL-onnx.
    overwrite
        Replace these files where the folder exists already.
    quiet
        Print nothing.
    """
    from manymodes.apps.export import export_model

    folder = model.with_name(f"{model.stem}-{to}") if output is None else output
    export_model(model, folder, to=to, overwrite=overwrite)
    teller(quiet)(f"Exported: {folder}")
