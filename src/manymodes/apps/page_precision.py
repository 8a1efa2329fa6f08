"""The numbers of a fitted model at the precision at which its report holds them, so that both are one model."""

from __future__ import annotations

from manymodes.apps.files import Columns
from manymodes.estimators import MDNRegressor
from manymodes.pages.living.weights import bits_in_page, rounded_network
from manymodes.training.randomness import seeded

MOST_CHANGE = 1e-3  # nats on average: far less than a score is known to
_ROWS = 500  # that tell what changes
_ROOM = 1_980_000  # bytes of numbers, which all but reports of very many categories have room for


def round_as_pages_do(model: MDNRegressor, X: Columns) -> str | None:
    """Round the weights of a model as far as its report has to, and return a sentence about it.

    They stay as they are, and None is returned, where all of them fit into a page, where the model is too large for
    any, and where log densities, each at a draw from it, would change by more than ``MOST_CHANGE`` on average: narrow
    densities need more digits.

    Args:
        model: A fitted model.
        X: Features of some rows in random order; the first of them tell what changes.
    """
    bits, exact = bits_in_page(model.network_, _ROOM), model.network_
    if bits is None:
        return None
    rows = {name: column[:_ROWS] for name, column in X.items()}
    before = model.predict_distribution(rows)
    y = before.sample(generator=seeded(0))
    model.network_ = rounded_network(exact, bits)
    change = float((model.predict_distribution(rows).log_prob(y) - before.log_prob(y)).abs().mean())
    if not change <= MOST_CHANGE:
        model.network_ = exact
        return None
    return (
        f"The weights of the hidden layers are rounded to {bits} bits, for which a report has room; "
        f"log densities change by {change:.1g} nats by that, on average."
    )
