"""Forecasts: the distribution of what a series will be, step by step, and paths that keep dependence over time."""
