"""What an ensemble knows beyond its one density: what its members say, and whether a row is like those of the fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from manymodes import _checks
from manymodes.distributions import Incomplete, Mixture, UncertaintySplit, joined, split_uncertainty
from manymodes.estimators.familiarity import Familiarity
from manymodes.estimators.predictions import DensityRegressorMixin, default_names
from manymodes.estimators.tables.frames import like, n_rows
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.inputs import mapped


class EnsembleMixin(DensityRegressorMixin):
    """Answers of a regressor whose network is an ensemble; abstract."""

    network_: MixtureDensityNetwork
    familiarity_: Familiarity | None

    def predict_members(self, X: Any) -> list[Mixture]:
        """Return what each member of the ensemble predicts, M distributions as ``predict_distribution`` returns one.

        Their average with equal weights is the prediction of the model.
        """
        parts = list(self.iter_members(X))
        return [joined([part[member] for part in parts]) for member in range(parts[0].batch_shape[0])]

    @torch.no_grad()
    def iter_members(self, X: Any, *, batch_size: int = 1024) -> Iterator[Mixture]:
        """Yield what the members predict for so many rows at a time, ``batch_shape`` (M, N), as metrics take ensembles.

        Args:
            X: Features, (N, F).
            batch_size: Rows at a time.
        """
        check_is_fitted(self)
        batch_size = _checks.integer_at_least("batch_size", batch_size, 1)
        network = self.network_.eval()
        for x in self._open(X, 0).batches(batch_size):
            members = network.members(mapped(x, lambda part: part.to(network.device))).to("cpu").to(torch.float64)
            yield members if network.n_members is not None else members[None]

    def predict_uncertainty(self, X: Any) -> Any:
        """Return how much of each row's uncertainty is noise, and how much the fit left open: a table of the kind of X.

        Its columns are for every target the standard deviations ``y_aleatoric`` (what members agree is random) and
        ``y_epistemic`` (of their means), with the target's name for ``y``, of angles the circular variances; and
        ``entropy``, ``mutual_information`` and ``mode_disagreement`` of the joint density, see
        ``distributions.split_uncertainty``; and ``far``, see ``is_far``, where the model knows its rows.

        Args:
            X: Features, (N, F).
        """
        self._refuse_steps("predict_uncertainty")
        if not n_rows(X):
            raise _checks.InputError("X must have at least 1 row; got none.")
        parts: list[UncertaintySplit] = []
        kinds: tuple[str, ...] = ()
        for members in self.iter_members(X):
            parts.append(split_uncertainty(members))
            kinds = members.components.kinds
        columns: dict[str, Any] = {}
        for d, name in enumerate(self.target_names_ or default_names(self._n_targets)):
            for kind in ("aleatoric", "epistemic"):
                variance = torch.cat([getattr(part, f"{kind}_variance")[:, d] for part in parts])
                columns[f"{name}_{kind}"] = (variance if kinds[d] == "angle" else variance.sqrt()).numpy()
        for name in ("entropy", "mutual_information", "mode_disagreement"):
            columns[name] = torch.cat([getattr(part, name) for part in parts]).numpy()
        if self.familiarity_ is not None:
            columns["far"] = self.is_far(X)
        return like(X, columns, index_of=X)

    def is_far(self, X: Any) -> NDArray[np.bool_]:
        """Return which rows are far from the training rows, (N,): what is predicted for them is a guess.

        A row is far where a number lies outside the range that the fit saw, or where the row lies farther from all
        that the fit saw than 99 of 100 such rows do.

        Args:
            X: Features, (N, F).

        Raises:
            ValueError: A model that knows nothing of its rows: with a backbone of your own whose inputs are no table,
                or of an older file.
        """
        known = self._familiarity()
        batches: list[Any] = list(self._open(X, 0).batches())
        return np.concatenate([known.is_far(x).numpy() for x in batches])

    def share_of_training_rows(self, X: Any, y: Any) -> float:
        """Return which share of rows and targets the model was fitted to, about: on those it looks better than it is.

        Told from a sketch of 4,096 fingerprints: exact for fits to no more rows, rougher beyond, and NaN where none of
        the rows can be compared; 0 for rows of others.

        Args:
            X: Features, (N, F).
            y: Targets, (N,) or (N, D).

        Raises:
            ValueError: As ``is_far``.
        """
        targets = self._scored_targets(X, y)
        values = targets.low if isinstance(targets, Incomplete) else targets
        x: Any = self._open(X, 0).all()
        return self._familiarity().share_of_training_rows(x, values)

    def _familiarity(self) -> Familiarity:
        check_is_fitted(self)
        if self.familiarity_ is None:
            raise _checks.InputError("the model must know its training rows; it was fitted to no table, or long ago.")
        return self.familiarity_
