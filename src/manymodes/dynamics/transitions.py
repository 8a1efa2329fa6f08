"""A transition density that is learned from logged transitions: p(next state | state, action)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from manymodes import _checks, training
from manymodes.datasets.systems import Values, as_floats
from manymodes.distributions import Mixture
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead
from manymodes.training import History
from manymodes.training.randomness import as_seed, isolated
from manymodes.training.tensor_file import TensorFile

FORMAT = TensorFile("manymodes-transitions", 1, "transition model file")


@dataclass(frozen=True)
class Sizes:
    """What a network is built from.

    Attributes:
        state_dim: Number of parts of a state, D.
        action_dim: Number of parts of an action, A.
        hidden_sizes: Width of each hidden layer.
        n_components: Number of mixture components of a member, K.
        n_members: Number of members, M.
    """

    state_dim: int
    action_dim: int
    hidden_sizes: tuple[int, ...]
    n_components: int
    n_members: int

    def build(self) -> MixtureDensityNetwork:
        """Return a network with fresh weights."""
        n_inputs = self.state_dim + self.action_dim
        # Rollouts ask for millions of rows, and smoother activations take a third of their time.
        backbone = MLP(n_inputs, self.hidden_sizes, activation=nn.ReLU, n_members=self.n_members)
        head = MixtureHead(
            backbone.out_features,
            target_dim=self.state_dim,
            n_components=self.n_components,
            n_members=self.n_members,
        )
        return MixtureDensityNetwork(backbone, head)


class TransitionModel:
    r"""An ensemble of mixture density networks for the next state of a system, given its state and the action.

    .. math:: p(s' | s, a) = \tfrac1M \sum_m \sum_k w_{mk}(s, a)\, N(s' - s; m_{mk}(s, a), \Sigma_{mk}(s, a))

    with diagonal covariances.

    The networks learn the change of the state, which is small and looks alike in many places; what is returned is the
    density of the next state itself, exactly. Members differ by their weights and by the rows that choose their epochs.

    Args:
        n_members: Number of members, M; where they disagree, rows were missing.
        n_components: Number of mixture components of each member, K.
        hidden_sizes: Width of each hidden layer.
        random_state: Seed of weights, batches and validation rows; None draws a fresh one.

    Attributes:
        network: The networks; None before ``fit``.
        history: How they were fitted; None before ``fit``.

    Raises:
        ValueError: A size below 1.

    References:
        Chua, Calandra, McAllister and Levine (2018), Deep reinforcement learning in a handful of trials using
        probabilistic dynamics models, NeurIPS, for ensembles of networks for the change of a state.

    Example:
        >>> from manymodes.datasets import make_double_well
        >>> model = TransitionModel(n_members=2, random_state=0).fit(*make_double_well(200, random_state=0), n_steps=20)
        >>> model.predict_distribution([[1.0]], [[0.0]])
        Mixture(n_components=10, family=DiagonalNormal, batch_shape=(1,), event_shape=(1,))
    """

    def __init__(
        self,
        *,
        n_members: int = 4,
        n_components: int = 5,
        hidden_sizes: Sequence[int] = (64, 64),
        random_state: int | None = None,
    ) -> None:
        self.n_members = _checks.integer_at_least("n_members", n_members, 1)
        self.n_components = _checks.integer_at_least("n_components", n_components, 1)
        self.hidden_sizes = tuple(
            _checks.integer_at_least("every size in hidden_sizes", size, 1) for size in hidden_sizes
        )
        self.random_state = random_state if random_state is None else _checks.random_state(random_state)
        self.network: MixtureDensityNetwork | None = None
        self.history: History | None = None

    # --- learning ---

    def fit(self, states: Values, actions: Values, next_states: Values, **options: Any) -> Self:
        """Learn from logged transitions, and return the model itself.

        Args:
            states: States, (N, D); an array or a tensor.
            actions: What was done there, (N, A).
            next_states: States that came next, (N, D).
            options: Of ``manymodes.fit``, say ``n_steps``, ``lr`` or ``validation``.

        Raises:
            ValueError: Shapes or numbers of rows that do not fit, or values that are not finite.
        """
        here, done, there = (
            table(name, values)
            for name, values in (("states", states), ("actions", actions), ("next_states", next_states))
        )
        _checks.same_rows("states", len(here), "actions", len(done))
        _checks.same_rows("states", len(here), "next_states", len(there))
        _checks.matches_shape("next_states", there.shape, ("N", here.shape[1]), "to match states")
        sizes = Sizes(here.shape[1], done.shape[1], self.hidden_sizes, self.n_components, self.n_members)
        seed = as_seed(self.random_state)
        with isolated(seed):
            network = sizes.build()
        data = torch.cat([here, done], -1), there - here
        self.history = training.fit(network, data, random_state=seed, **{"progress": False, **options})
        self.network = network.eval()
        return self

    # --- predictions ---

    @torch.no_grad()
    def predict_distribution(self, states: Values, actions: Values) -> Mixture:
        """Return the density of next states, members pooled: ``batch_shape`` (N,), ``event_shape`` (D,).

        Args:
            states: States, (N, D); arrays or tensors, whose precision the density has.
            actions: Actions, (N, A).

        Raises:
            ValueError: A model that is not fitted, or shapes that do not fit.
        """
        return self.members(states, actions).pooled(0)

    @torch.no_grad()
    def members(self, states: Values, actions: Values) -> Mixture:
        """Return each member's density of the next states, ``batch_shape`` (M, N), ``event_shape`` (D,).

        Args:
            states: States, (N, D), that all members are asked about.
            actions: Actions, (N, A).

        Raises:
            ValueError: A model that is not fitted, or shapes that do not fit.
        """
        here, done = self._checked(states, actions)
        changes = self._fitted.members(torch.cat([here, done], -1))
        components = changes.components.affine(here.unsqueeze(-2), 1.0)
        return changes.with_components(components)

    @torch.no_grad()
    def each(self, states: Tensor, actions: Tensor) -> Mixture:
        """Return the density of next states where every member is asked about rows of its own.

        Args:
            states: States, (M, N, D).
            actions: Actions, (M, N, A).

        Returns:
            Densities with ``batch_shape`` (M, N) and ``event_shape`` (D,).
        """
        network, scaling = self._fitted, self._fitted.target_scaling
        x = torch.cat([states, actions], -1)
        scaled = network.scaled_distribution(network.scale_input(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        shift, scale = scaling.loc.to(x.dtype), scaling.scale.to(x.dtype)
        scaled = scaled if x.dtype == network.dtype else scaled.to(x.dtype)  # which takes time
        return scaled.with_components(scaled.components.affine(states.unsqueeze(-2) + shift, scale))

    @torch.no_grad()
    def disagreement(self, states: Values, actions: Values) -> Tensor:
        """Return how far the members' mean next states lie apart, (N,): small where there were rows to learn from.

        The standard deviation over members of their means, in units of the standard deviation of logged changes, as a
        root mean square over the parts of a state. Of a single member it is 0.

        Args:
            states: States, (N, D).
            actions: Actions, (N, A).

        Raises:
            ValueError: A model that is not fitted, or shapes that do not fit.
        """
        means = self.members(states, actions).mean  # (M, N, D)
        apart = means.var(0, correction=0) / self._fitted.target_scaling.scale.to(means.dtype).square()
        return apart.mean(-1).sqrt()

    @property
    def _fitted(self) -> MixtureDensityNetwork:
        if self.network is None:
            raise _checks.InputError("the transition model must be fitted before it predicts; call fit first.")
        return self.network

    def _checked(self, states: Values, actions: Values) -> tuple[Tensor, Tensor]:
        network = self._fitted
        here, done = as_floats(states), as_floats(actions)
        state_dim = network.head.target_dim
        action_dim = int(network.backbone.in_features) - state_dim  # type: ignore[arg-type]
        _checks.matches_shape("states", here.shape, ("N", state_dim), "as the model was fitted with")
        _checks.matches_shape("actions", done.shape, ("N", action_dim), "as the model was fitted with")
        _checks.same_rows("states", len(here), "actions", len(done))
        return here, done

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file, whole or not at all; no pickle is written.

        Raises:
            ValueError: A model that is not fitted.
        """
        network = self._fitted
        history = None if self.history is None else self.history.to_dict()
        sizes = Sizes(
            network.head.target_dim,
            int(network.backbone.in_features) - network.head.target_dim,  # type: ignore[arg-type]
            self.hidden_sizes,
            self.n_components,
            self.n_members,
        )
        document = {"sizes": asdict(sizes), "random_state": self.random_state, "history": history}
        FORMAT.write(path, network.state_dict(), document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the model that ``save`` wrote; its predictions are those of the saved one, bit for bit.

        Raises:
            FileNotFoundError: No such file.
            ValueError: A file that is damaged, foreign or of a newer version.
        """
        tensors, document = FORMAT.read(path)
        try:
            return cls._restored(tensors, document)
        except (KeyError, TypeError, RuntimeError) as error:
            raise _checks.InputError(
                f"{os.fspath(path)!r} does not describe a model as it should ({error})."
            ) from error

    @classmethod
    def _restored(cls, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> Self:
        sizes = Sizes(**{**document["sizes"], "hidden_sizes": tuple(document["sizes"]["hidden_sizes"])})
        model = cls(
            n_members=sizes.n_members,
            n_components=sizes.n_components,
            hidden_sizes=sizes.hidden_sizes,
            random_state=document["random_state"],
        )
        with torch.device("meta"):  # asks for no memory and draws no random numbers
            network = sizes.build()
        network.load_state_dict(tensors, assign=True)
        model.network = network.eval()
        model.history = None if document["history"] is None else History.from_dict(document["history"])
        return model


def table(name: str, values: Values) -> Tensor:
    """Return rows of finite numbers, (N, columns), in double precision."""
    rows = as_floats(values).double()
    _checks.matches_shape(name, rows.shape, ("N", "columns"), "with a row for each transition")
    wrong = (~rows.isfinite()).any(-1).nonzero()
    if len(wrong):
        raise _checks.InputError(
            f"{name} must hold finite numbers; {_checks.row(int(wrong[0]))} does not. Drop such rows."
        )
    return rows
