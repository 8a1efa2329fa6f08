"""Who follows a fit: what is called before its first epoch and after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from manymodes.nn import MixtureDensityNetwork
from manymodes.training.run import Callback


class Followers(NamedTuple):
    """Functions that a fit calls: with its network before the first epoch, and with the history after each."""

    starts: tuple[Callable[[MixtureDensityNetwork], object], ...]
    epochs: tuple[Callback, ...]


NOBODY = Followers((), ())


def followers_of(callbacks: Any) -> Followers:
    """Return what a fit calls.

    Args:
        callbacks: Functions of a ``History``, or objects with a method ``on_epoch_end`` of one, and perhaps a method
            ``on_fit_start`` of the network, whose weights are there, but not learned yet.

    Raises:
        TypeError: Something else.
    """
    if isinstance(callbacks, Followers):
        return callbacks
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of functions of a History; got {type(callbacks).__name__}.")
    given = list(callbacks)
    epochs: list[Any] = [getattr(callback, "on_epoch_end", callback) for callback in given]
    for follower in epochs:
        if not callable(follower):
            raise TypeError(
                "callbacks must be functions of a History, or objects with a method on_epoch_end; "
                f"got {type(follower).__name__}."
            )
    starts = (callback.on_fit_start for callback in given if hasattr(callback, "on_fit_start"))
    return Followers(tuple(starts), tuple(epochs))
