"""What is noted of each request once it is answered: a count, and for some of them a log line.

A line for each request would cost more than the request, so one in so many gets one. An answer 5xx
always does, up to a bound: while a store is down there is one for each request, and a log that
fills up or holds up the loop would be a second fault. The counts are never sampled.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import perf_counter
from typing import Protocol

from gateway import metrics
from gateway.api.errors import Reply
from gateway.api.exchange import Answers, Headers, ReadBody
from gateway.api.operation import Operation

log = logging.getLogger(__name__)

FAULT_LINES_MAX = 100
"""Lines a second for answers 5xx; the metric counts all of them."""


class Whose(Protocol):
    """What knows the environment of a call."""

    @property
    def env(self) -> str:
        """Its environment."""


class Note(Protocol):
    """Notes an answer that was given without ``Noted.answer``."""

    def __call__(self, status: int, began: float, request_id: bytes, whose: Whose, /) -> None:
        """Note it, to a request that began at a time of ``perf_counter``."""


class FaultLines:
    """How many lines faults may still get within this second."""

    def __init__(self) -> None:
        self._second = 0
        self._left = FAULT_LINES_MAX

    def take(self, now: float) -> bool:
        """Take one, if there is one; ``now`` is any clock in seconds that does not go back."""
        if int(now) != self._second:
            self._second, self._left = int(now), FAULT_LINES_MAX
        self._left -= 1
        return self._left >= 0


class Noted:
    """Answers of an exchange, each noted; those nobody waited for any more are not."""

    def __init__(
        self, answers: Answers, operations: Iterable[Operation], *, sample: int = 0
    ) -> None:
        faults = FaultLines()
        self._answer = answers.answer
        self._notes = {
            operation.name: AccessLog(operation.name, faults, sample=sample).note
            for operation in operations
        }

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request."""
        began = perf_counter()
        reply = await self._answer(operation, method, query, headers, read_body)
        self._notes[operation.name](reply.status, began)
        return reply

    def noting(self, operation: str) -> Note:
        """Return what notes answers of an operation that are given without ``answer``."""
        return self._notes[operation]


class AccessLog:
    """Notes the answers of one operation; ``sample`` is how many get one line, 0 for none."""

    def __init__(self, operation: str, faults: FaultLines, *, sample: int) -> None:
        self._operation = operation
        self._count = metrics.requests.of(operation)
        self._faults = faults
        self._sample = self._left = sample

    def note(
        self, status: int, began: float, request_id: bytes = b"", whose: Whose | None = None
    ) -> None:
        """Note an answer to a request that began at a time of ``perf_counter``.

        Without ``whose`` the request is that of the context.
        """
        now = perf_counter()
        self._count.add(status, now - began)
        if status >= 500:
            if self._faults.take(now):
                self._write(logging.WARNING, status, now - began, request_id, whose)
        elif self._sample:
            self._left -= 1
            if not self._left:
                self._left = self._sample
                self._write(logging.INFO, status, now - began, request_id, whose)

    def _write(
        self, level: int, status: int, seconds: float, request_id: bytes, whose: Whose | None
    ) -> None:
        milliseconds = round(seconds * 1000, 3)
        told = {"operation": self._operation, "status": status, "milliseconds": milliseconds}
        named = {"request_id": request_id.decode(), "env": whose.env} if whose is not None else {}
        log.log(level, "%s %d in %s ms", *told.values(), extra=told | named)
