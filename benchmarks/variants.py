"""What is no setting of the default, but could have been part of it: each as an estimator for ``benchmarks.ablation``.

All of them start from what the default chose for the table: first frequencies, components and length of the fit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self

import torch
from sklearn.preprocessing import QuantileTransformer
from torch import Tensor, nn
from torch.distributions import Categorical

import manymodes as mm
from benchmarks.tables import Floats
from manymodes import training
from manymodes.distributions import Mixture
from manymodes.estimators.choices import Choices
from manymodes.metrics.normal_crps import normal_crps
from manymodes.nn import MixtureDensityNetwork, MixtureHead, TableEmbedding, TableScaling
from manymodes.nn.members import MemberLinear
from manymodes.training.randomness import isolated


class Variant:
    """A default that is changed after its fit; abstract.

    Args:
        seed: Seed of everything random.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Floats, y: Floats) -> Self:
        """Fit the default, then what differs from it."""
        self.model = mm.MDNRegressor(random_state=self.seed).fit(X, y)
        self.change(torch.tensor(X), torch.tensor(y)[:, None])
        return self

    def change(self, X: Tensor, y: Tensor) -> None:
        """Make the difference, with features (N, F) and targets (N, 1)."""
        raise NotImplementedError

    def predict_distribution(self, X: Floats) -> Mixture:
        """Return p(y | x)."""
        return self.model.predict_distribution(X)

    def options(self) -> dict[str, Any]:
        """Return what ``training.fit`` was told."""
        options = Choices(self.model, self.model.target_facts_).options()
        return options | {"n_steps": round(self.model.race_.length * options["n_steps"]), "random_state": self.seed}

    def network(self) -> MixtureDensityNetwork:
        """Return a new network like the default's, with initial weights."""
        with isolated(self.seed):
            return self.model.architecture_.build()


class RankedInputs(Variant):
    """Inputs are made normal by their ranks (scikit-learn's ``QuantileTransformer``) before the default sees them."""

    def fit(self, X: Floats, y: Floats) -> Self:
        """Fit the default to transformed inputs."""
        self.ranks = QuantileTransformer(
            n_quantiles=min(len(X), 1000), output_distribution="normal", random_state=self.seed
        )
        self.model = mm.MDNRegressor(random_state=self.seed).fit(self.ranks.fit_transform(X), y)
        return self

    def predict_distribution(self, X: Floats) -> Mixture:
        """Return p(y | x)."""
        return self.model.predict_distribution(self.ranks.transform(X))


