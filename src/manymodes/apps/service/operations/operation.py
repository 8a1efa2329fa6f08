"""What all questions to a model share: what they are asked with, and how numbers are read and given back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from manymodes import _checks
from manymodes.apps.service.models import Served
from manymodes.apps.service.refusals import shown
from manymodes.apps.service.strict_json import finite
from manymodes.distributions import Prediction
from manymodes.estimators.predictions import DensityRegressorMixin
from manymodes.estimators.tables.numbers import Floats

MOST_NUMBERS = 200_000  # of one answer


class Predicted(DensityRegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A density that is there already, asked by the methods of an estimator.

    Args:
        density: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        target_names: Names of the targets, D of them.
        allow_missing_targets: Whether targets may be unknown where they are scored.
    """

    def __init__(self, density: Prediction, target_names: Sequence[str], *, allow_missing_targets: bool) -> None:
        self.density = density
        self.target_names = target_names
        self.allow_missing_targets = allow_missing_targets
        self.target_ndim_, self.target_names_ = 2, list(target_names)

    def fit(self, X: Any, y: Any) -> Self:
        """Return the estimator as it is: scikit-learn takes nothing for one that cannot be fitted."""
        return self

    @property
    def rows(self) -> Floats:
        """Stands for the features, (N, 0), of which nothing needs to be known any more."""
        return np.empty((self.density.batch_shape[0], 0))

    def iter_distributions(self, X: Any, *, batch_size: int = 1024, first_row: int = 0) -> Iterator[Prediction]:
        """Yield the density."""
        yield self.density

    @property
    def _n_targets(self) -> int:
        return len(self.target_names_ or ())

    def _density(self, x: Any) -> Prediction:
        return self.density


@dataclass(frozen=True, eq=False)
class Asked:
    """What a question asks beside its rows.

    Attributes:
        settings: What holds for all rows; questions with the same settings may be answered together.
        of_rows: Numbers of each row, (N, ...), if it has some.
    """

    settings: tuple[Any, ...] = ()
    of_rows: Floats | None = None


class Operation(ABC):
    """A question that a model answers row by row. Abstract.

    Attributes:
        name: Its name in addresses.
        key: Under which name answers come.
        summary: What it returns, in a sentence.
        cost: How much a row takes, in rows of quick answers.
        splits: Whether rows of one question may be answered one after another.
        fewest: How many options must be given, whichever they are.
    """

    name: str
    key: str
    summary: str
    cost = 1
    splits = True
    fewest = 0

    def is_rowwise(self, asked: Asked) -> bool:
        """Whether the bits of a row's answer do not depend on other rows that are asked with it."""
        return True

    @abstractmethod
    def options(self, served: Served) -> dict[str, Any]:
        """Return JSON schemas of the options by name."""

    def required(self, served: Served) -> list[str]:
        """Return the names of options that must be given."""
        return []

    @abstractmethod
    def entry(self, served: Served) -> dict[str, Any]:
        """Return the JSON schema of the answer for a row."""

    @abstractmethod
    def read(self, options: Mapping[str, Any], served: Served, n_rows: int) -> Asked:
        """Return what options of a request ask.

        Raises:
            ValueError: Options out of range.
            TypeError: Options of another type.
        """

    @abstractmethod
    def answer(self, predicted: Predicted, asked: Asked) -> list[Any]:
        """Return what goes to JSON for each row, N of them."""


def refuse_many(name: str, count: int, each: int) -> None:
    """Refuse what would make an answer of too many numbers."""
    if count * each > MOST_NUMBERS:
        raise _checks.InputError(
            f"{name} must be such that an answer has at most {MOST_NUMBERS} numbers; got {count} times {each} of "
            "them. Ask for fewer, or with fewer rows."
        )


def by_target(predicted: Predicted, values: Floats) -> list[dict[str, Any]]:
    """Return values, (N, D, ...), by the names of the targets, for each row."""
    names = predicted.target_names_ or []
    return [dict(zip(names, row, strict=True)) for row in listed(values)]


def listed(values: Floats) -> list[Any]:
    """Return an array as lists, with null for what is not finite."""
    numbers: list[Any] = values.tolist()
    return numbers if np.isfinite(values).all() else finite(numbers)


def number_between(name: str, value: Any, low: float, high: float, *, including: Sequence[float] = ()) -> float:
    """Return an option that is a number, see ``_checks.number_between``; what is none is shown shortened."""
    if not isinstance(value, (int, float)):
        raise _checks.InputError(f"{name} must be a number from {low:g} to {high:g}; got {shown(value)}.")
    return _checks.number_between(name, value, low, high, including=including)


def whole(name: str, value: Any) -> int:
    """Return an option that is a whole number; 5.0 is one in JSON."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value // 1:
        raise _checks.InputError(f"{name} must be a whole number; got {shown(value)}.")
    return int(value)


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """Return an option that is one of some names."""
    if isinstance(value, str) and value in options:
        return value
    raise _checks.InputError(f"{name} must be one of {_checks.quoted(options)}; got {shown(value)}.")


def as_number(value: Any) -> float | None:
    """Return a value of a target; None where it is no number, or too large."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= _checks.LARGEST else None
