"""Questions that wait for a model together are answered together; none waits for others to come."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Executor
from typing import Any

from manymodes.apps.service.answering import Part, answer
from manymodes.apps.service.limits import Limits
from manymodes.apps.service.models import Served
from manymodes.apps.service.questions import Question
from manymodes.apps.service.refusals import BUSY, RETRY_AFTER, Refusal

BATCH = 256  # rows of quick answers in one forward pass, or fewer of slow ones


class Batcher:
    """The questions that wait for one model.

    While one batch is answered in the worker thread, others wait here and become the next one. A long question is
    answered in parts, and goes to the end of the queue after each, so that short ones need not wait for all of it.

    Args:
        served: The model.
        worker: Where answers are made: one thread, which all models share.
        limits: How many may wait, and how long.
    """

    def __init__(self, served: Served, worker: Executor, limits: Limits) -> None:
        self.served, self.worker, self.limits = served, worker, limits
        self._waiting: deque[Question] = deque()
        self._work: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether no more questions may wait."""
        return len(self._waiting) >= self.limits.waiting

    async def answer(self, question: Question) -> list[str]:
        """Return the answers to a question: JSON for each row.

        Raises:
            Refusal: Too many questions wait, or the answer takes too long; or what the user got wrong.
        """
        if self.is_full:
            sentence = f"at most {self.limits.waiting} requests may wait for a model; got one more. Try again later."
            raise Refusal(BUSY, sentence, RETRY_AFTER)
        self._waiting.append(question)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._answer_all())
        expiry = question.future.get_loop().call_later(self.limits.seconds, self._expire, question.future)
        try:
            return await question.future
        finally:
            expiry.cancel()
            question.future.cancel()  # nobody waits for it any more

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            sentence = f"an answer must take at most {self.limits.seconds:g} s; this one takes longer."
            future.set_exception(Refusal(BUSY, f"{sentence} Ask with fewer rows, or later.", RETRY_AFTER))

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while parts := self._next_parts():
                for part, found in zip(
                    parts, await loop.run_in_executor(self.worker, answer, self.served, parts), strict=True
                ):
                    self._take(part, found)
        finally:
            self._work = None

    def _next_parts(self) -> list[Part]:
        """Return what is answered next: parts of the questions that have waited longest."""
        parts: list[Part] = []
        budget, unfinished = BATCH, []
        while self._waiting and budget > 0:
            question = self._waiting.popleft()
            if question.future.done():  # expired, or the client went away
                continue
            first, operation = question.first, question.operation
            most = max(1, budget // operation.cost) if operation.splits else question.n_rows
            question.first = last = min(question.n_rows, first + most)
            parts.append(Part(question, first, last))
            budget -= (last - first) * operation.cost
            if last < question.n_rows:
                unfinished.append(question)
        self._waiting.extend(unfinished)
        return parts

    def _take(self, part: Part, found: list[str] | Exception) -> None:
        question = part.question
        if question.future.done():
            return
        if isinstance(found, Exception):
            question.first = question.n_rows
            question.future.set_exception(found)
            return
        question.entries += found
        if part.last == question.n_rows:
            question.future.set_result(question.entries)
