"""A network that returns plain tensors: what other programs can run, and compare themselves with."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from manymodes.distributions import Mixture
from manymodes.estimators.portable.components import learned_parameters
from manymodes.nn import MixtureDensityNetwork

LOGITS = "logits"


class ParameterNetwork(nn.Module):
    """The parameters of a network's mixtures in scaled units, (N, M, K, ...) each; M is 1 without members.

    The first is ``"logits"``, normalised log-weights, (N, M, K); the others are those that the head learned, in the
    order of ``names``, (N, M, K_g, d, ...) for a group of K_g components over d target dimensions.

    Args:
        network: A fitted network, which is copied.

    Attributes:
        names: Names of the tensors, see ``components.learned_parameters``.
    """

    def __init__(self, network: MixtureDensityNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.names: list[str] = []

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters for encoded rows, (N, E), or inputs of a backbone of the user's own, (N, ...)."""
        mixture, n_members = self.scaled(x), self.network.n_members
        values = {LOGITS: mixture.logits, **learned_parameters(mixture.components)}
        self.names = list(values)
        return tuple(value.unsqueeze(1) if n_members is None else value.movedim(0, 1) for value in values.values())

    def scaled(self, x: Tensor) -> Mixture:
        """Return each member's mixture in scaled units, ``batch_shape`` (M, N), or (N,) without members."""
        scaled: Tensor = self.network.scale_input(x)
        if self.network.n_members is not None:
            scaled = scaled.expand(self.network.n_members, *scaled.shape)
        return self.network.scaled_distribution(scaled)
