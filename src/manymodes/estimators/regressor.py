"""``MDNRegressor``: a mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Incomplete, Mixture
from manymodes.estimators.architecture import Architecture, output_width
from manymodes.estimators.documents import describe
from manymodes.estimators.fitting import Fitter, Race, cycled
from manymodes.estimators.inputs import category_levels, read_features, read_training_data
from manymodes.estimators.model_file import write_model_file
from manymodes.estimators.presets import (
    AUTO,
    DEFAULT_OBJECTIVE,
    ENOUGH,
    MORE_THAN_ENOUGH,
    PRESETS,
    Preset,
)
from manymodes.estimators.tables import Floats
from manymodes.estimators.target_facts import inspect_target
from manymodes.objectives import Objective, named, regularised
from manymodes.training.data import refuse_wild
from manymodes.training.randomness import seeded

T = TypeVar("T")

_POINTS: Mapping[str, Callable[[Mixture], Tensor]] = {
    "mean": lambda distribution: distribution.mean,
    "median": lambda distribution: distribution.median,
    "mode": lambda distribution: distribution.mode,
}


class MDNRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Regression that predicts a whole density p(y | x): a mixture of normals from a neural network.

    The default is meant for any table: an ensemble of networks trained in one pass, each with validation rows of its
    own, whose predictions are pooled into one mixture. How fast predictions may change along a feature is decided by
    a race of candidates on folds of the training rows. Inputs and targets are scaled inside, so units do not matter.
    Several targets are modelled as one joint density.

    Args:
        n_components: Number of mixture components of each member, K; ``"auto"`` starts with ten and keeps as many as
            held-out rows ask for, see ``race_.components``; where components are no plain normals it means five.
        preset: ``"fast"``, ``"default"`` or ``"best"``: how much is computed for what the other settings leave open.
        time_limit: Seconds that a fit may take; None for as long as it needs.
        n_members: Number of networks, M; None for the preset's number, and for one with a ``backbone`` of your own.
        frequency: How fast predictions may change along a feature at the start, in turns per standard deviation, say
            0.02 for smooth tables and 1.5 for rough ones; None decides by a race.
        retrieval: Add components at the targets of neighbouring training rows, see ``nn.Retrieval``. The model and its
            file then hold the training rows and their targets.
        hidden_sizes: Width of each hidden layer; None for the preset's.
        dropout: Share of hidden units left out at random while training.
        backbone: Your own ``nn.Module``, (N, F) -> (N, any), in place of the default network; it is
            copied, and ``hidden_sizes``, ``dropout`` and ``frequency`` are ignored.
        covariance_type: ``"diag"`` (a scale per target dimension), ``"spherical"`` (one for all), ``"full"`` (with
            correlations) or ``"low_rank"`` (correlations of rank 2).
        family: ``"normal"``, ``"student_t"`` (for targets with outliers), ``"laplace"`` or ``"logistic"``.
        atoms: Values with a probability of their own, say ``(0.0,)`` for exact zeros, in the units of a single target.
        rounding: Step to which a single target was rounded: the probability of the cell counts in place of a density.
        categorical_features: Columns, by place or name, whose numbers are names of categories.
        objective: Name in ``objectives.OBJECTIVES``, a mix such as ``"0.7 nll + 0.3 crps"``, or a function of
            ``(distribution, y, weight)``. None takes half of ``"nll"`` and half of ``"crps"``, which over-fits less,
            where targets are exact and components normal, and ``"nll"`` elsewhere.
        weight_entropy: Reward for the entropy of the weights, which keeps components alive.
        scale_prior: Penalty for scales far from the target's own, see ``objectives.scale_prior``.
        input_noise: Standard deviation of noise on scaled inputs, drawn for every batch.
        target_noise: The same on scaled targets.
        max_epochs: Passes over the training rows; None for as many as the preset's steps make.
        batch_size: Rows per step; by default about an eighth of them, from 16 to 512.
        lr: Highest learning rate; None for the preset's.
        weight_decay: Decay of weight matrices.
        patience: Stop after so many epochs without improvement of any member; None runs them all.
        validation_fraction: Share of rows that each member holds out to choose its best epoch.
        min_scale: Smallest scale of a component, as a share of the target's standard deviation; a target on a lattice
            has a larger one, a sixth of its step.
        random_state: Seed for reproducible fits; None draws a fresh one.
        device: Where to train and predict, say ``"cpu"`` or ``"cuda"``.
        verbose: Show a progress bar when above 0.

    Attributes:
        network_: The fitted ``MixtureDensityNetwork``.
        history_: What happened while training.
        target_facts_: What the values of each target column told, see ``target_notes``.
        race_: Which candidates for ``frequency`` ran, how well, and which were chosen.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where X had any.
        target_names_: Names of the targets, where y had any, else None.
        target_ndim_: Number of axes that y had, 1 or 2; predictions have as many.
        architecture_: What it takes to build the network again.

    References:
        Bishop (1994), Mixture density networks, Aston University NCRG/94/004.
        Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive uncertainty estimation using
        deep ensembles.

    Example:
        >>> from manymodes.datasets import load_geyser
        >>> X, y = load_geyser()
        >>> model = MDNRegressor(n_components=3, max_epochs=20, random_state=0).fit(X, y)
        >>> model.predict_distribution(X[:2])
        Mixture(n_components=3, family=DiagonalNormal, batch_shape=(2,), event_shape=(1,))
    """

    def __init__(
        self,
        n_components: int | str = AUTO,
        *,
        preset: str = "default",
        time_limit: float | None = None,
        n_members: int | None = None,
        frequency: float | None = None,
        retrieval: bool = False,
        hidden_sizes: Sequence[int] | None = None,
        dropout: float = 0.1,
        backbone: nn.Module | None = None,
        covariance_type: str = "diag",
        family: str = "normal",
        atoms: Sequence[float] = (),
        rounding: float | None = None,
        categorical_features: Sequence[int | str] = (),
        objective: str | Objective | None = None,
        weight_entropy: float = 0.0,
        scale_prior: float = 0.0,
        input_noise: float = 0.0,
        target_noise: float = 0.0,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        weight_decay: float = 1e-2,
        patience: int | None = None,
        validation_fraction: float = 0.125,
        min_scale: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.preset = preset
        self.time_limit = time_limit
        self.n_members = n_members
        self.frequency = frequency
        self.retrieval = retrieval
        self.hidden_sizes = hidden_sizes
        self.dropout = dropout
        self.backbone = backbone
        self.covariance_type = covariance_type
        self.family = family
        self.atoms = atoms
        self.rounding = rounding
        self.categorical_features = categorical_features
        self.objective = objective
        self.weight_entropy = weight_entropy
        self.scale_prior = scale_prior
        self.input_noise = input_noise
        self.target_noise = target_noise
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.min_scale = min_scale
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # --- fitting ---

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the network.

        Args:
            X: Features, (N, F): an array, a data frame of numbers, or a mapping of names to columns.
            y: Targets, (N,) or (N, D), of the same kinds.
            sample_weight: Weight of each row, (N,), >= 0; 0 leaves a row out.

        Returns:
            The estimator itself.

        Raises:
            ValueError: Values that are not finite numbers, a constant target, too few rows, settings
                out of range.
        """
        before = self.__dict__.copy()
        try:
            self._fit(X, y, sample_weight)
        except BaseException:  # a failed fit leaves a fitted model as it was
            self.__dict__ = before
            raise
        return self

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None) -> None:
        features, targets = read_training_data(self, X, y)
        columns, weight = targets.reshape(len(targets), -1), None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, features, dtype=np.float64, ensure_non_negative=True)
            features, columns, weight = (part[weight > 0] for part in (features, columns, weight))  # 0 is no row
        refuse_wild("y in data", _tensor(columns), infinite=False)
        self.target_facts_ = tuple(inspect_target(column) for column in columns.T)
        data = [_tensor(features), self._targets(columns), *([] if weight is None else [_tensor(weight)])]
        preset = _checks.one_of("preset", self.preset, PRESETS)
        fitter = Fitter(
            architecture=self._plan(features, columns, preset),
            data=tuple(data),
            options=self._options(preset),
            backbone=self.backbone,
            seed=_seed(self.random_state),
            device=_usable_device(self.device),
            time_limit=None if self.time_limit is None else _checks.positive("time_limit", self.time_limit),
        )
        self.race_ = self._race(fitter, preset)
        if self.race_.components is not None:
            fitter = fitter.with_components(self.race_.components.chosen)
        frequencies = cycled(self.race_.chosen, self._n_members(preset))
        self.architecture_, network, self.history_ = fitter.fit(frequencies, self.race_.seconds)
        if self.backbone is None:  # in double precision the prediction of a row does not depend on those beside it
            network.double()
        self.network_, self.target_ndim_ = network, targets.ndim

    # --- predictions ---

    @torch.no_grad()
    def predict_distribution(self, X: Any) -> Mixture:
        """Return p(y | x) for features (N, F): a torch distribution in float64, (N,) of events (D,).

        Raises:
            ValueError: Features that do not fit, or so far from the training data that the network overflows.
        """
        features = _tensor(read_features(self, X)).to(self.network_.device)
        mixture: Mixture = self.network_.eval()(features).to("cpu")
        moments = torch.cat([mixture.components.mean, mixture.components.variance], -1)
        known = mixture.logits.isfinite().all(-1) & moments.isfinite().flatten(-2).all(-1)
        if not bool(known.all()):
            raise _checks.InputError(
                f"X must stay near the training data; {_checks.row(int((~known).nonzero()[0]))} is too extreme for "
                "the network."
            )
        return Mixture(mixture.mixture_distribution, mixture.components, validate_args=True)

    def predict(self, X: Any, *, point: str = "mean") -> Floats:
        """Return point predictions, (N,), or (N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            point: ``"mean"``, ``"median"`` (of each dimension) or ``"mode"`` (the highest, of the joint
                density).

        Raises:
            ValueError: Features that do not fit, or another ``point``.
        """
        choose = _checks.one_of("point", point, _POINTS)
        return self._as_target(choose(self.predict_distribution(X)))

    def predict_quantiles(self, X: Any, levels: float | Sequence[float] = (0.05, 0.5, 0.95)) -> Floats:
        """Return quantiles, (N, Q), or (N, D, Q) where y had two axes.

        Args:
            X: Features, (N, F).
            levels: One level or Q of them, from 0 to 1.

        Raises:
            ValueError: A level outside [0, 1].
        """
        wanted = [
            _checks.number_between("every level", level, 0.0, 1.0, including=(0.0, 1.0))
            for level in np.atleast_1d(np.asarray(levels)).tolist()
        ]
        quantiles = self.predict_distribution(X).icdf(torch.tensor(wanted, dtype=torch.float64)[:, None, None])
        return np.moveaxis(self._as_target(quantiles), 0, -1)

    def predict_interval(self, X: Any, level: float = 0.9) -> Floats:
        """Return the central interval, lower and upper end, (N, 2), or (N, D, 2) where y had two axes.

        Args:
            X: Features, (N, F).
            level: Probability that the interval holds, in (0, 1).

        Raises:
            ValueError: A level outside (0, 1).
        """
        level = _checks.number_between("level", level, 0.0, 1.0)
        return self.predict_quantiles(X, (0.5 - level / 2, 0.5 + level / 2))

    def sample(self, X: Any, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None) -> Floats:
        """Return draws from each row's density, (S, N), or (S, N, D) where y had two axes.

        Args:
            X: Features, (N, F).
            n_samples: Number of draws for each row, S.
            random_state: Seed of the draws; None draws a fresh one.

        Raises:
            ValueError: ``n_samples`` below 1.
        """
        n_samples = _checks.integer_at_least("n_samples", n_samples, 1)
        generator = seeded(_seed(random_state))
        return self._as_target(self.predict_distribution(X).sample((n_samples,), generator=generator))

    # --- what was found ---

    def target_notes(self) -> list[str]:
        """Return what was found in the targets of the fit (lattices, repeated values, outliers), and what was done.

        Nothing is known of models that were saved by format version 1.
        """
        check_is_fitted(self)
        names = (self.target_names_ or _default_names(self.architecture_.target_dim))[: len(self.target_facts_)]
        done: dict[str, Any] = {
            "min_scale": self.min_scale,
            "rounding": self.rounding,
            "atoms": self.atoms,
            "family": self.family,
        }
        told = zip(names, self.target_facts_, strict=True)
        return [sentence for name, facts in told for sentence in facts.sentences(name, **done)]

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of numbers and JSON; ``manymodes.load`` reads it back.

        With ``retrieval=True`` the file holds the training rows and their targets, and says so in its description.

        The file is written whole or not at all. No code goes into it: a backbone of your own is handed in again
        on loading, and other settings that are no numbers or names are set again before a new fit.
        """
        check_is_fitted(self)
        write_model_file(path, self.network_.state_dict(), describe(self))

    # --- private ---

    def _memory_rows(self, n_rows: int) -> int:
        if not self.retrieval:
            return 0
        if self.backbone is not None or self.family != "normal" or self.covariance_type != "diag" or len(self.atoms):
            raise _checks.InputError(
                "retrieval needs the default backbone and normal components of covariance_type='diag' without atoms."
            )
        return n_rows

    def _plan(self, features: Floats, targets: Floats, preset: Preset) -> Architecture:
        own, n_members = self.backbone, self.n_members
        example = _tensor(features[:2]).to(torch.float32)
        min_scale = _checks.positive("min_scale", self.min_scale)
        return Architecture(
            n_features=features.shape[1],
            target_dim=targets.shape[1],
            n_components=self._n_components(preset),
            covariance_type=self.covariance_type,
            min_scale=min(facts.floor(min_scale) for facts in self.target_facts_),
            hidden_sizes=_plain(preset.hidden_sizes if self.hidden_sizes is None else self.hidden_sizes),
            dropout=_checks.number_between("dropout", self.dropout, 0.0, 1.0, including=(0.0,)),
            own_backbone_features=None if own is None else output_width(own, example),
            n_members=None if n_members == 1 else n_members,
            categories=category_levels(self, features),
            family=self.family,
            atoms=_single_target("atoms", tuple(map(float, self.atoms)), targets),
            memory_rows=self._memory_rows(len(features)),
        )

    def _race(self, fitter: Fitter, preset: Preset) -> Race:
        """Return which first frequencies the members take; no race is run where there is nothing to find out."""
        frequencies = preset.frequencies
        if self.backbone is not None:
            frequencies = (0.0,)  # it has none
        elif self.frequency is not None:
            frequencies = (_checks.positive("frequency", self.frequency),)
        search = self._wants_search(preset)
        if len(frequencies) == 1 and not search:
            return Race.without(frequencies[0])
        sizes = preset.race_sizes if self.hidden_sizes is None else fitter.architecture.hidden_sizes
        return fitter.race(preset, frequencies, sizes, search=search)

    def _objective(self) -> str | Objective:
        if self.objective is not None:
            return self.objective
        exact = self.rounding is None and not len(tuple(self.atoms))
        return DEFAULT_OBJECTIVE if exact and self.family == "normal" else "nll"

    def _wants_search(self, preset: Preset) -> bool:
        """Return whether the number of components is found by evidence, which only plain normals allow."""
        plain = self.family == "normal" and self.covariance_type in ("diag", "spherical") and not len(tuple(self.atoms))
        return self.n_components == AUTO and plain and self.rounding is None and preset.race_steps > 0

    def _n_components(self, preset: Preset) -> int:
        """Return how many components there are at first."""
        if self.n_components == AUTO:
            return MORE_THAN_ENOUGH if self._wants_search(preset) else ENOUGH
        return _checks.integer_at_least("n_components", self.n_components, 1)

    def _n_members(self, preset: Preset) -> int:
        if self.n_members is None:
            return 1 if self.backbone is not None else preset.n_members
        return _checks.integer_at_least("n_members", self.n_members, 1)

    def _targets(self, columns: Floats) -> Tensor | Incomplete:
        """Return targets, (N, D), as tensors, or as the cells that they were rounded from."""
        y = _tensor(columns)
        if self.rounding is None:
            return y
        step = _single_target("rounding", _checks.positive("rounding", self.rounding), columns)
        if len(tuple(self.atoms)):
            raise _checks.InputError("atoms must be left out with rounding: a cell of values holds no single one.")
        return Incomplete.rounded(y, step)

    def _options(self, preset: Preset) -> dict[str, Any]:
        """Return what ``training.fit`` is told."""
        objective = regularised(
            named(self._objective()), weight_entropy=self.weight_entropy, scale_prior=self.scale_prior
        )
        names = ("max_epochs", "batch_size", "weight_decay", "patience", "input_noise", "target_noise")
        return {name: getattr(self, name) for name in names} | {
            "objective": objective,
            "validation": _checks.number_between("validation_fraction", self.validation_fraction, 0.0, 1.0),
            "lr": preset.lr if self.lr is None else self.lr,
            "n_steps": preset.steps,
            "least_epochs": preset.epochs,
            "precision": "auto" if self.backbone is None else "full",
            "progress": bool(self.verbose),
        }

    def _as_target(self, values: Tensor) -> Floats:
        """Turn (..., D) into an array of the shape that y had."""
        array: Floats = values.cpu().numpy()
        return array[..., 0] if self.target_ndim_ == 1 else array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _usable_device(name: Any) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise _checks.InputError(
            f"device must name a device that this machine has, say 'cpu'; got {name!r}."
        ) from error


def _tensor(array: Floats) -> Tensor:
    """Return a copy as a tensor; torch cannot share arrays that are read-only or run backwards."""
    return torch.tensor(np.ascontiguousarray(array))


def _plain(value: Any) -> Any:
    """Return NumPy's arrays, which searches hand over, as tuples of Python's numbers."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


def _default_names(n_targets: int) -> list[str]:
    return ["y"] if n_targets == 1 else [f"y{d}" for d in range(n_targets)]


def _single_target(name: str, value: T, targets: Floats) -> T:
    if value and targets.shape[1] > 1:
        raise _checks.InputError(f"{name} must be left out for several targets; got {targets.shape[1]} of them.")
    return value


def _seed(random_state: Any) -> int | None:
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return None if random_state is None else _checks.random_state(random_state)
