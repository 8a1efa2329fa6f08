"""What a fitted forecaster answers: distributions of the next steps, paths, quantiles, points, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.distributions.together import parameters
from manymodes.estimators.forecasting.dependence import paths_at
from manymodes.estimators.forecasting.long_frames import is_long
from manymodes.estimators.forecasting.model import WindowModel
from manymodes.estimators.forecasting.network import Architecture
from manymodes.estimators.forecasting.reading import read_panel, with_exogenous
from manymodes.estimators.forecasting.rollout import rolled_out
from manymodes.estimators.forecasting.series import Columns, Panel
from manymodes.estimators.forecasting.windows import Origins, Past, past_of
from manymodes.estimators.tables.numbers import Floats
from manymodes.training import History
from manymodes.training.randomness import seeded

_POINTS: Mapping[str, Callable[[Mixture], Tensor]] = {
    "mean": lambda distribution: distribution.mean,
    "median": lambda distribution: distribution.median,
}


class ForecastMixin:
    """Answers of a forecaster; all of them take the same three arguments.

    ``horizon`` is the number of steps, None for that of the fit. ``series`` are new series to go on from, as in
    ``fit``, whole or their last ``context_`` steps; None goes on from those of the fit. ``exogenous`` is what is known
    of the next steps where the fit had such: long frames by their times; arrays beginning after the series of the fit,
    or with the new series and going on after them.
    """

    horizon: int
    n_particles: int
    fill_gaps: bool
    id_col: str
    time_col: str
    model_: WindowModel
    panel_: Panel
    context_: int
    seed_: int
    frame_kind_: str | None
    context: int | None
    architecture_: Architecture
    history_: History

    def _columns(self) -> Columns:
        raise NotImplementedError

    def _fit_panel(self, panel: Panel) -> Self:
        raise NotImplementedError

    def predict_distribution(self, horizon: int | None = None, series: Any = None, exogenous: Any = None) -> Mixture:
        """Return the distribution of each of the next steps, ``batch_shape`` ([S,] H), ``event_shape`` (D,).

        In autoregressive mode it is found with ``n_particles`` particles and a seed of the fit's own: it is the same
        every time.

        Raises:
            ValueError: A horizon longer than the fit's in direct mode; series shorter than the context; covariates that
                are missing or too short.
        """
        panel = self._open(series, exogenous)
        mixture = self._distribution(panel, _ends(panel), self._steps(horizon))
        return mixture[0] if panel.is_single else mixture

    def sample_paths(
        self,
        n_paths: int = 100,
        horizon: int | None = None,
        series: Any = None,
        exogenous: Any = None,
        *,
        random_state: int | None = None,
    ) -> Floats:
        """Return paths of the next steps, (n_paths, [S,] H, D), each a whole future: steps depend on each other.

        Args:
            n_paths: Number of paths.
            horizon: See the class.
            series: See the class.
            exogenous: See the class.
            random_state: Seed; None draws a fresh one.
        """
        n_paths = _checks.integer_at_least("n_paths", n_paths, 1)
        panel = self._open(series, exogenous)
        paths = self._paths(panel, _ends(panel), n_paths, self._steps(horizon), seeded(random_state))
        return paths[:, 0] if panel.is_single else paths

    def predict(
        self, horizon: int | None = None, series: Any = None, exogenous: Any = None, *, point: str = "mean"
    ) -> Floats:
        """Return the mean or the median of the next steps, ([S,] H), or ([S,] H, D) of several targets."""
        of = _checks.one_of("point", point, _POINTS)
        values: Floats = of(self.predict_distribution(horizon, series, exogenous)).numpy()
        return values[..., 0] if self.panel_.is_flat else values

    def predict_quantiles(
        self,
        levels: float | Sequence[float] = (0.05, 0.5, 0.95),
        horizon: int | None = None,
        series: Any = None,
        exogenous: Any = None,
    ) -> Floats:
        """Return quantiles of the next steps, ([S,] H, Q), or ([S,] H, D, Q) of several targets.

        Args:
            levels: One level or Q of them, in (0, 1).
            horizon: See the class.
            series: See the class.
            exogenous: See the class.
        """
        asked = torch.tensor(_checks.levels(levels), dtype=torch.float64)
        mixture = self.predict_distribution(horizon, series, exogenous)
        level = asked.reshape(-1, *[1] * (len(mixture.batch_shape) + 1))
        quantiles: Floats = mixture.icdf(level).movedim(0, -1).numpy()
        return quantiles[..., 0, :] if self.panel_.is_flat else quantiles

    def predict_frame(
        self,
        horizon: int | None = None,
        series: Any = None,
        exogenous: Any = None,
        *,
        levels: Sequence[float] = (0.05, 0.5, 0.95),
    ) -> Any:
        """Return the next steps as a long frame of the kind of the fit: id, time, and for every target its mean.

        After the mean of a target, say ``y``, come its quantiles, ``y_0.05`` and so on. A mapping of columns where the
        fit saw no frame.
        """
        panel, asked = self._open(series, exogenous), _checks.levels(levels)
        steps = self._steps(horizon)
        mixture = self._distribution(panel, _ends(panel), steps)
        level = torch.tensor(asked, dtype=torch.float64)[:, None, None, None]
        mean, quantiles = mixture.mean.flatten(0, 1).numpy(), mixture.icdf(level).flatten(1, 2).numpy()
        counts = np.concatenate([panel.end(one) + np.arange(steps) * panel.clock.step for one in panel])
        columns: dict[str, Any] = (
            {} if panel.is_single else {self.id_col: [s.name for s in panel for _ in range(steps)]}
        )
        columns[self.time_col] = panel.clock.times(counts)
        for d, name in enumerate(panel.targets):
            columns[name] = mean[:, d]
            columns |= {f"{name}_{level}": quantiles[q, :, d] for q, level in enumerate(asked)}
        if self.frame_kind_ is None:
            return {name: np.asarray(values) for name, values in columns.items()}
        backend: Any = self.frame_kind_
        return nw.from_dict(columns, backend=backend).to_native()

    # --- parts ---

    def _steps(self, horizon: int | None) -> int:
        check_is_fitted(self)
        longest = self.horizon if self.model_.dependence is None else self.model_.view.horizon
        if horizon is None:
            return longest
        horizon = _checks.integer_at_least("horizon", horizon, 1)
        if self.model_.dependence is not None and horizon > longest:
            raise _checks.InputError(
                f"horizon must be at most {longest}, that of the fit, in direct mode; got {horizon}; fit with a longer "
                "one, or with mode='autoregressive'."
            )
        return horizon

    def _open(self, series: Any, exogenous: Any) -> Panel:
        """Return the series to go on from, as the fit knew them."""
        check_is_fitted(self)
        known, columns = self.panel_, self._columns()
        if series is None:
            panel, begins = known, "end"
        else:
            if is_long(series, columns) != (known.clock.unit != "place"):
                kinds = ("arrays", "a long data frame")
                was_long = known.clock.unit != "place"
                raise _checks.InputError(f"series must be {kinds[was_long]}, as in the fit; got {kinds[not was_long]}.")
            read = read_panel(series, None, columns, fill_gaps=self.fill_gaps, clock=known.clock)
            if read.targets != known.targets:
                raise _checks.InputError(
                    f"series must have {_checks.counted(len(known.targets), 'target')}, as in the fit; got "
                    f"{len(read.targets)}."
                )
            panel, begins = replace(read, covariates=known.covariates), "start"
            for one in panel:
                if len(one) < self.context_:
                    raise _checks.InputError(
                        f"every series must have at least context = {self.context_} steps to go on from; got "
                        f"{len(one)} in {one.label}."
                    )
        if exogenous is None:
            return panel
        if not known.covariates:
            raise _checks.InputError("exogenous must be left out, as in the fit; got some.")
        return with_exogenous(panel, exogenous, columns, begins=begins)

    def _distribution(self, panel: Panel, origins: Origins, horizon: int) -> Mixture:
        """Return the distributions at origins, ``batch_shape`` (N, H)."""
        past = self._past(panel, origins, horizon)
        with torch.no_grad():
            if self.model_.dependence is None:
                mixture = rolled_out(self.model_, past, self.n_particles, seeded(self.seed_))[1]
            else:
                mixture = self.model_.density(past)[:, :horizon]
        return _checked(mixture, panel, origins)

    def _paths(self, panel: Panel, origins: Origins, n_paths: int, horizon: int, generator: torch.Generator) -> Floats:
        """Return paths from origins, (S, N, H, D)."""
        past, dependence = self._past(panel, origins, horizon), self.model_.dependence
        if dependence is None:
            return rolled_out(self.model_, past, n_paths, generator)[0]
        with torch.no_grad():
            mixture = _checked(self.model_.density(past)[:, :horizon], panel, origins)
        paths: Floats = paths_at(mixture, dependence.draw(n_paths, len(past), horizon, generator)).numpy()
        return paths

    def _past(self, panel: Panel, origins: Origins, horizon: int) -> Past:
        view = replace(self.model_.view, horizon=horizon)
        past = past_of(panel, origins, self.model_.levels, view)
        unasked = self.model_.view.horizon - horizon
        if unasked <= 0:
            return past
        # A network that gives all steps in one pass wants to know of all; what it says of those is not asked for.
        filled = [np.pad(part, ((0, 0), (0, unasked), (0, 0)), mode="edge") for part in (past.known, past.calendar)]
        return replace(past, known=filled[0], calendar=filled[1])


def _ends(panel: Panel) -> Origins:
    return [(number, np.array([len(series)])) for number, series in enumerate(panel)]


def _checked(mixture: Mixture, panel: Panel, origins: Origins) -> Mixture:
    """Return a prediction that refuses NaN targets, if it is finite."""
    bad = torch.zeros(mixture.batch_shape[0], dtype=torch.bool)
    for value in (mixture.logits, *parameters(mixture)):
        bad |= value.isnan().flatten(1).any(-1)
    if bool(bad.any()):
        owners = [panel.series[number].label for number, over in origins for _ in over]
        raise _checks.InputError(
            f"series must stay near those of the fit; {owners[int(bad.nonzero()[0])]} is too extreme for the network."
        )
    return Mixture(mixture.mixture_distribution, mixture.components, validate_args=True)
