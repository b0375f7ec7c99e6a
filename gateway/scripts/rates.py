"""How many calls are allowed of whom, and what one request is counted by.

A limit is so many calls in each second or minute of the clock. A counter is a window's end and the
calls counted in it, under a key of its own that expires two windows after the first: nothing grows
with calls. It is read before a script decides anything, by the same command
(``include/count_call``), so a refused call has changed nothing, and no process counts apart.

The first script of a request that can count takes its ticket; whatever comes after it in the same
request is not counted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from gateway import metrics
from gateway.errors import RateLimitError
from gateway.keys import Key, calls_key, key_calls_key
from gateway.scripts.calls import Status

WINDOWS_MS = {"second": 1_000, "minute": 60_000}

_MEANT = {
    "key": "this API key may make {} calls",
    "publishable_key": "this publishable key may make {} calls",
    "customer": "this customer may be checked and tracked {} times",
}


class Limit(NamedTuple):
    """So many calls in each window, of one ``key``, ``publishable_key`` or ``customer``."""

    of: str
    calls: int
    window_ms: int


class Limits(NamedTuple):
    """The limits there are."""

    key: Limit | None = None
    publishable_key: Limit | None = None
    customer: Limit | None = None


class Terms(NamedTuple):
    """What one call is counted by: the places of the counters, and the limits in their order."""

    keys: tuple[Key, ...]
    limits: tuple[Limit, ...]

    @property
    def suffix(self) -> str:
        """What follows the time in the argument of ``count_call``."""
        return "".join(f" {limit.calls}/{limit.window_ms}" for limit in self.limits)


class Standing(NamedTuple):
    """How a call stands with the limit that is closest to its end."""

    limit: Limit
    left: int
    resets_ms: int
    refused: bool


class Ticket:
    """What one request is counted by, once; ``is_carried`` says that the plain way has counted it
    and handed it on.
    """

    __slots__ = ("_key_id", "_limits", "_now_ms", "_of_key", "is_carried", "is_taken", "standing")

    def __init__(self, limits: Limits, key_id: str, now_ms: int, *, public: bool) -> None:
        """Keep who asks; ``public`` says that it is with a publishable key."""
        self._limits = limits
        self._key_id = key_id
        self._now_ms = now_ms
        self._of_key = limits.publishable_key if public else limits.key
        self.is_carried = False
        self.is_taken = False
        self.standing: Standing | None = None

    def apart(self) -> Ticket:
        """Return the ticket of a part of the request that counts for its own customer alone."""
        limits = Limits(customer=self._limits.customer)
        return Ticket(limits, self._key_id, self._now_ms, public=False)

    def take(self, customer: Key | None = None) -> Terms | None:
        """Take the ticket for a script, which counts for a customer if its hash is given; None
        where there is nothing to count.
        """
        if self.is_taken:
            return None
        terms = terms_of(self._of_key, self._key_id, self._limits.customer, customer)
        self.is_taken = bool(terms.limits)
        return terms if terms.limits else None

    def argument(self, terms: Terms) -> str:
        """Return the argument of ``count_call``."""
        return f"{self._now_ms}{terms.suffix}"

    def settle(self, terms: Terms, reply: Sequence[Any]) -> Any:  # noqa: ANN401 - that of a script
        """Return what the script said that was asked to count. Raises ``RateLimitError``."""
        self.standing = standing_of(terms.limits, reply)
        if self.standing.refused:
            raise refusal(self.standing)
        return reply[-1]


TICKET: ContextVar[Ticket | None] = ContextVar("ticket", default=None)
"""The ticket of the request this task works for; None where nothing is limited."""


def count_apart() -> None:
    """Let what follows in this task count for its own customer, as a part of a request."""
    ticket = TICKET.get()
    if ticket is not None:
        TICKET.set(ticket.apart())


def limit_of(of: str, text: str) -> Limit | None:
    """Return the limit a setting names, as in ``100/second``; None for an empty one."""
    if not text:
        return None
    calls, _, window = text.partition("/")
    return Limit(of, int(calls), WINDOWS_MS[window])


def terms_of(
    of_key: Limit | None, key_id: str, of_customer: Limit | None, customer: Key | None
) -> Terms:
    """Return what a call with an API key is counted by; ``customer`` is the hash of the customer it
    counts for, if it does.
    """
    keys: list[Key] = []
    limits: list[Limit] = []
    if of_key is not None:
        keys.append(key_calls_key(key_id))
        limits.append(of_key)
    if of_customer is not None and customer is not None:
        keys.append(calls_key(customer))
        limits.append(of_customer)
    return Terms(tuple(keys), tuple(limits))


def standing_of(limits: Sequence[Limit], reply: Sequence[Any]) -> Standing:
    """Return how a call stands by the reply of a script that counted it: the limit that has the
    least left or, of those that refuse it, the one that does so for longest.
    """
    refused, told = reply[0] == Status.LIMITED, reply[1]
    standings = [
        Standing(limit, told[2 * at], told[2 * at + 1], refused) for at, limit in enumerate(limits)
    ]
    if refused:
        return max((one for one in standings if not one.left), key=lambda one: one.resets_ms)
    return min(standings, key=lambda one: one.left)


def refusal(standing: Standing) -> RateLimitError:
    """Return the error for a call over its limit, which is counted as refused."""
    limit = standing.limit
    metrics.refused.labels(f"{limit.of}_rate").inc()
    window = next(name for name, length in WINDOWS_MS.items() if length == limit.window_ms)
    meant = _MEANT[limit.of].format(limit.calls)
    return RateLimitError(f"Too many calls: {meant} a {window}; nothing was changed")
