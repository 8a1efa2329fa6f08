"""Loading a fitted estimator from a model file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from torch import nn

from manymodes import _checks
from manymodes.estimators.documents import restore
from manymodes.estimators.forecasting.documents import restored
from manymodes.estimators.forecasting.forecaster import MDNForecaster
from manymodes.estimators.model_file import MODEL_FILE, MODEL_FORMAT
from manymodes.estimators.recalibrated_regressor import RecalibratedRegressor
from manymodes.estimators.regressor import MDNRegressor


def load(
    path: str | os.PathLike[str], *, backbone: nn.Module | None = None
) -> MDNRegressor | RecalibratedRegressor | MDNForecaster:
    """Return the fitted model that ``save`` wrote; its predictions are those of the saved one, bit for bit.

    Settings that do not fit into a file (an objective of your own, a random state that is no number) come back as
    their defaults; they matter for a new fit only.

    Args:
        path: A model file, or a folder that ``manymodes fit`` wrote.
        backbone: For a model that was fitted with a backbone of your own: a module of the same shape, which is
            copied and filled with the saved weights.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A file that is damaged, foreign or of a newer version; a backbone that is missing,
            not wanted, or of another shape.
        TypeError: A backbone that is no ``nn.Module``.
    """
    path = Path(path)
    path = path / MODEL_FILE if path.is_dir() else path
    tensors, document = MODEL_FORMAT.read(path)
    if backbone is not None:
        _checks.instance("backbone", backbone, nn.Module)
    kind = document.get("kind")
    try:
        if kind == RecalibratedRegressor.__name__:
            model = restore(MDNRegressor, tensors, document["model"], backbone)
            return RecalibratedRegressor.around(model, document)
        if kind == MDNRegressor.__name__:
            return cast(MDNRegressor, restore(MDNRegressor, tensors, document, backbone))
        if kind == MDNForecaster.__name__:
            return restored(MDNForecaster, tensors, document, backbone)
    except (KeyError, TypeError) as error:
        raise _checks.InputError(f"{str(path)!r} does not describe a model as it should ({error}).") from error
    raise _checks.InputError(f"{str(path)!r} holds a {kind}, which this function does not load.")
