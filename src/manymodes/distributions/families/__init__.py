"""Component families: one class each, which declares its parameters and knows its own formulas."""

from collections.abc import Mapping

from manymodes.distributions.families.normal import DiagonalNormal, Normal, SphericalNormal

COVARIANCE_TYPES: Mapping[str, type[Normal]] = {"diag": DiagonalNormal, "spherical": SphericalNormal}

__all__ = ["COVARIANCE_TYPES", "DiagonalNormal", "Normal", "SphericalNormal"]
