"""One loop that fits any network of this package to any objective."""

from manymodes.training.checkpoint import Checkpoint
from manymodes.training.history import History
from manymodes.training.loop import fit
from manymodes.training.rows.parquet import ParquetStream
from manymodes.training.rows.streams import Stream
from manymodes.training.run import Interrupted

__all__ = ["Checkpoint", "History", "Interrupted", "ParquetStream", "Stream", "fit"]