class Tempered(Variant):
    """A sixth of the rows is held out from everything and chooses the temperature of the pooled mixture."""

    def fit(self, X: Floats, y: Floats) -> Self:
        """Fit the default to five sixths of the rows, and a temperature to the others."""
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(self.seed)).numpy()
        own, rest = order[: len(y) // 6], order[len(y) // 6 :]
        self.model = mm.MDNRegressor(random_state=self.seed).fit(X[rest], y[rest])
        density, target = self.model.predict_distribution(X[own]), torch.tensor(y[own])[:, None]
        tried = torch.linspace(-0.7, 0.7, 29).exp().tolist()
        self.temperature = min(tried, key=lambda t: float(mm.metrics.log_score(density.tempered(t), target).mean()))
        return self

    def predict_distribution(self, X: Floats) -> Mixture:
        """Return the tempered p(y | x)."""
        return self.model.predict_distribution(X).tempered(self.temperature)


class Refitted(Variant):
    """All rows are learned from, for as long as the best epochs of the default's members say on average."""

    def change(self, X: Tensor, y: Tensor) -> None:
        """Fit again, without rows that are held out."""
        history, options, network = self.model.history_, self.options(), self.network()
        share = sum(epoch + 1 for epoch in history.best_epochs) / history.n_members / history.n_epochs
        shorter = {"n_steps": max(1, round(share * options["n_steps"])), "least_epochs": 1, "validation": (X, y)}
        training.fit(network, (X, y), **options | shorter)
        self.model.network_ = network.double()


class Averaged(Variant):
    """Each member keeps the running average of its weights, over a twentieth of the epochs, at its best epoch."""

    def change(self, X: Tensor, y: Tensor) -> None:
        """Fit again, keeping averages."""
        network = self.network()
        now = network.member_state()
        average = {name: value.clone() for name, value in now.items()}
        kept = {name: value.clone() for name, value in now.items()}

        def follow(history: training.History) -> None:
            for name, value in average.items():
                value.lerp_(now[name], 1.0 if history.n_epochs == 1 else min(1.0, 20 / history.max_epochs))
            for member, epoch in enumerate(history.best_epochs):
                if epoch == history.n_epochs - 1:
                    for name, value in kept.items():
                        value[member] = average[name][member]

        training.fit(network, (X, y), callbacks=[follow], **self.options())
        for name, value in now.items():
            value.copy_(kept[name])
        self.model.network_ = network.double()


class SharedWeights(Variant):
    """Members share their layers and differ in factors before and behind each, and in their heads.

    References:
        Gorishniy, Kotelnikov and Babenko (2025), TabM: advancing tabular deep learning with parameter-efficient
            ensembling.
    """

    def change(self, X: Tensor, y: Tensor) -> None:
        """Fit the network that shares."""
        plan, options = self.model.architecture_, self.options()
        self.n_members, self.n_components = len(plan.frequencies), plan.n_components
        with isolated(self.seed):
            embedding = TableEmbedding(plan.n_features, frequency=plan.frequencies[0])
            layers = _SharedLayers(
                embedding.out_features, plan.hidden_sizes, 3 * plan.n_components, self.n_members, plan.dropout
            )
            head = MixtureHead(
                layers.out_features,
                target_dim=1,
                n_components=self.n_members * plan.n_components,
                min_scale=plan.min_scale,
            )
            with torch.no_grad():
                head.linear.weight.copy_(torch.eye(layers.out_features))
            head.linear.weight.requires_grad_(requires_grad=False)  # the members have heads of their own
            self.shared = MixtureDensityNetwork(nn.Sequential(embedding, layers), head, input_scaling=TableScaling())
        training.fit(self.shared, (X, y), **options | {"objective": self._mean_of_members})
        self.shared.double()

    def _mean_of_members(self, distribution: Mixture, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return half nll and half crps, as for the default, averaged over members."""
        shape = (self.n_components, self.n_members)
        log_weights = distribution.logits.unflatten(-1, shape).log_softmax(-2)  # (N, K, M)
        parts = distribution.components.log_prob(y.unsqueeze(-2)).unflatten(-1, shape)
        loc, scale = distribution.components.mean[..., 0], distribution.components.stddev[..., 0]
        flat = (value.unflatten(-1, shape).transpose(0, 1).flatten(1) for value in (loc, scale))
        crps = normal_crps(log_weights.exp().transpose(0, 1).flatten(1), *flat, y.repeat(1, self.n_members).flatten())
        return 0.5 * crps.mean() - 0.5 * torch.logsumexp(log_weights + parts, -2).mean()

    @torch.no_grad()
    def predict_distribution(self, X: Floats) -> Mixture:
        """Return the members' mixtures pooled."""
        mixture = self.shared.eval()(torch.tensor(X))
        shape = (self.n_components, self.n_members)
        logits = mixture.logits.unflatten(-1, shape).log_softmax(-2).flatten(-2)
        return Mixture(Categorical(logits=logits, validate_args=False), mixture.components, validate_args=False)


class _SharedLayers(nn.Module):
    """Layers of one weight for all members, with factors, (M, width), before and behind each; then heads, (N, K * M).

    Their output is in the order of a head with K times M components: logits, locations, scales, members fastest.
    """

    def __init__(self, width: int, sizes: Any, head_size: int, n_members: int, dropout: float) -> None:
        super().__init__()
        widths = [width, *sizes]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.before = nn.ParameterList(torch.ones(n_members, a) for a in widths[:-1])
        self.behind = nn.ParameterList(torch.ones(n_members, b) for b in widths[1:])
        with torch.no_grad():
            self.before[0].copy_(torch.randint(0, 2, self.before[0].shape) * 2.0 - 1.0)
        self.dropout = nn.Dropout(dropout)
        self.heads = MemberLinear(widths[-1], head_size, n_members)
        with torch.no_grad():
            self.heads.weight.mul_(0.1)
        self.out_features = head_size * n_members

    def forward(self, x: Tensor) -> Tensor:
        features = x.unsqueeze(-2)  # (N, 1, width)
        for i, linear in enumerate(self.linears):
            new = self.dropout(nn.functional.silu(linear(features * self.before[i]) * self.behind[i]))
            features = features + new if new.shape == features.shape else new
        raw: Tensor = self.heads(features.transpose(0, 1))  # (M, N, 3 K)
        return raw.permute(1, 2, 0).flatten(1)
