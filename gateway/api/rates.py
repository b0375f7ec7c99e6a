"""Rate limits over HTTP: which request is counted where, and what its answer says of it.

A check, a track and the reads a page begins with are counted by the script they begin with;
everything else asks for one script before anything is done. What is refused before Redis is asked
(an unknown key, a body that does not fit) is not counted.
"""

from __future__ import annotations

from gateway.api.errors import Headers
from gateway.api.operation import Call, Operation
from gateway.engine.principals import Principal
from gateway.scripts import Scripts
from gateway.scripts.rates import TICKET, Limits, Standing, Ticket

_READS_FIRST = frozenset({"customers.get", "customers.get_or_create", "entities.get"})
"""Operations that begin with a script which only reads."""


class Rates:
    """Lets requests be counted."""

    def __init__(self, scripts: Scripts, limits: Limits) -> None:
        self._admit = scripts.admit
        self._limits = limits

    def ticket(self, principal: Principal, now_ms: int) -> Ticket:
        """Return what a request is counted by, for the scripts of this task too."""
        ticket = TICKET.get()
        if ticket is not None and ticket.is_carried:
            ticket.is_carried = False
            return ticket
        access = principal.access
        public = access is not None and access.public
        ticket = Ticket(self._limits, principal.key_id, now_ms, public=public)
        TICKET.set(ticket)
        return ticket

    async def count(self, operation: Operation, call: Call, request: object) -> None:
        """Count a request that no script of its own will. Raises ``RateLimitError``."""
        if operation.hot:
            return
        is_kept = call.key is not None and not operation.reads(request)
        if is_kept or operation.name not in _READS_FIRST or not _customer_of(request):
            await self._admit()


def _customer_of(request: object) -> object:
    return getattr(request, "customer_id", None)


def rate_headers(standing: Standing) -> Headers:
    """Return the headers that tell how a call stands with its limit."""
    seconds = b"%d" % -(-standing.resets_ms // 1000)
    headers = (
        (b"ratelimit-limit", b"%d" % standing.limit.calls),
        (b"ratelimit-remaining", b"%d" % standing.left),
        (b"ratelimit-reset", seconds),
    )
    return (*headers, (b"retry-after", seconds)) if standing.refused else headers
