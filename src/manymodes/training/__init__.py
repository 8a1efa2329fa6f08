"""One loop that fits any network of this package to any objective."""

from manymodes.training.checkpoint import Checkpoint
from manymodes.training.history import History
from manymodes.training.loop import fit
from manymodes.training.parquet import ParquetStream
from manymodes.training.run import Interrupted
from manymodes.training.streams import Stream

__all__ = ["Checkpoint", "History", "Interrupted", "ParquetStream", "Stream", "fit"]
