"""Networks with one normal per prediction, and pools of them: ``MDNRegressor`` with everything but its mixture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.estimators.baselines.base import Baseline, held_out_rows, mixture_of, most_likely
from manymodes.estimators.regressor import MDNRegressor
from manymodes.nn.backbones import Dropout
from manymodes.training.randomness import isolated

_NOISES = np.geomspace(0.05, 1.0, 31).tolist()  # in root mean squared errors, which is best for a single normal


class NetworkBaseline(Baseline):
    """A network with the backbone and the training of an ``MDNRegressor``, but with one normal; abstract.

    Attributes:
        regressor_: The fitted ``MDNRegressor``, with its ``network_`` and ``history_``.
    """

    regressor: MDNRegressor | None
    regressor_: MDNRegressor

    def _fitted(self, x: Tensor, y: Tensor, seed: int, *, n_members: int = 1, **changes: Any) -> MDNRegressor:
        """Return a regressor of one normal per member, fitted to features (N, F) and targets (N, D)."""
        model = MDNRegressor() if self.regressor is None else self.regressor
        _checks.instance("regressor", model, MDNRegressor, " or None")
        model = clone(model).set_params(
            n_components=1,
            n_members=n_members,
            family="normal",
            target_families=None,
            warm_start=False,
            atoms=(),
            rounding=None,
            retrieval=False,
            random_state=seed,
            **changes,
        )
        fitted: MDNRegressor = model.fit(self._named(x), y.numpy())
        return fitted

    def _density(self, x: Tensor) -> Mixture:
        return cast(Mixture, self.regressor_.predict_distribution(self._named(x)))

    def _named(self, x: Tensor) -> Any:
        """Return features (N, F) with the names that they came with, since the regressor's settings may use them."""
        names = getattr(self, "feature_names_in_", None)
        return x.numpy() if names is None else dict(zip(names, x.T.numpy(), strict=True))


