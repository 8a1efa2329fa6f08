"""Networks that return a distribution: backbones, the mixture head, and the two joined with scaling."""

from manymodes.nn.backbones import MLP
from manymodes.nn.heads import MixtureHead
from manymodes.nn.network import MixtureDensityNetwork
from manymodes.nn.scaling import Standardizer

__all__ = ["MLP", "MixtureDensityNetwork", "MixtureHead", "Standardizer"]
