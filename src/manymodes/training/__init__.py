"""One loop that fits any network of this package to any objective."""

from manymodes.training.history import History
from manymodes.training.loop import fit

__all__ = ["History", "fit"]
