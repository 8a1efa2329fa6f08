"""What a prediction is: mixtures whose densities, quantiles, modes and regions are exact.

Shapes use one alphabet: N examples, K components, D target dimensions, S samples. A prediction has
``batch_shape`` (N,) and ``event_shape`` (D,); its components have ``batch_shape`` (N, K).
"""

from manymodes.distributions.autoregressive import Autoregressive
from manymodes.distributions.blueprints import Blueprint, given
from manymodes.distributions.component import Component, Factorised
from manymodes.distributions.concatenation import Concatenation
from manymodes.distributions.conditionals import Conditionals
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.families import (
    COVARIANCE_TYPES,
    Beta,
    DiagonalNormal,
    FullNormal,
    Gamma,
    Laplace,
    Logistic,
    LogNormal,
    LowRankNormal,
    NegativeBinomial,
    Normal,
    PointMass,
    Poisson,
    SphericalNormal,
    StudentT,
    VonMises,
)
from manymodes.distributions.incomplete import Incomplete
from manymodes.distributions.information import (
    Estimate,
    entropy,
    entropy_bounds,
    kl_divergence,
    mutual_information,
)
from manymodes.distributions.joint_density import JointDensity
from manymodes.distributions.medoid import medoid
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.pit_map import PITMap
from manymodes.distributions.pooled import Pooled
from manymodes.distributions.prediction import Prediction
from manymodes.distributions.product import Product
from manymodes.distributions.recalibrated import Recalibrated
from manymodes.distributions.results import Atoms, Modes, Region
from manymodes.distributions.together import joined, pool
from manymodes.distributions.transformed import Transformed
from manymodes.distributions.transforms import Log, Logit, Transform, YeoJohnson
from manymodes.distributions.truncated import Truncated
from manymodes.distributions.uncertainty import UncertaintySplit, split_uncertainty

__all__ = [
    "COVARIANCE_TYPES",
    "Atoms",
    "Autoregressive",
    "Beta",
    "Blueprint",
    "Component",
    "Concatenation",
    "Conditionals",
    "Declared",
    "DiagonalNormal",
    "Estimate",
    "Factorised",
    "FullNormal",
    "Gamma",
    "Incomplete",
    "JointDensity",
    "Laplace",
    "Log",
    "LogNormal",
    "Logistic",
    "Logit",
    "LowRankNormal",
    "Mixture",
    "Modes",
    "NegativeBinomial",
    "Normal",
    "PITMap",
    "Parameter",
    "PointMass",
    "Poisson",
    "Pooled",
    "Prediction",
    "Product",
    "Recalibrated",
    "Region",
    "SphericalNormal",
    "StudentT",
    "Transform",
    "Transformed",
    "Truncated",
    "UncertaintySplit",
    "VonMises",
    "YeoJohnson",
    "entropy",
    "entropy_bounds",
    "given",
    "joined",
    "kl_divergence",
    "medoid",
    "mutual_information",
    "pool",
    "split_uncertainty",
]
