"""What a fit does: an estimator's settings, and its preset where the user left them open."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.estimators.architecture import Architecture, output_width
from manymodes.estimators.presets import AUTO, DEFAULT_OBJECTIVE, ENOUGH, MORE_THAN_ENOUGH, PRESETS
from manymodes.estimators.targets.facts import TargetFacts
from manymodes.estimators.targets.families import NORMAL, Family, checked_family
from manymodes.estimators.targets.known import Targets
from manymodes.nn.inputs import Inputs, mapped, n_rows
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


_USUAL_WIDTH, _LEAST_WIDTH, _MOST_EMBEDDED = 12, 2, 1800  # numbers of a column, at least, and of all columns, about
_SWITCHES = ("retrieval", "fade_dropout", "allow_missing_targets", "warm_start")


class Choices:
    """The settings of an ``MDNRegressor``, checked and completed.

    Args:
        model: The estimator.
        facts: What each column of its targets is like.
        targets: The targets.
        are_exact: Whether none of them, or of those held out, is missing or censored.
        like: What was built by a first fit that goes on; None where there is none.

    Attributes:
        families: Family of each target, D of them.

    Raises:
        ValueError: A setting out of range, or two that do not go together.
    """

    def __init__(
        self,
        model: BaseEstimator,
        facts: Sequence[TargetFacts],
        targets: Targets,
        *,
        are_exact: bool = True,
        like: Architecture | None = None,
    ) -> None:
        self._model, self._facts, self._targets = model, facts, targets
        self._are_exact = are_exact and model.rounding is None
        for name in _SWITCHES:
            _checks.boolean(name, getattr(model, name))
        self.preset = _checks.one_of("preset", model.preset, PRESETS)
        self.atoms = _checked_atoms(model.atoms) if like is None else tuple(like.atoms)
        self.families = _families(model, targets) if like is None else tuple(like.families)
        self._refuse_without_exact_targets()

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
        plain = self._are_normal and model.covariance_type in ("diag", "spherical") and not self.atoms
        is_open = model.n_components == AUTO and model.backbone is None and self.preset.race_steps > 0
        return plain and is_open and self._are_exact

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

    def architecture(
        self, x: Inputs, categories: Sequence[tuple[int, int]] = (), gaps: Sequence[int] = ()
    ) -> Architecture:
        """Return what to build.

        Args:
            x: Inputs, or an example of them.
            categories: Place and number of levels of each column that holds categories.
            gaps: Places of columns of numbers that may be missing.
        """
        model, single = self._model, isinstance(x, Tensor)
        if model.input_noise and categories:
            raise _checks.InputError("input_noise must be 0 where features are categories, whose numbers are names.")
        min_scale = _checks.positive("min_scale", model.min_scale)
        alike = len(set(map(str, self.families))) == 1
        return Architecture(
            n_features=x.shape[1] if isinstance(x, Tensor) and x.dim() > 1 else 1,
            target_dim=len(self.families),
            n_components=self._n_components,
            covariance_type=model.covariance_type,
            min_scale=[fact.floor(min_scale) for fact in self._facts],
            hidden_sizes=self._hidden_sizes,
            dropout=_checks.number_between("dropout", model.dropout, 0.0, 1.0, including=(0.0,)),
            embedding_width=_embedding_width(x),
            own_backbone_features=None if model.backbone is None else output_width(model.backbone, _two_rows(x)),
            categories=categories,
            gaps=gaps,
            input_parts=() if single else sorted(x),
            family=self.families[0] if alike else NORMAL,
            target_families=() if alike else self.families,
            atoms=self._for_single_target("atoms", self.atoms),
            memory_rows=self._memory_rows(n_rows(x)),
        )

    def targets(self) -> Tensor | Incomplete:
        """Return targets, (N, D), as tensors, or as what is known of them: rounding cells, bounds."""
        step = self._model.rounding
        if step is not None:
            step = self._for_single_target("rounding", _checks.positive("rounding", step))
        return self._targets.tensor(step)

    def options(self) -> dict[str, Any]:
        """Return what ``training.fit`` is told."""
        model, preset = self._model, self.preset
        self._refuse_normal_objective()
        objective = regularised(
            named(self._objective), weight_entropy=model.weight_entropy, scale_prior=model.scale_prior
        )
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
        tame = not any(fact.outliers for fact in self._facts)  # the CRPS of a component far away drowns all else
        can_mix = self._are_exact and not self.atoms and self._are_normal
        return DEFAULT_OBJECTIVE if can_mix and tame else "nll"

    @property
    def _are_normal(self) -> bool:
        return all(family == NORMAL for family in self.families)

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

    def _refuse_without_exact_targets(self) -> None:
        """Refuse what needs exact targets where the probability of cells or beyond bounds is what counts."""
        model = self._model
        if self._are_exact:
            return
        if self.atoms and model.rounding is not None:
            raise _checks.InputError("atoms must be left out with rounding: a cell of values holds no single one.")
        is_other = isinstance(model.objective, str) and model.objective != "nll"  # a function may know what to do
        if model.retrieval or is_other:
            what = "retrieval must be False" if model.retrieval else "objective must be 'nll'"
            why = "with rounding, whose targets are cells and not exact"
            if model.rounding is None:
                why = "where targets are missing or censored"
            raise _checks.InputError(f"{what} {why}.")

    def _refuse_normal_objective(self) -> None:
        """Refuse by name an objective that is made for normal components, where there are others."""
        asked = self._model.objective
        if not isinstance(asked, str) or (self._are_normal and not self.atoms):
            return
        other = next((family for family in self.families if family != NORMAL), NORMAL)
        why = "with atoms" if self.atoms else f"for family={other!r}"
        reasons = {"crps": "where it is too slow to train with", "ngem": "since it knows normals only"}
        for name in reasons.keys() & re.findall(r"[a-z]+", asked):
            raise _checks.InputError(f"objective must not use {name!r} {why}, {reasons[name]}; take 'nll'.")

    def _for_single_target(self, name: str, value: T) -> T:
        target_dim = len(self.families)
        if value and target_dim > 1:
            raise _checks.InputError(f"{name} must be left out for several targets; got {target_dim} of them.")
        return value

    def _memory_rows(self, n_rows: int) -> int:
        model = self._model
        if not model.retrieval:
            return 0
        if model.backbone is not None or not self._are_normal or model.covariance_type != "diag" or self.atoms:
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


def _families(model: BaseEstimator, targets: Targets) -> tuple[Family, ...]:
    """Return the family of each target: the one that ``target_families`` names, or else ``family``."""
    target_dim = targets.values.shape[1]
    chosen = [checked_family(model.family)] * target_dim
    asked = {} if model.target_families is None else model.target_families
    _checks.instance("target_families", asked, Mapping, " of target names, or places, to families")
    places = [_target_place(column, targets) for column in asked]
    if len(set(places)) < len(places):
        raise _checks.InputError(f"target_families must name each target once; got {list(asked)!r}.")
    for place, (column, family) in zip(places, asked.items(), strict=True):
        chosen[place] = checked_family(family, f"target_families[{column!r}]")
    return tuple(chosen)


def _target_place(column: Any, targets: Targets) -> int:
    if not isinstance(column, str):
        last = targets.values.shape[1] - 1
        return _checks.integer_at_least("every place in target_families", column, 0, last)
    if targets.names is None:
        raise _checks.InputError(f"target_families must have places where y has no names; got {column!r}.")
    _checks.known_columns([column], targets.names, "y")
    return targets.names.index(column)


def _embedding_width(x: Inputs) -> int:
    """Return how many numbers a column becomes: fewer where there are very many, whose embeddings would cost most."""
    n_features = x.shape[1] if isinstance(x, Tensor) and x.dim() == 2 else 1
    return min(max(_MOST_EMBEDDED // n_features, _LEAST_WIDTH), _USUAL_WIDTH)


def _two_rows(x: Inputs) -> Inputs:
    """Return the first rows of inputs."""
    two: Inputs = mapped(x, lambda part: part[:2])
    return two
