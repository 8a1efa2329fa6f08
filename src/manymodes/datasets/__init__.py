"""Data with known answers: real tables that come with the package, simulators whose density is exact."""

from manymodes.datasets.geyser import load_geyser
from manymodes.datasets.inverse_sinusoid import inverse_sinusoid_log_density, make_inverse_sinusoid

__all__ = ["inverse_sinusoid_log_density", "load_geyser", "make_inverse_sinusoid"]
