"""Properties that are worked out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

import torch

T = TypeVar("T")


class cached(Generic[T]):  # noqa: N801 - it reads like property
    """A property worked out once and kept; it has no lock, which ``torch.compile`` could not trace."""

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out, self.__doc__ = work_out, work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | Self:
        """Return what is kept, or work it out; Python asks here only while nothing is kept."""
        if instance is None:
            return self
        with torch.enable_grad():  # what is kept outlives a caller's no_grad
            value = self._work_out(instance)
        instance.__dict__[self._name] = value
        return value
