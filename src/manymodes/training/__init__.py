"""One loop that fits any network of this package to any objective."""

from manymodes.training.checkpoint import Checkpoint
from manymodes.training.history import History
from manymodes.training.loop import fit
from manymodes.training.rows.parquet import ParquetStream
from manymodes.training.rows.partition import Partition
from manymodes.training.rows.streams import Stream
from manymodes.training.run import Callback, Interrupted

__all__ = ["Callback", "Checkpoint", "History", "Interrupted", "ParquetStream", "Partition", "Stream", "fit"]
