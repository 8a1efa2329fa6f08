"""``MDNRegressor``: a mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.architecture import Architecture
from manymodes.estimators.choices import Choices
from manymodes.estimators.documents import describe
from manymodes.estimators.ensemble import EnsembleMixin
from manymodes.estimators.familiarity import Familiarity
from manymodes.estimators.fitting import Fitter
from manymodes.estimators.interpretation import explain
from manymodes.estimators.model_file import MODEL_FORMAT
from manymodes.estimators.predictions import (
    default_names,
    restored_on_failure,
)
from manymodes.estimators.presets import AUTO
from manymodes.estimators.row_numbers import forget_rows, renumber_rows
from manymodes.estimators.surroundings import agreed_seed, usable_device, with_gradients
from manymodes.estimators.tables.inputs import (
    Features,
    open_features,
)
from manymodes.estimators.target_notes import target_notes
from manymodes.estimators.targets.facts import inspect_target
from manymodes.estimators.targets.families import NORMAL, Family
from manymodes.estimators.training_rows import TrainingRows, read_rows, read_stream
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.inputs import Inputs, mapped
from manymodes.objectives import Objective
from manymodes.training import Interrupted, ParquetStream, Stream
from manymodes.training.followers import NOBODY, Followers, followers_of


class MDNRegressor(EnsembleMixin, BaseEstimator):  # type: ignore[misc]
    """Regression that predicts a whole density p(y | x): a mixture of normals from a neural network.

    The default is meant for any table: an ensemble of networks trained in one pass, each with validation rows of its
    own, whose predictions are pooled into one mixture. How fast predictions may change along a feature is decided by
    a race of candidates on folds of the training rows. Inputs and targets are scaled inside, so units do not matter.
    Several targets are modelled as one joint density.

    Features come as arrays of numbers, or as pandas, polars or pyarrow frames whose columns are numbers, booleans,
    categories, text of few values or points in time; some may be missing. How they become numbers is learned by the
    fit and part of the model and its file. The order of columns, and units, change nothing.

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
        backbone: Your own ``nn.Module``, (N, ...) -> (N, any), in place of the default network; it is
            copied, and ``hidden_sizes``, ``dropout`` and ``frequency`` are ignored. Tensors and arrays of more than two
            axes reach it as they are, and so do several inputs by name, as a dict; tables of numbers are standardised.
            Parameters that are frozen stay as they are.
        covariance_type: ``"diag"`` (a scale per target dimension), ``"spherical"`` (one for all), ``"full"`` (with
            correlations) or ``"low_rank"`` (correlations of rank 2).
        family: ``"normal"``, ``"student_t"`` (for targets with outliers), ``"laplace"`` or ``"logistic"``; for positive
            targets ``"gamma"`` or ``"log_normal"``; for targets between 0 and 1 ``"beta"``, or any of the first four on
            a logit scale, say ``"logit_normal"``, and with other bounds ``("beta", 0, 100)``; for angles in radians
            ``"von_mises"``; for counts ``"poisson"`` or ``"negative_binomial"``.
        target_families: Families of single targets by name or place, say ``{"angle": "von_mises"}``; the others have
            ``family``.
        atoms: Values with a probability of their own, say ``(0.0,)`` for exact zeros, in the units of a single target.
        rounding: Step to which a single target was rounded: the probability of the cell counts in place of a density.
        allow_missing_targets: Whether NaN in y stands for a value that nobody knows, which then tells nothing; other
            targets of the row still count.
        categorical_features: Columns, by place or name, whose numbers are names of categories; text always is.
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
        validation_rows: ``"random"``, or ``"last"``: all members hold out the last rows, which is right for rows in the
            order of time. ``fit`` takes ``groups`` of rows that are held out together.
        min_scale: Smallest scale of a component, as a share of the target's standard deviation; a target on a lattice
            has a larger one, a sixth of its step.
        warm_start: Whether a second fit goes on with the network of the first, its encoding of features included;
            settings that shape the network then no longer matter.
        random_state: Seed for reproducible fits; None draws a fresh one.
        device: Where to train and predict, say ``"cpu"`` or ``"cuda"``.
        verbose: Show a progress bar when above 0.

    Attributes:
        network_: The fitted ``MixtureDensityNetwork``.
        history_: What happened while training.
        target_facts_: What the values of each target column told, see ``target_notes``.
        familiarity_: What is kept of the training rows to tell what is far from them; None with a backbone of your
            own whose inputs are no table.
        race_: Which candidates for ``frequency`` ran, how well, and which were chosen.
        encoder_: How the columns of a table become numbers; None where a backbone of your own takes inputs as they are.
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

    architecture_: Architecture

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
        family: Family = NORMAL,
        target_families: Mapping[str | int, Family] | None = None,
        atoms: Sequence[float] = (),
        rounding: float | None = None,
        allow_missing_targets: bool = False,
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
        validation_rows: str = "random",
        min_scale: float = 1e-3,
        warm_start: bool = False,
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
        self.target_families = target_families
        self.atoms = atoms
        self.rounding = rounding
        self.allow_missing_targets = allow_missing_targets
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
        self.validation_rows = validation_rows
        self.min_scale = min_scale
        self.warm_start = warm_start
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
        y_lower: Any = None,
        y_upper: Any = None,
        groups: ArrayLike | None = None,
        eval_set: tuple[Any, Any] | None = None,
        callbacks: Iterable[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the network.

        Interrupted by Ctrl-C after its first epoch, the estimator is fitted as well as it was until then.

        Args:
            X: Features, (N, F): an array, a data frame, or a mapping of names to columns; for a backbone of your own
                also tensors, arrays of more axes, a mapping of such, or a ``PackedSequence``.
            y: Targets, (N,) or (N, D), of the same kinds; (N, T, D) for a backbone with features at every step.
            sample_weight: Weight of each row, (N,), >= 0; 0 leaves a row out.
            y_lower: Bounds of targets that are known to be no smaller, of the shape of y: where one is given, y itself
                does not count there. NaN for none.
            y_upper: Bounds of targets that are known to be no larger, likewise.
            groups: Group of each row, (N,): validation rows are whole groups, so that no row is judged by a network
                that learned from another row of its group.
            eval_set: ``(X, y)`` of rows that choose the best epochs in place of a share of the training rows.
            callbacks: Functions of the ``History`` so far, or objects with such a method ``on_epoch_end``, called after
                every epoch of the fit (not of the race); one that returns True ends it. A method ``on_fit_start`` of
                such an object is called with the network before the first epoch.
            checkpoint: Folder where the fit writes down every minute how far it is; the same fit, started again after
                it was killed, goes on from there, see ``training.Checkpoint``. None for none.

        Returns:
            The estimator itself.

        Raises:
            ValueError: Columns that are no features, a constant target, too few rows, settings out of range, a
                checkpoint of another fit.
            TypeError: Callbacks that cannot be called.
        """
        start = self._start(checkpoint)
        with restored_on_failure(self), with_gradients():
            rows = read_rows(
                self,
                X,
                y,
                sample_weight,
                y_lower=y_lower,
                y_upper=y_upper,
                groups=groups,
                eval_set=eval_set,
                goes_on=start is not None,
            )
            self._learn(rows, checkpoint, start, followers_of(callbacks))
            self.target_ndim_ = rows.targets.ndim
            if rows.places is not None:
                renumber_rows(self, rows.places)
        return self._unless_interrupted()

    def fit_stream(
        self,
        stream: Stream,
        *,
        names: tuple[Sequence[str], Sequence[str]] | None = None,
        callbacks: Iterable[Any] = (),
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit the network to rows that need not fit into memory.

        A sample of the rows tells what the targets are like and runs the race; the ensemble learns from all of them.

        Args:
            stream: The rows, say ``training.ParquetStream("folder", ["price"])``.
            names: Names of the features and of the targets; None for those of a ``ParquetStream``, or none.
            callbacks: As in ``fit``.
            checkpoint: As in ``fit``.

        Returns:
            The estimator itself.

        Raises:
            ValueError: As ``fit``; or settings that need all rows in memory (``rounding``, ``retrieval``).
            TypeError: What is no stream.
        """
        _checks.instance("stream", stream, Stream)
        for name, usual in (("validation_rows", "random"), ("warm_start", False)):
            if getattr(self, name) != usual:
                raise _checks.InputError(f"{name} must be {usual!r} for a stream; got {getattr(self, name)!r}.")
        if self.rounding is not None or self.retrieval:
            name = "retrieval" if self.retrieval else "rounding"
            raise _checks.InputError(f"{name} must be left out for a stream, whose rows are not in memory.")
        if names is None and isinstance(stream, ParquetStream):
            names = stream.features, stream.targets
        self._start(checkpoint)
        with restored_on_failure(self), with_gradients():
            rows = read_stream(self, stream, names)
            self._learn(rows, checkpoint, callbacks=followers_of(callbacks))
            forget_rows(self)
            self.target_ndim_ = 1 if rows.targets.values.shape[1] == 1 else 2
        return self._unless_interrupted()

    def _unless_interrupted(self) -> Self:
        """Return the estimator, or let an interruption go on now that it is fitted as well as it was until then."""
        if self.history_.ended_by == "interrupt":
            raise Interrupted(self.network_, self.history_)
        return self

    def _start(self, checkpoint: object) -> MixtureDensityNetwork | None:
        """Return a copy of the network to go on with; None where the fit is a first one."""
        if checkpoint is not None and self.random_state is None:
            raise _checks.InputError("random_state must be a number with a checkpoint, so that a fit can go on.")
        if not self.warm_start or not hasattr(self, "network_"):
            return None
        if self.architecture_.memory_rows:
            raise _checks.InputError("warm_start must be False with retrieval, which remembers the rows of one fit.")
        return copy.deepcopy(self.network_).float().to(usable_device(self.device))

    def _learn(
        self,
        rows: TrainingRows,
        checkpoint: str | os.PathLike[str] | None,
        start: MixtureDensityNetwork | None = None,
        callbacks: Followers = NOBODY,
    ) -> None:
        """Fit the network to rows, or to the stream that they are a sample of."""
        self.target_facts_ = tuple(inspect_target(column) for column in rows.targets.values.T)
        like = None if start is None else self.architecture_
        choices = Choices(self, self.target_facts_, rows.targets, are_exact=rows.are_exact, like=like)
        fitter = Fitter(
            architecture=choices.architecture(rows.x, rows.categories, rows.gaps),
            data=(rows.x, choices.targets(), *([] if rows.weight is None else [rows.weight])),
            stream=rows.stream,
            options=choices.options(),
            backbone=self.backbone,
            seed=agreed_seed(self.random_state),
            device=usable_device(self.device),
            time_limit=choices.time_limit,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            held_out=rows.held_out,
            start=start,
            callbacks=callbacks,
        )
        if start is None:
            self.race_ = fitter.race(choices)
            self.architecture_, network, self.history_ = fitter.fit(self.race_, choices.n_members)
        else:
            network, self.history_ = fitter.go_on(self.race_, self.architecture_)
        if start is None or rows.targets.names is not None:
            self.target_names_ = rows.targets.names
        if self.backbone is None:  # so that rows beside a row change the last bits of its prediction at most
            network.double()
        self.network_ = network
        known, earlier = Familiarity.of_rows(rows, fitter.seed), getattr(self, "familiarity_", None)
        self.familiarity_ = known if start is None or known is None else known.joined(earlier)

    def _open(self, X: Any, first_row: int) -> Features:
        return open_features(self, X, first_row)

    def _density(self, x: Inputs) -> Mixture:
        try:
            mixture: Mixture = self.network_.eval()(mapped(x, lambda part: part.to(self.network_.device)))
        except (RuntimeError, IndexError) as error:
            if self.backbone is None or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).splitlines()[0]
            raise _checks.InputError(f"X must be like that of the fit; the backbone fails with it: {reason}") from error
        return mixture.to(torch.float64)

    @property
    def _n_targets(self) -> int:
        return self.architecture_.target_dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.backbone is None
        return tags

    # --- what was found ---

    def explain(self, X: Any, **options: Any) -> Any:
        """Return which features move the density of each row, as a tidy table of the kind of X.

        See ``estimators.explain``, which takes the same options.
        """
        return explain(self, X, **options)

    def target_notes(self) -> list[str]:
        """Return what was found in the targets of the fit (lattices, repeated values, outliers), and what was done.

        Families that a target looks made for are suggested; none is chosen without you.

        Nothing is known of models that were saved by format version 1.
        """
        check_is_fitted(self)
        names = self.target_names_ or default_names(self.architecture_.target_dim)
        return target_notes(self.target_facts_, names, self.architecture_, rounding=self.rounding)

    def feature_notes(self) -> list[str]:
        """Return what was found in the features of the fit: columns that say nothing, repeat others or have gaps."""
        check_is_fitted(self)
        return [] if self.encoder_ is None else self.encoder_.notes()

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of numbers and JSON; ``manymodes.load`` reads it back.

        With ``retrieval=True`` the file holds the training rows and their targets, and says so in its description.

        The file is written whole or not at all. No code goes into it: a backbone of your own is handed in again
        on loading, and other settings that are no numbers or names are set again before a new fit.
        """
        MODEL_FORMAT.write(path, *self.contents())

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a model file holds: tensors and a document of JSON."""
        check_is_fitted(self)
        familiar = {} if self.familiarity_ is None else self.familiarity_.to_tensors()
        return {**self.network_.state_dict(), **familiar}, describe(self)
