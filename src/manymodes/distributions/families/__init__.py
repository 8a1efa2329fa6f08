"""Component families: one class each, which declares its parameters and knows its own formulas."""

from collections.abc import Mapping

from manymodes.distributions.families.beta import Beta
from manymodes.distributions.families.counts import NegativeBinomial, Poisson
from manymodes.distributions.families.covariance import FullNormal, LowRankNormal
from manymodes.distributions.families.gamma import Gamma
from manymodes.distributions.families.laplace import Laplace
from manymodes.distributions.families.logistic import Logistic
from manymodes.distributions.families.lognormal import LogNormal
from manymodes.distributions.families.normal import DiagonalNormal, Normal, SphericalNormal
from manymodes.distributions.families.point_mass import PointMass
from manymodes.distributions.families.student_t import StudentT
from manymodes.distributions.families.von_mises import VonMises

COVARIANCE_TYPES: Mapping[str, type[Normal]] = {
    "diag": DiagonalNormal,
    "full": FullNormal,
    "low_rank": LowRankNormal,
    "spherical": SphericalNormal,
}

__all__ = [
    "COVARIANCE_TYPES",
    "Beta",
    "DiagonalNormal",
    "FullNormal",
    "Gamma",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LowRankNormal",
    "NegativeBinomial",
    "Normal",
    "PointMass",
    "Poisson",
    "SphericalNormal",
    "StudentT",
    "VonMises",
]
