"""What metrics ask of targets."""

from __future__ import annotations

from manymodes.distributions import Incomplete


def refuse_incomplete(metric: str, y: object, instead: str = "log_score") -> None:
    """Refuse targets that are missing, censored or rounded: only the likelihood, ``instead``, knows what they tell.

    Raises:
        TypeError: Such targets.
    """
    if isinstance(y, Incomplete):
        raise TypeError(f"y must be a tensor of exact targets for {metric}; got Incomplete, which {instead} takes.")
