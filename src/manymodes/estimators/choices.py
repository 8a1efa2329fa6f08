"""What a fit does: an estimator's settings, and its preset where the user left them open."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.estimators.architecture import Architecture, output_width
from manymodes.estimators.inputs import category_levels
from manymodes.estimators.predictions import as_tensor
from manymodes.estimators.presets import AUTO, DEFAULT_OBJECTIVE, ENOUGH, MORE_THAN_ENOUGH, PRESETS
from manymodes.estimators.tables import Floats
from manymodes.estimators.target_facts import TargetFacts
from manymodes.objectives import Objective, named, regularised

T = TypeVar("T")

_PASSED_ON = (
    "max_epochs",
    "batch_size",
    "weight_decay",
    "precision",
    "compile",
    "patience",
    "input_noise",
    "target_noise",
    "fade_dropout",
)


class Choices:
    """The settings of an ``MDNRegressor``, checked and completed.

    Args:
        model: The estimator.
        facts: What each column of its targets is like.

    Raises:
        ValueError: A setting out of range, or two that do not go together.
    """

    def __init__(self, model: BaseEstimator, facts: Sequence[TargetFacts]) -> None:
        self._model, self._facts = model, facts
        self.preset = _checks.one_of("preset", model.preset, PRESETS)
        self.atoms = _checked_atoms(model.atoms)
        self._refuse_with_rounding()

    @property
    def frequencies(self) -> Sequence[float]:
        """First frequencies of the embedding that come into question."""
        if self._model.backbone is not None:
            return (0.0,)  # it has none
        if self._model.frequency is not None:
            return (_checks.positive("frequency", self._model.frequency),)
        return self.preset.frequencies if self.preset.race_steps else self.preset.frequencies[:1]

    @property
    def searches_components(self) -> bool:
        """Whether the number of components is found by evidence, which only exact targets and plain normals allow."""
        model = self._model
        plain = model.family == "normal" and model.covariance_type in ("diag", "spherical") and not self.atoms
        is_open = model.n_components == AUTO and model.backbone is None and self.preset.race_steps > 0
        return plain and is_open and model.rounding is None

    @property
    def race_sizes(self) -> Sequence[int]:
        """Width of each hidden layer in the race."""
        return self.preset.race_sizes if self._model.hidden_sizes is None else self._hidden_sizes

    @property
    def n_members(self) -> int:
        """Number of networks, M."""
        if self._model.n_members is None:
            return 1 if self._model.backbone is not None else self.preset.n_members
        return _checks.integer_at_least("n_members", self._model.n_members, 1)

    @property
    def time_limit(self) -> float | None:
        """Seconds for everything."""
        limit = self._model.time_limit
        return None if limit is None else _checks.positive("time_limit", limit)

    def architecture(self, features: Floats, columns: Floats) -> Architecture:
        """Return what to build for features (N, F) and targets (N, D)."""
        model, example = self._model, as_tensor(features[:2]).to(torch.float32)
        min_scale = _checks.positive("min_scale", model.min_scale)
        return Architecture(
            n_features=features.shape[1],
            target_dim=columns.shape[1],
            n_components=self._n_components,
            covariance_type=model.covariance_type,
            min_scale=min(fact.floor(min_scale) for fact in self._facts),
            hidden_sizes=self._hidden_sizes,
            dropout=_checks.number_between("dropout", model.dropout, 0.0, 1.0, including=(0.0,)),
            own_backbone_features=None if model.backbone is None else output_width(model.backbone, example),
            categories=category_levels(model, features),
            family=model.family,
            atoms=_for_single_target("atoms", self.atoms, columns),
            memory_rows=self._memory_rows(len(features)),
        )

    def targets(self, columns: Floats) -> Tensor | Incomplete:
        """Return targets, (N, D), as tensors, or as the cells that they were rounded from."""
        y, step = as_tensor(columns), self._model.rounding
        if step is None:
            return y
        return Incomplete.rounded(y, _for_single_target("rounding", _checks.positive("rounding", step), columns))

    def options(self) -> dict[str, Any]:
        """Return what ``training.fit`` is told."""
        model, preset = self._model, self.preset
        self._refuse_normal_objective()
        objective = regularised(
            named(self._objective), weight_entropy=model.weight_entropy, scale_prior=model.scale_prior
        )
        if model.input_noise and len(tuple(model.categorical_features)):
            raise _checks.InputError("input_noise must be 0 with categorical_features, whose numbers are names.")
        return {name: getattr(model, name) for name in _PASSED_ON} | {
            "objective": objective,
            "validation": _checks.number_between("validation_fraction", model.validation_fraction, 0.0, 1.0),
            "lr": preset.lr if model.lr is None else model.lr,
            "n_steps": preset.steps,
            "least_epochs": preset.epochs,
            "progress": bool(model.verbose),
        }

    @property
    def _objective(self) -> str | Objective:
        model = self._model
        if model.objective is not None:
            asked: str | Objective = model.objective
            return asked
        exact = model.rounding is None and not self.atoms
        tame = not any(fact.outliers for fact in self._facts)  # the CRPS of a component far away drowns all else
        return DEFAULT_OBJECTIVE if exact and tame and model.family == "normal" else "nll"

    @property
    def _n_components(self) -> int:
        """How many components there are at first."""
        asked = self._model.n_components
        if asked == AUTO:
            return MORE_THAN_ENOUGH if self.searches_components else ENOUGH
        if isinstance(asked, str):
            raise _checks.InputError(f"n_components must be {AUTO!r} or an integer >= 1; got {asked!r}.")
        return _checks.integer_at_least("n_components", asked, 1)

    @property
    def _hidden_sizes(self) -> Any:
        sizes: Any = self._model.hidden_sizes
        if sizes is None:
            return self.preset.hidden_sizes
        return tuple(sizes.tolist()) if isinstance(sizes, np.ndarray) else sizes  # searches hand over arrays

    def _refuse_with_rounding(self) -> None:
        """Refuse what needs exact targets where the probability of rounding cells is what counts."""
        model = self._model
        if model.rounding is None:
            return
        if self.atoms:
            raise _checks.InputError("atoms must be left out with rounding: a cell of values holds no single one.")
        is_other = isinstance(model.objective, str) and model.objective != "nll"  # a function may know what to do
        if model.retrieval or is_other:
            what = "retrieval must be False" if model.retrieval else "objective must be 'nll'"
            raise _checks.InputError(f"{what} with rounding, whose targets are cells and not exact.")

    def _refuse_normal_objective(self) -> None:
        """Refuse an objective that knows normal components only, where there are others."""
        model, asked = self._model, self._model.objective
        if not isinstance(asked, str) or (model.family == "normal" and not self.atoms):
            return
        why = "with atoms" if self.atoms else f"for family={model.family!r}"
        for name in {"crps", "ngem"}.intersection(re.findall(r"[a-z]+", asked)):
            raise _checks.InputError(f"objective must not use {name!r} {why}, since it knows normals only; take 'nll'.")

    def _memory_rows(self, n_rows: int) -> int:
        model = self._model
        if not model.retrieval:
            return 0
        if model.backbone is not None or model.family != "normal" or model.covariance_type != "diag" or self.atoms:
            raise _checks.InputError(
                "retrieval needs the default backbone and normal components of covariance_type='diag' without atoms."
            )
        return n_rows


def _checked_atoms(atoms: Any) -> tuple[float, ...]:
    """Return the atoms as different finite numbers."""
    if isinstance(atoms, str) or not isinstance(atoms, Iterable):
        raise _checks.InputError(f"atoms must be a list of numbers, say (0.0,); got {atoms!r}.")
    values = tuple(_checks.number_between("every one of atoms", atom, -math.inf, math.inf) for atom in atoms)
    if len(set(values)) < len(values):
        raise _checks.InputError(f"atoms must differ; got {atoms!r}.")
    return values


def _for_single_target(name: str, value: T, columns: Floats) -> T:
    if value and columns.shape[1] > 1:
        raise _checks.InputError(f"{name} must be left out for several targets; got {columns.shape[1]} of them.")
    return value