class GaussianNetwork(NetworkBaseline):
    """One network that predicts a mean and a scale: a normal whose width depends on x.

    It is trained by the regressor's own objective, so that the mixture is all that is missing.

    Args:
        regressor: An ``MDNRegressor`` whose settings it takes, except for what makes it a mixture; None for the
            defaults.
        random_state: Seed for reproducible fits; None draws a fresh one.

    References:
        Nix and Weigend (1994), Estimating the mean and variance of the target probability distribution.
    """

    def __init__(
        self, regressor: MDNRegressor | None = None, *, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.regressor = regressor
        self.random_state = random_state

    def _learn(self, x: Tensor, y: Tensor) -> None:
        self.regressor_ = self._fitted(x, y, self._seed())


class DeepEnsemble(NetworkBaseline):
    """Several networks like ``GaussianNetwork``, whose normals are pooled with equal weights.

    Each has initial weights and validation rows of its own. The paper trains by likelihood, with adversarial examples,
    and scores one normal with the moments of the pool; here the objective is the regressor's, and the prediction the
    pool itself.

    Args:
        regressor: An ``MDNRegressor`` whose settings they take, except for what makes it a mixture; None for the
            defaults.
        n_members: Number of networks, M.
        random_state: Seed for reproducible fits; None draws a fresh one.

    References:
        Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
        ensembles.
    """

    def __init__(
        self,
        regressor: MDNRegressor | None = None,
        *,
        n_members: int = 5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.regressor = regressor
        self.n_members = n_members
        self.random_state = random_state

    def _learn(self, x: Tensor, y: Tensor) -> None:
        n_members = _checks.integer_at_least("n_members", self.n_members, 1)
        self.regressor_ = self._fitted(x, y, self._seed(), n_members=n_members)


class ConstantNoiseNetwork(NetworkBaseline):
    """A network that learns the mean by least squares, with noise that is the same everywhere; abstract.

    A first fit leaves out some rows, which choose the noise; the second is to all rows. A ``time_limit`` of the
    regressor holds for each of them.

    Attributes:
        noise_: Standard deviation of the noise in each target dimension, (D,), in the units of y.
    """

    validation_fraction: float
    _fade_dropout: ClassVar[bool] = True

    def _learn(self, x: Tensor, y: Tensor) -> None:
        share, seed = _checks.number_between("validation_fraction", self.validation_fraction, 0.0, 1.0), self._seed()
        rows, held_out = held_out_rows(len(y), share, seed)
        self._learn_mean(x[rows], y[rows], seed)
        least = torch.as_tensor(self.regressor_.architecture_.min_scale) * y.std(0, correction=0)
        means, targets = self._means(x[held_out]), y[held_out]
        error = (targets - means.mean(1)).square().mean(0).sqrt()
        noises = [(share * error).maximum(least) for share in _NOISES]
        self.noise_ = most_likely(((noise, mixture_of(means, noise)) for noise in noises), targets)
        self._learn_mean(x, y, seed)

    def _density(self, x: Tensor) -> Mixture:
        return mixture_of(self._means(x), self.noise_)

    def _learn_mean(self, x: Tensor, y: Tensor, seed: int) -> None:
        self.regressor_ = self._fitted(x, y, seed, objective=squared_error, fade_dropout=self._fade_dropout)

    @abstractmethod
    def _means(self, x: Tensor) -> Tensor:
        """Return the means of the normals, (N, K, D)."""

    def _mean(self, x: Tensor) -> Tensor:
        """Return the mean that the network learned, (N, D)."""
        return super()._density(x).mean


class LeastSquaresNetwork(ConstantNoiseNetwork):
    """Plain regression: a network fitted by least squares, with one normal of the same width everywhere.

    The noise is the root mean squared residual on held-out rows.

    Args:
        regressor: An ``MDNRegressor`` whose settings it takes, except for its objective and what makes it a mixture;
            None for the defaults.
        validation_fraction: Share of rows that a first fit leaves out to measure the noise.
        random_state: Seed for reproducible fits; None draws a fresh one.

    References:
        Bishop (1994), Mixture density networks, section 2 (least squares as the likelihood of constant noise).
    """

    def __init__(
        self,
        regressor: MDNRegressor | None = None,
        *,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.regressor = regressor
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _means(self, x: Tensor) -> Tensor:
        return self._mean(x).unsqueeze(1)


class MonteCarloDropout(ConstantNoiseNetwork):
    """A least-squares network whose dropout goes on while it predicts: one normal for each of many passes, pooled.

    Every pass leaves out units of its own, the same ones for all rows, so that a pass is a function of x and
    predictions do not change from call to call. All normals have the same width, under which held-out rows are most
    likely.

    Args:
        regressor: An ``MDNRegressor`` whose settings it takes, except for its objective and what makes it a mixture;
            None for the defaults. A ``backbone`` of your own must hold dropout.
        n_passes: Number of passes, S.
        validation_fraction: Share of rows that a first fit leaves out to choose the noise.
        random_state: Seed for reproducible fits; None draws a fresh one.

    Attributes:
        masks_: What the units of each dropout layer are multiplied by in each pass, (S, width), one tensor per layer.

    References:
        Gal and Ghahramani (2016), Dropout as a Bayesian approximation: representing model uncertainty in deep learning.
    """

    _fade_dropout: ClassVar[bool] = False  # the passes leave out what training left out, to its end

    def __init__(
        self,
        regressor: MDNRegressor | None = None,
        *,
        n_passes: int = 50,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.regressor = regressor
        self.n_passes = n_passes
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _learn_mean(self, x: Tensor, y: Tensor, seed: int) -> None:
        n_passes = _checks.integer_at_least("n_passes", self.n_passes, 1)
        super()._learn_mean(x, y, seed)
        with isolated(seed):
            self.masks_ = [_drawn(layer, n_passes, width) for layer, width in self._dropout_layers(x[:1])]

    def _dropout_layers(self, x: Tensor) -> list[tuple[nn.Module, int]]:
        """Return each dropout layer, in the order in which a row, (1, F), passes them, and how many units it has."""
        seen: list[tuple[nn.Module, int]] = []

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append((layer, output.shape[-1]))

        with self._hooked(note):
            self._mean(x)
        if not seen:
            raise _checks.InputError(
                "MonteCarloDropout needs a network with dropout; got none. Set its dropout above 0."
            )
        return seen

    def _means(self, x: Tensor) -> Tensor:
        return torch.stack([self._pass(x, masks) for masks in zip(*self.masks_, strict=True)], 1)

    def _pass(self, x: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
        """Return the mean, (N, D), with the units of each dropout layer multiplied by its mask, (width,)."""
        layers = iter(masks)
        with self._hooked(lambda layer, inputs, output: inputs[0] * next(layers)):
            return self._mean(x)

    @contextmanager
    def _hooked(self, hook: Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]) -> Iterator[None]:
        """Let a hook see, and replace, what every dropout layer returns."""
        layers = [layer for layer in self.regressor_.network_.modules() if isinstance(layer, (Dropout, nn.Dropout))]
        handles = [layer.register_forward_hook(hook) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def squared_error(distribution: Mixture, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error of the mean, summed over target dimensions: an objective, see ``manymodes.objectives``."""
    error = (distribution.mean - y).square().sum(-1)
    return (error if weight is None else error * weight).mean(-1)


def _drawn(layer: nn.Module, n_passes: int, width: int) -> Tensor:
    """Return what a dropout layer multiplies its units by, (S, width)."""
    factors: Tensor = layer.train()(torch.ones(n_passes, width, dtype=torch.float64))
    layer.eval()
    return factors
