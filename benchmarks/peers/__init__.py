"""Fit time and held-out score of other libraries' defaults beside ours, in one run."""
