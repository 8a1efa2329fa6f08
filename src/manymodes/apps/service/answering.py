"""Answers to several questions by one forward pass, made in the worker thread."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from manymodes import _checks
from manymodes.apps.service.models import Served
from manymodes.apps.service.operations import Asked, Predicted
from manymodes.apps.service.questions import Question
from manymodes.apps.service.refusals import UNUSABLE, Refusal
from manymodes.distributions import Prediction

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a question.

    Attributes:
        question: The question.
        first: Number of the first of them.
        last: Number after the last of them.
    """

    question: Question
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def columns(self) -> list[list[Any]]:
        """Values of each feature."""
        return [values[self.first : self.last] for values in self.question.columns]


Answer = list[str] | Exception


@torch.inference_mode()  # a tenth faster than without gradients alone
def answer(served: Served, parts: Sequence[Part]) -> list[Answer]:
    """Return the answers to parts of questions, in their order: JSON for each row, or why there are none.

    All of them share one forward pass. Where it fails, each is tried by itself, so that one question cannot spoil the
    answers to others.
    """
    try:
        columns = [list(chain.from_iterable(values)) for values in zip(*(part.columns for part in parts), strict=True)]
        density = served.density(columns)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach other questions
        return [_failed(error)] if len(parts) == 1 else [answer(served, [part])[0] for part in parts]
    answers: list[Answer] = [[] for _ in parts]
    for places, rows in _together(parts, density):
        group = [parts[place] for place in places]
        for place, found in zip(places, _answer_group(served, density, group, rows), strict=True):
            answers[place] = found
    return answers


def _together(parts: Sequence[Part], density: Prediction) -> Iterable[tuple[list[int], list[int]]]:
    """Return the places of parts that are answered together, and the rows of the density that are theirs.

    Those are parts of quick questions with the same settings, but for angles, whose last bits depend on other rows.
    """
    is_exact = "angle" not in density.kinds
    groups: dict[Any, tuple[list[int], list[int]]] = {}
    first = 0
    for place, part in enumerate(parts):
        question = part.question
        shares = is_exact and question.operation.is_rowwise(question.asked)
        key = (question.operation.name, question.asked.settings, -1 if shares else place)
        places, rows = groups.setdefault(key, ([], []))
        places.append(place)
        rows.extend(range(first, first + len(part)))
        first += len(part)
    return groups.values()


def _answer_group(served: Served, density: Prediction, group: Sequence[Part], rows: Sequence[int]) -> list[Answer]:
    try:
        own = density if len(rows) == density.batch_shape[0] else density[torch.tensor(rows)]
        entries = _entries(served, own, group)
    except Exception as error:  # noqa: BLE001 - as above
        if len(group) == 1:
            return [_failed(error)]
        starts = [sum(len(part) for part in group[:place]) for place in range(len(group))]
        return [
            _answer_group(served, density, [part], rows[start : start + len(part)])[0]
            for start, part in zip(starts, group, strict=True)
        ]
    texts = iter([json.dumps(entry, allow_nan=False) for entry in entries])
    return [[next(texts) for _ in range(len(part))] for part in group]


def _entries(served: Served, density: Prediction, group: Sequence[Part]) -> list[Any]:
    """Return what goes to JSON for each row of questions with the same settings."""
    predicted = Predicted(density, served.targets, allow_missing_targets=served.allows_missing_targets)
    first = group[0].question
    given = [
        torch.from_numpy(part.question.asked.of_rows[part.first : part.last])
        for part in group
        if part.question.asked.of_rows is not None
    ]
    asked = Asked(first.asked.settings, torch.cat(given).numpy() if given else None)
    return first.operation.answer(predicted, asked)


def _failed(error: Exception) -> Exception:
    """Return what a question is told: what the user got wrong, in a sentence, or else that something failed here."""
    if isinstance(error, _checks.InputError):
        return Refusal(UNUSABLE, str(error))
    _LOG.error("an answer failed", exc_info=error)
    return error
