"""The models that a service answers for: loaded from a file, from a folder that ``fit`` wrote, or a folder of such."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.apps.service.features import Feature, features_of
from manymodes.apps.service.tracing import TracedDensity
from manymodes.distributions import Mixture, Prediction, joined
from manymodes.estimators import MDNForecaster, MDNRegressor, RecalibratedRegressor, load
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.estimators.predictions import checked, default_names
from manymodes.estimators.tables.columns import RawTable

_LOG = logging.getLogger(__name__)
_SUFFIX = ".mm"
_MOST_ROWS: Final = 1024  # of one forward pass
_LANES: Final = 8  # double-precision numbers of the widest vectors


@dataclass(frozen=True, eq=False)
class Served:
    """A model with what requests need to know of it.

    Attributes:
        name: Its name in addresses.
        model: The fitted regressor.
        features: Its features, in the order of the fit.
        targets: Names of its targets, D of them.
    """

    name: str
    model: MDNRegressor | RecalibratedRegressor
    features: Sequence[Feature]
    targets: Sequence[str]

    @property
    def regressor(self) -> MDNRegressor:
        """The network's own regressor, inside of a recalibrated one."""
        own: MDNRegressor = self.model.estimator_ if isinstance(self.model, RecalibratedRegressor) else self.model
        return own

    @property
    def allows_missing_targets(self) -> bool:
        """Whether targets may be unknown where they are scored."""
        return bool(getattr(self.model, "allow_missing_targets", False))

    def density(self, columns: Sequence[list[Any]]) -> Prediction:
        """Return p(y | x) for values of each feature, in float64; rows are filled up to a multiple of ``_LANES``.

        One or two rows, and those beyond the last whole vector, take other paths through products and functions, which
        round differently: filled up with the last row, the density of a row is the same, bit for bit, whatever it is
        asked with.

        Raises:
            ValueError: Values that the model has no answer for.
        """
        missing = -len(columns[0]) % _LANES
        filled = [values + [values[-1]] * missing for values in columns]
        parts = self._encoded(filled).split(_MOST_ROWS)
        density = joined([self._mixture_of(part) for part in parts])
        return self.model.recalibration_(density) if isinstance(self.model, RecalibratedRegressor) else density

    @cached_property
    def _mixture_of(self) -> Callable[[Tensor], Mixture]:
        """The network's density for rows as it takes them, written out for ``_LANES`` of them where it can be."""
        density = self.regressor._density
        try:
            return TracedDensity(density, self._encoded([[_typical(feature)] * _LANES for feature in self.features]))
        except (RuntimeError, _checks.InputError) as error:
            _LOG.warning("model %r is answered for more slowly than others: %s", self.name, error)
            return torch.no_grad()(lambda x: checked(density(x)))

    def _encoded(self, columns: Sequence[list[Any]]) -> Tensor:
        """Return values of each feature as the network takes them, (N, E)."""
        arrays = [feature.column(values) for feature, values in zip(self.features, columns, strict=True)]
        table = RawTable([feature.name for feature in self.features], arrays)
        return torch.from_numpy(self.regressor.encoder_.encode(table))

    def description(self) -> dict[str, Any]:
        """Return what there is to know of the model, for JSON."""
        return {
            "name": self.name,
            "features": [
                {"name": feature.name, "kind": feature.kind, "schema": feature.schema} for feature in self.features
            ],
            "targets": list(self.targets),
            "target_notes": self.regressor.target_notes(),
            "feature_notes": self.regressor.feature_notes(),
            "is_recalibrated": isinstance(self.model, RecalibratedRegressor),
        }


def find_models(path: Path) -> dict[str, Served]:
    """Return the models at a path by their names, in alphabetical order.

    Raises:
        ValueError: No model there, or one that rows of named features cannot be put to.
    """
    files = _files(path)
    return {name: _served(name, file) for name, file in sorted(files.items())}


def _files(path: Path) -> dict[str, Path]:
    if not path.exists():
        raise _checks.InputError(f"{str(path)!r} does not exist; hand in a model file, or a folder that fit wrote.")
    if path.is_file():
        return {path.stem: path}
    if (path / MODEL_FILE).is_file():
        return {path.resolve().name: path}
    found: dict[str, Path] = {}
    for part in sorted(path.iterdir()):
        is_model = (part / MODEL_FILE).is_file() if part.is_dir() else part.suffix == _SUFFIX
        name = part.name if part.is_dir() else part.stem
        if is_model and name in found:
            raise _checks.InputError(f"{str(path)!r} must hold models of different names; got two of {name!r}.")
        if is_model:
            found[name] = part
    if not found:
        raise _checks.InputError(f"{str(path)!r} must hold models, *{_SUFFIX} or folders that fit wrote; got none.")
    return found


def _served(name: str, path: Path) -> Served:
    model = load(path)
    if isinstance(model, MDNForecaster):
        raise _checks.InputError(
            f"{str(path)!r} holds a forecaster of series, and only models of rows are served; in Python: "
            f"manymodes.load({str(path)!r}).predict_frame()."
        )
    if not hasattr(model, "feature_names_in_"):
        raise _checks.InputError(
            f"{str(path)!r} was fitted to arrays without column names, so the features of a request cannot be matched "
            "to it; fit it to a data frame or with manymodes fit."
        )
    regressor = model.estimator_ if isinstance(model, RecalibratedRegressor) else model
    targets = model.target_names_ or default_names(regressor.architecture_.target_dim)
    served = Served(name, model, features_of(regressor.encoder_), targets)
    with suppress(_checks.InputError):  # the first pass takes long; what it finds does not matter
        served.density([[_typical(feature)] for feature in served.features])
    return served


def _typical(feature: Feature) -> Any:
    """Return some value that a feature may have."""
    if feature.kind == "time":
        return feature.read("2000-01-01T00:00:00" + ("Z" if feature.code.zone else ""), 0)
    return feature.code.levels[0] if feature.kind == "category" else 0.0
