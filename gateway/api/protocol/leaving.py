"""Leave connections without failing a request: each is told with its next answer that it was the
last one.

To close a connection that happens to be idle fails the request that is on its way through it. So
whoever leaves waits for that request, answers it with ``connection: close``, and the client goes
elsewhere. What is pipelined behind it is answered too, and the last of it closes.

It stands in front of the parser of a connection, where uvicorn's protocol asks whether a connection
is kept, on both tiers; so requests cost nothing more while nobody leaves.
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def leave(connection: HttpToolsProtocol) -> None:
    """Keep a connection for one more answer only, or for those that are under way."""
    held = cast("Any", connection)
    if held.parser is not None and not isinstance(held.parser, LastRequest):
        held.parser = LastRequest(held)
        held.knows_heads = False  # of the fast lane: a head it knows says that it is kept


class LastRequest:
    """A parser that keeps no connection; all else is the parser's own."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - internals of uvicorn
        self._parser = connection.parser
        self._connection = connection
        newest = self._open_cycle()
        # Whether it is only for our sake that the newest request closes the connection.
        self._denies = newest is not None and newest.keep_alive
        if self._denies:
            newest.keep_alive = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._parser, name)

    def renew(self, parser: Any) -> None:  # noqa: ANN401 - of a library without types
        """Stand in front of another parser of the connection."""
        self._parser = parser

    def should_keep_alive(self) -> bool:
        """Deny it to the request whose headers are complete, which is the newest now."""
        before = self._open_cycle()
        if self._denies and before is not None:
            before.keep_alive = True
        self._denies = self._parser.should_keep_alive()
        return False

    def _open_cycle(self) -> Any:  # noqa: ANN401 - a cycle of either tier
        """Return the newest request, unless its answer has begun and told already."""
        cycle = self._connection.cycle
        if cycle is None or cycle.response_complete or getattr(cycle, "response_started", False):
            return None
        return cycle
