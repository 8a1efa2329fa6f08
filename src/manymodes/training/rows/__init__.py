"""What a fit learns from: rows in memory or streamed, how they are split, and the batches that they come in."""
