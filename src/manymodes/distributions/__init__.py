"""What a prediction is: mixtures whose densities, quantiles and modes are exact.

Shapes use one alphabet: N examples, K components, D target dimensions, S samples. A prediction has
``batch_shape`` (N,) and ``event_shape`` (D,); its components have ``batch_shape`` (N, K).
"""

from manymodes.distributions.component import Component, Parameter
from manymodes.distributions.families import COVARIANCE_TYPES, DiagonalNormal, Normal, SphericalNormal
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.modes import Modes

__all__ = [
    "COVARIANCE_TYPES",
    "Component",
    "DiagonalNormal",
    "Mixture",
    "Modes",
    "Normal",
    "Parameter",
    "SphericalNormal",
]
