"""``MDNRegressor``: a mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.choices import Choices
from manymodes.estimators.documents import describe
from manymodes.estimators.fitting import Fitter
from manymodes.estimators.inputs import read_training_data, remember_names
from manymodes.estimators.model_file import MODEL_FORMAT
from manymodes.estimators.predictions import (
    DensityRegressorMixin,
    as_seed,
    as_tensor,
    restored_on_failure,
)
from manymodes.estimators.presets import AUTO
from manymodes.estimators.row_numbers import forget_rows, renumber_rows
from manymodes.estimators.tables import Floats, refuse_constant
from manymodes.estimators.target_facts import inspect_target
from manymodes.estimators.target_words import about_target
from manymodes.objectives import Objective
from manymodes.training import Interrupted, ParquetStream, Stream
from manymodes.training.rows.data import refuse_wild
from manymodes.training.rows.sampling import look_through
from manymodes.training.world import World


class MDNRegressor(DensityRegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Regression that predicts a whole density p(y | x): a mixture of normals from a neural network.

    The default is meant for any table: an ensemble of networks trained in one pass, each with validation rows of its
    own, whose predictions are pooled into one mixture. How fast predictions may change along a feature is decided by
    a race of candidates on folds of the training rows. Inputs and targets are scaled inside, so units do not matter.
    Several targets are modelled as one joint density.

    Args:
        n_components: Number of mixture components of each member, K; ``"auto"`` starts with ten and keeps as many as
            held-out rows ask for, see ``race_.components``; where components are no plain normals, the backbone is
            your own, or ``preset="fast"`` leaves out the race, it means five.
        preset: ``"fast"``, ``"default"`` or ``"best"``: how much is computed for what the other settings leave open.
        time_limit: Seconds that a fit may take, but for about one pass over the rows; None for as long as it needs.
        n_members: Number of networks, M; None for the preset's number, and for one with a ``backbone`` of your own.
        frequency: How fast predictions may change along a feature at the start, in turns per standard deviation, say
            0.02 for smooth tables and 1.5 for rough ones; None decides by a race.
        retrieval: Add components at the targets of neighbouring training rows, see ``nn.Retrieval``. The model and its
            file then hold the training rows and their targets.
        hidden_sizes: Width of each hidden layer; None for the preset's.
        dropout: Share of hidden units left out at random while training.
        fade_dropout: Whether it fades over the first three tenths of the fit, so that scales do not account for its
            noise.
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
            where targets are exact and without gross outliers and components normal, and ``"nll"`` elsewhere.
        weight_entropy: Reward for the entropy of the weights, which keeps components alive.
        scale_prior: Penalty for scales far from the target's own, see ``objectives.scale_prior``.
        input_noise: Standard deviation of noise on scaled inputs, drawn for every batch.
        target_noise: The same on scaled targets.
        max_epochs: Passes over the training rows; None for as many as the preset's steps make.
        batch_size: Rows per step; by default about an eighth of them, from 16 to 512.
        lr: Highest learning rate; None for the preset's.
        weight_decay: Decay of weight matrices.
        precision: Of matrix products while training, see ``training.fit``.
        compile: Whether steps are compiled, see ``training.fit``.
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
        >>> model = MDNRegressor(n_components=3, preset="fast", max_epochs=20, random_state=0).fit(X, y)
        >>> model.predict_distribution(X[:2])  # four networks of three components each
        Mixture(n_components=12, family=DiagonalNormal, batch_shape=(2,), event_shape=(1,))
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
        fade_dropout: bool = True,
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
        precision: str = "auto",
        compile: bool | str = "auto",  # noqa: A002  # as torch calls it
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
        self.fade_dropout = fade_dropout
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
        self.precision = precision
        self.compile = compile
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.min_scale = min_scale
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # --- fitting ---

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the network.

        Interrupted by Ctrl-C after its first epoch, the estimator is fitted as well as it was until then.

        Args:
            X: Features, (N, F): an array, a data frame of numbers, or a mapping of names to columns.
            y: Targets, (N,) or (N, D), of the same kinds.
            sample_weight: Weight of each row, (N,), >= 0; 0 leaves a row out.
            checkpoint: Folder where the fit writes down every minute how far it is; the same fit, started again after
                it was killed, goes on from there, see ``training.Checkpoint``. None for none.

        Returns:
            The estimator itself.

        Raises:
            ValueError: Values that are not finite numbers, a constant target, too few rows, settings
                out of range, a checkpoint of another fit.
        """
        with restored_on_failure(self):
            self._fit(X, y, sample_weight, None if checkpoint is None else Path(checkpoint))
        return self._unless_interrupted()

    def fit_stream(
        self,
        stream: Stream,
        *,
        names: tuple[Sequence[str], Sequence[str]] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the network to rows that need not fit into memory.

        A sample of the rows tells what the targets are like and runs the race; the ensemble learns from all of them.

        Args:
            stream: The rows, say ``training.ParquetStream("folder", ["price"])``.
            names: Names of the features and of the targets; None for those of a ``ParquetStream``, or none.
            checkpoint: As in ``fit``.

        Returns:
            The estimator itself.

        Raises:
            ValueError: As ``fit``; or settings that need all rows in memory (``rounding``, ``retrieval``).
            TypeError: What is no stream.
        """
        _checks.instance("stream", stream, Stream)
        if self.rounding is not None or self.retrieval:
            name = "retrieval" if self.retrieval else "rounding"
            raise _checks.InputError(f"{name} must be left out for a stream, whose rows are not in memory.")
        if names is None and isinstance(stream, ParquetStream):
            names = stream.features, stream.targets
        with restored_on_failure(self):
            found = look_through(stream)
            sample = found.rows
            if not isinstance(sample.y, Tensor):
                raise _checks.InputError("stream must hold exact targets; got Incomplete. Take manymodes.fit for them.")
            x, y = (part.to(torch.float64).numpy() for part in (sample.x, sample.y))
            remember_names(self, x.shape[1], names)
            refuse_constant(y, self.target_names_)
            self._learn(x, y, sample.weight, None if checkpoint is None else Path(checkpoint), stream.having(found))
            forget_rows(self)
            self.target_ndim_ = 1 if y.shape[1] == 1 else 2
        return self._unless_interrupted()

    def _unless_interrupted(self) -> Self:
        """Return the estimator, or let an interruption go on now that it is fitted as well as it was until then."""
        if self.history_.ended_by == "interrupt":
            raise Interrupted(self.network_, self.history_)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: ArrayLike | None, checkpoint: Path | None) -> None:
        features, targets = read_training_data(self, X, y)
        columns, weight = targets.reshape(len(targets), -1), None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, features, dtype=np.float64, ensure_non_negative=True)
            rows = np.flatnonzero(weight)  # 0 is no row
            features, columns, weight = (part[rows] for part in (features, columns, weight))
            refuse_constant(columns, self.target_names_)
        refuse_wild("y in data", as_tensor(columns), infinite=False)
        self._learn(features, columns, None if weight is None else as_tensor(weight), checkpoint)
        self.target_ndim_ = targets.ndim
        if weight is not None:
            renumber_rows(self, rows)

    def _learn(
        self,
        features: Floats,
        columns: Floats,
        weight: Tensor | None,
        checkpoint: Path | None,
        stream: Stream | None = None,
    ) -> None:
        """Fit the network to features (N, F) and targets (N, D), or to the stream that they are a sample of."""
        if checkpoint is not None and self.random_state is None:
            raise _checks.InputError("random_state must be a number with a checkpoint, so that a fit can go on.")
        self.target_facts_ = tuple(inspect_target(column) for column in columns.T)
        choices = Choices(self, self.target_facts_)
        fitter = Fitter(
            architecture=choices.architecture(features, columns),
            data=(as_tensor(features), choices.targets(columns), *([] if weight is None else [weight])),
            stream=stream,
            options=choices.options(),
            backbone=self.backbone,
            seed=_agreed_seed(self.random_state),
            device=_usable_device(self.device),
            time_limit=choices.time_limit,
            checkpoint=checkpoint,
        )
        self.race_ = fitter.race(choices)
        self.architecture_, network, self.history_ = fitter.fit(self.race_, choices.n_members)
        if self.backbone is None:  # in double precision the prediction of a row does not depend on those beside it
            network.double()
        self.network_ = network

    def _density(self, x: Tensor) -> Mixture:
        mixture: Mixture = self.network_.eval()(x.to(self.network_.device))
        return mixture

    # --- what was found ---

    def target_notes(self) -> list[str]:
        """Return what was found in the targets of the fit (lattices, repeated values, outliers), and what was done.

        Nothing is known of models that were saved by format version 1.
        """
        check_is_fitted(self)
        names = (self.target_names_ or _default_names(self.architecture_.target_dim))[: len(self.target_facts_)]
        done: dict[str, Any] = {
            "floor": self.architecture_.min_scale,
            "n_targets": self.architecture_.target_dim,
            "rounding": self.rounding,
            "atoms": self.architecture_.atoms,
            "family": self.architecture_.family,
        }
        told = zip(names, self.target_facts_, strict=True)
        return [sentence for name, facts in told for sentence in about_target(facts, name, **done)]

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of numbers and JSON; ``manymodes.load`` reads it back.

        With ``retrieval=True`` the file holds the training rows and their targets, and says so in its description.

        The file is written whole or not at all. No code goes into it: a backbone of your own is handed in again
        on loading, and other settings that are no numbers or names are set again before a new fit.
        """
        check_is_fitted(self)
        MODEL_FORMAT.write(path, self.network_.state_dict(), describe(self))


def _agreed_seed(random_state: Any) -> int | None:
    """Return the seed of the fit, which several processes must share; None draws one in each place that needs it."""
    seed, world = as_seed(random_state), World.current()
    return seed if world.is_alone else world.agreed(secrets.randbits(32) if seed is None else seed)


def _usable_device(name: Any) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise _checks.InputError(
            f"device must name a device that this machine has, say 'cpu'; got {name!r}."
        ) from error


def _default_names(n_targets: int) -> list[str]:
    return ["y"] if n_targets == 1 else [f"y{d}" for d in range(n_targets)]
