"""Networks with one normal per prediction, and pools of them, trained by the same loop as mixtures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manymodes import _checks, objectives, training
from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import Baseline, held_out_rows, mixture_of, most_likely
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead
from manymodes.objectives import Objective
from manymodes.training.randomness import isolated, seeded

_NOISES = np.geomspace(0.05, 1.5, 35).tolist()  # in root mean squared errors of the mean of the passes


class NetworkBaseline(Baseline):
    """A network like that of ``MDNRegressor`` with a single normal; abstract.

    Attributes:
        network_: The fitted ``MixtureDensityNetwork``.
        history_: What happened while training.
    """

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        dropout: float = 0.1,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        validation_fraction: float = 0.1,
        min_scale: float = 1e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.min_scale = min_scale
        self.random_state = random_state

    def _train(
        self, data: training.Data, validation: float | training.Data, objective: Objective, n_members: int | None = None
    ) -> None:
        x, y = data
        seed = self._seed()
        with isolated(seed):
            network = self._network(x.shape[1], y.shape[1], n_members)
        self.history_ = training.fit(
            network,
            data,
            objective=objective,
            validation=validation,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            random_state=seed,
            progress=False,
        )
        # In double precision the prediction of a row does not depend on those beside it.
        self.network_ = network.double().eval()

    def _network(self, n_features: int, target_dim: int, n_members: int | None) -> MixtureDensityNetwork:
        _checks.instance("hidden_sizes", self.hidden_sizes, Sequence, " of integers, say (128, 128)")
        mlp = MLP(n_features, self.hidden_sizes, dropout=self.dropout, n_members=n_members)
        head = MixtureHead(
            mlp.out_features, target_dim=target_dim, n_components=1, min_scale=self.min_scale, n_members=n_members
        )
        return MixtureDensityNetwork(mlp, head)

    def _density(self, x: Tensor) -> Mixture:
        mixture: Mixture = self.network_(x)
        return mixture
