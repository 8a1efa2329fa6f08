"""The forecaster: series in, the distribution of their next values out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import COVARIANCE_TYPES
from manymodes.estimators.forecasting.answers import ForecastMixin
from manymodes.estimators.forecasting.backtest import Backtest, backtest
from manymodes.estimators.forecasting.documents import contents
from manymodes.estimators.forecasting.fitting import Settings, fit_panel
from manymodes.estimators.forecasting.long_frames import frame_kind
from manymodes.estimators.forecasting.network import Architecture, checked_sizes
from manymodes.estimators.forecasting.reading import read_panel
from manymodes.estimators.forecasting.series import Columns, Panel, Series, Track
from manymodes.estimators.forecasting.windows import SCALINGS
from manymodes.estimators.model_file import MODEL_FORMAT
from manymodes.estimators.predictions import as_seed, restored_on_failure
from manymodes.estimators.surroundings import usable_device, with_gradients
from manymodes.objectives import Objective
from manymodes.training import History
from manymodes.training.followers import NOBODY, Followers, followers_of

MODES = {"direct": False, "autoregressive": True}  # whether paths are rolled forward


class MDNForecaster(ForecastMixin, BaseEstimator):  # type: ignore[misc]
    """Forecasts whole distributions of the next values of one series or many, and paths through them.

    Series come as arrays, (T,) or (T, D), one, a list, or a mapping of names to such; or as a long data frame of any
    kind, one row for each series and time. One network learns from all of them, in units of each series' own: forecasts
    follow the units of a series. Values may be missing (NaN), and series may begin and end at different times. A
    forecast begins after the last known value of its series.

    In mode ``"direct"`` a network gives the distribution of every step at once; a path is drawn through them by the
    dependence that errors of held-out forecasts showed. In mode ``"autoregressive"`` it gives the distribution of one
    step, and particles roll it forward: it takes longer, but follows a future that parts, and has no longest horizon.

    Where the fit saw one array, answers have no axis of series, here written [S,].

    Args:
        horizon: Steps to forecast, H.
        context: Steps that the network sees before them, C; None for the most of three horizons, two seasons and, of
            hours or the like, a week, if series are long enough.
        mode: ``"direct"`` or ``"autoregressive"``.
        n_components: Components of each member's distribution of a step.
        n_members: Members of the ensemble.
        season: Steps of the shortest cycle; None takes that which the times make likely, say 24 for hours. It decides
            on the context only.
        scaling: Whose spread is the unit: that of the ``"window"`` before the forecast, since the spread of most series
            changes; that of each ``"series"`` when it was fitted; or of the whole ``"panel"``, for series that follow
            one law in the same units. Series that the fit did not know, by name or by place in a list, have the
            spread of what is handed in.
        covariance_type: Of the targets in one step: ``"full"`` (the same as ``"diag"`` for one target), ``"diag"``,
            ``"spherical"`` or ``"low_rank"``.
        hidden_sizes: Width of each hidden layer.
        dropout: Share of hidden units left out at random while training.
        backbone: A module of your own that reads windows, (N, C, F) -> (N, out), say ``nn.Recurrent``, in place of the
            layers; it is copied for each member. F is 1 for each target, 1 more for each where values are missing, and
            1 for each exogenous column.
        objective: What to minimise, see ``objectives``; None takes half the likelihood and half the CRPS for one
            target, and the likelihood of several.
        max_epochs: Passes over the training windows; None takes some ``n_steps`` steps.
        n_steps: Steps of the fit, about; None takes 400, and 1,500 in autoregressive mode, where errors add up.
        batch_size: Windows in a step.
        lr: Highest learning rate; None takes 1e-3, and 2e-3 in autoregressive mode.
        weight_decay: Decay of weight matrices.
        validation_fraction: Share of each series that a member holds out to choose its best epoch, at least one
            horizon: the first member the end of each series, the others stretches of time before it.
        max_windows: Most windows to learn from; of more, such that are evenly spread.
        n_particles: Particles of a distribution in autoregressive mode.
        id_col: Column of long frames that tells series apart; frames without it are one series.
        time_col: Column of times, or of whole numbers.
        target_cols: Columns to forecast, jointly.
        fill_gaps: Whether times that are left out are taken as missing values, instead of being refused.
        random_state: Seed; None draws a fresh one.
        device: Where to train.
        verbose: Show a progress bar when above 0.

    Attributes:
        model_: What predicts, with the fitted network as ``model_.network``.
        context_: Steps that the network sees, C.
        history_: What happened while training.
        panel_: The ends of the series of the fit, which forecasts go on from.
        architecture_: What it takes to build the network again.

    References:
        Bishop (1994), Mixture density networks; Taieb and Hyndman (2012), Recursive and direct multi-step forecasting.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> walk = rng.normal(size=300).cumsum()
        >>> model = MDNForecaster(horizon=5, n_members=2, n_steps=20, random_state=0).fit(walk)
        >>> model.predict_distribution()
        Mixture(n_components=6, family=DiagonalNormal, batch_shape=(5,), event_shape=(1,))
        >>> model.sample_paths(100).shape
        (100, 5, 1)
    """

    history_: History
    architecture_: Architecture

    def __init__(
        self,
        horizon: int = 24,
        *,
        context: int | None = None,
        mode: str = "direct",
        n_components: int = 3,
        n_members: int = 8,
        season: int | None = None,
        scaling: str = "window",
        covariance_type: str = "full",
        hidden_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.3,
        backbone: nn.Module | None = None,
        objective: str | Objective | None = None,
        max_epochs: int | None = None,
        n_steps: int | None = None,
        batch_size: int = 256,
        lr: float | None = None,
        weight_decay: float = 1e-2,
        validation_fraction: float = 0.1,
        max_windows: int = 20_000,
        n_particles: int = 1000,
        id_col: str = "unique_id",
        time_col: str = "ds",
        target_cols: str | Sequence[str] = ("y",),
        fill_gaps: bool = False,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        verbose: int = 0,
    ) -> None:
        self.horizon = horizon
        self.context = context
        self.mode = mode
        self.n_components = n_components
        self.n_members = n_members
        self.season = season
        self.scaling = scaling
        self.covariance_type = covariance_type
        self.hidden_sizes = hidden_sizes
        self.dropout = dropout
        self.backbone = backbone
        self.objective = objective
        self.max_epochs = max_epochs
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.max_windows = max_windows
        self.n_particles = n_particles
        self.id_col = id_col
        self.time_col = time_col
        self.target_cols = target_cols
        self.fill_gaps = fill_gaps
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # --- fitting ---

    def fit(self, series: Any, exogenous: Any = None, *, callbacks: Iterable[Any] = ()) -> Self:
        """Fit the network to series.

        Args:
            series: One array, (T,) or (T, D), a list of such or a mapping of names to such; or a long data frame, or a
                mapping of its columns.
            exogenous: What is known beside them and will be known of the future, too: arrays (T, E), or more steps,
                in the same container; or a long frame with the columns of id and time, and all others as covariates.
                What is not known in advance is better made a target.
            callbacks: Called with the history after every epoch; one that returns True ends the fit.

        Returns:
            The forecaster itself.

        Raises:
            ValueError: Times that do not ascend, come twice, leave gaps or follow no regular step; series that are too
                short for context and horizon; missing covariates; settings out of range.
            TypeError: What is no series.
        """
        fill_gaps = _checks.boolean("fill_gaps", self.fill_gaps)
        with restored_on_failure(self):
            panel = read_panel(series, exogenous, self._columns(), fill_gaps=fill_gaps)
            self._fit_panel(panel, followers_of(callbacks))
            self.frame_kind_ = frame_kind(series)
        return self

    def _fit_panel(self, panel: Panel, followers: Followers = NOBODY) -> Self:
        """Fit the network to series that were read."""
        seed, settings = as_seed(self.random_state), self._settings()
        with with_gradients():
            fitted = fit_panel(panel, settings, backbone=self.backbone, seed=seed, callbacks=followers)
        self.model_, self.history_, self.architecture_ = fitted.model, fitted.history, fitted.architecture
        self.context_, self.frame_kind_ = fitted.model.view.context, None
        self.seed_ = int(np.random.default_rng(seed).integers(2**32))
        self.panel_ = panel.with_series([_tail(panel, one, self.context_) for one in panel])
        return self

    def _settings(self) -> Settings:
        """Return the settings, checked."""
        whole = _checks.integer_at_least
        whole("n_particles", self.n_particles, 2)
        is_rolled = _checks.one_of("mode", self.mode, MODES)
        _checks.one_of("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        _checks.one_of("scaling", self.scaling, SCALINGS)
        return Settings(
            horizon=whole("horizon", self.horizon, 1),
            context=None if self.context is None else whole("context", self.context, 1),
            season=None if self.season is None else whole("season", self.season, 1),
            is_rolled=is_rolled,
            scaling=self.scaling,
            sizes={
                "n_components": whole("n_components", self.n_components, 1),
                "n_members": whole("n_members", self.n_members, 1),
                "hidden_sizes": checked_sizes(self.hidden_sizes),
                "dropout": self.dropout,
                "covariance_type": self.covariance_type,
                "min_scale": 1e-3,
            },
            objective=self.objective,
            options={
                "max_epochs": self.max_epochs,
                "n_steps": (1500 if is_rolled else 400) if self.n_steps is None else self.n_steps,
                "batch_size": self.batch_size,
                "lr": (2e-3 if is_rolled else 1e-3) if self.lr is None else self.lr,
                "weight_decay": self.weight_decay,
                "compile": False,
                "progress": self.verbose > 0,
            },
            validation_fraction=_checks.number_between("validation_fraction", self.validation_fraction, 0.0, 1.0),
            max_windows=whole("max_windows", self.max_windows, 1),
            device=usable_device(self.device),
        )

    def _columns(self) -> Columns:
        targets = [self.target_cols] if isinstance(self.target_cols, str) else list(self.target_cols)
        if not targets:
            raise _checks.InputError("target_cols must name at least 1 column; got none.")
        return Columns(self.id_col, self.time_col, tuple(targets))

    def backtest(
        self,
        series: Any,
        exogenous: Any = None,
        *,
        n_origins: int | None = None,
        stride: int | None = None,
        refit: bool | int = False,
        n_paths: int = 100,
        random_state: int = 0,
    ) -> Backtest:
        """Return forecasts from several origins in the past, and what came: forecasts see nothing after their origin.

        Args:
            series: As in ``fit``. Without ``refit`` they go on after those of the fit: of arrays, the first part is
                what the fit saw.
            exogenous: As in ``fit``.
            n_origins: Number of origins, the last ones of which a whole horizon is over; None for all there are.
            stride: Steps from one origin to the next; None for the horizon, so that no step is forecast twice.
            refit: Whether a copy is fitted anew before every origin, to all that was over then, or with a number before
                every so many-th; else the forecaster as it is fitted goes on, and origins before its end are not used.
            n_paths: Paths of each forecast, for scores of whole paths.
            random_state: Seed of the paths.

        Raises:
            ValueError: Series that do not go on for a horizon after those of the fit.
        """
        return backtest(
            self,
            series,
            exogenous,
            n_origins=n_origins,
            stride=stride,
            refit=int(refit) if isinstance(refit, bool) else _checks.integer_at_least("refit", refit, 0),
            n_paths=n_paths,
            random_state=random_state,
        )

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted forecaster to one file of numbers and JSON; ``manymodes.load`` reads it back.

        The file holds the last ``context_`` steps of every series of the fit, which forecasts go on from. It is written
        whole or not at all, and no code goes into it: a backbone of your own is handed in again on loading.
        """
        MODEL_FORMAT.write(path, *self.contents())

    def contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a model file holds: tensors and a document of JSON."""
        check_is_fitted(self)
        return contents(self)


def _tail(panel: Panel, series: Series, context: int) -> Series:
    """Return the last steps of a series, and what is known from there on."""
    over = len(series) - context
    start = series.start + over * panel.clock.step
    known = series.known
    if known is not None:
        place = max((start - known.start) // panel.clock.step, 0)
        known = Track(known.start + place * panel.clock.step, known.values[place:])
    return replace(series, start=start, values=series.values[over:], known=known)
