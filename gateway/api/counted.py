"""Plain calls where a limit binds them: the same commands with one argument more, and one key for
each limit; the reply says how the call stands before it says what it would have said.

A call that was counted and turns out not to be plain takes its ticket along, so that the longer way
does not count it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.api.errors import Reply, error_reply
from gateway.api.plain import PlainCalls, Told
from gateway.api.rates import rate_headers
from gateway.scripts.rates import TICKET, Limits, Standing, Ticket, refusal, standing_of
from gateway.stepping import Done


class CountedCalls(PlainCalls):
    """Plain calls, each counted by its own script."""

    def _tell(
        self,
        done: Done,
        otherwise: Callable[[], Any],
        told: Told,
        answer: Callable[[Any], Reply | None],
        reply: Any,  # noqa: ANN401 - a reply or a fault
    ) -> None:
        if isinstance(reply, Exception):
            super()._tell(done, otherwise, told, answer, reply)
            return
        standing = standing_of(self._packer.limits, reply)

        def tell(answered: Reply, error: BaseException | None) -> None:
            done(answered._replace(headers=(*answered.headers, *rate_headers(standing))), error)

        def hand_on() -> None:
            token = TICKET.set(_carried(standing))
            try:
                otherwise()
            finally:
                TICKET.reset(token)

        def refuse(_: object) -> Reply:
            return error_reply(refusal(standing), told[1])

        super()._tell(tell, hand_on, told, refuse if standing.refused else answer, reply[-1])


def _carried(standing: Standing) -> Ticket:
    ticket = Ticket(Limits(), "", 0, public=False)
    ticket.is_taken = ticket.is_carried = True
    ticket.standing = standing
    return ticket
