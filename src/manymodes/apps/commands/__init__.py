"""The commands, one module each: what they are called with, and what they print. None imports torch by itself."""
