"""Targets: how they are read, what their values are like, and the families of components that suit them."""
