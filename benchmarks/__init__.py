"""Figures that `make bench` measures; speed is never asserted in tests."""
