"""Plain calls where a limit binds them: the same commands with one argument more, and one key for
each limit; the reply says how the call stands before it says what it would have said.

A call that was counted and turns out not to be plain takes its ticket along, so that the longer way
does not count it again.
"""

from __future__ import annotations

from typing import Any

from gateway.api.errors import Reply, error_reply
from gateway.api.plain.calls import Caller, PlainCalls, Told, usual
from gateway.api.rates import rate_headers
from gateway.scripts.pipe import Later
from gateway.scripts.rates import TICKET, Limits, Standing, Ticket, refusal, standing_of


class CountedCalls(PlainCalls):
    """Plain calls, each counted by its own script."""

    def _tell(self, caller: Caller, told: Told, reply: Any) -> Later | None:  # noqa: ANN401 - a reply or a fault
        if isinstance(reply, Exception):
            return super()._tell(caller, told, reply)
        standing = standing_of(self._limits, reply)
        counted = _Counted(caller, standing)
        if standing.refused:
            _, use, *_ = told
            self._end(counted, told, error_reply(refusal(standing), use.plain.env))
            return None
        return super()._tell(counted, told, reply[-1])


class _Counted:
    """A caller that is told how it stands."""

    __slots__ = ("_caller", "_standing")

    def __init__(self, caller: Caller, standing: Standing) -> None:
        self._caller = caller
        self._standing = standing

    def take(self, request_id: bytes, body: bytes) -> None:
        self.end(usual(request_id, body))

    def end(self, reply: Reply) -> None:
        headers = (*reply.headers, *rate_headers(self._standing))
        self._caller.end(reply._replace(headers=headers))

    def go_longer(self) -> None:
        token = TICKET.set(_carried(self._standing))
        try:
            self._caller.go_longer()
        finally:
            TICKET.reset(token)


def _carried(standing: Standing) -> Ticket:
    ticket = Ticket(Limits(), "", 0, public=False)
    ticket.is_taken = ticket.is_carried = True
    ticket.standing = standing
    return ticket
