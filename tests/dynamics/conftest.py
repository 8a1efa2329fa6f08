"""A small model of the cart that all tests share."""

from __future__ import annotations

import pytest

from manymodes.datasets import make_slipping_cart
from manymodes.dynamics import TransitionModel


@pytest.fixture(scope="session")
def fitted() -> TransitionModel:
    """Return a small model of the cart."""
    model = TransitionModel(n_members=2, n_components=3, hidden_sizes=(24, 24), random_state=0)
    return model.fit(*make_slipping_cart(600, random_state=0), n_steps=300, batch_size=64, compile=False)
