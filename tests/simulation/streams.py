"""The few commands of Redis streams the writer uses, in memory; replies are those of the server.

``test_streams.py`` runs the same calls on this and on the real servers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ResponseError

from gateway.stream_ids import BEGINNING, place
from tests.unit.persistence.entries import BASE_MS

Entry = tuple[bytes, dict[bytes, bytes]]


class _Stream:
    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes, bytes]] = []
        self.last = BEGINNING

    def after(self, start: str, count: int | None) -> list[Entry]:
        found = [one for one in self.entries if place(one[0]) > place(start)]
        return [(one.encode(), {field: value}) for one, field, value in found[:count]]


class MemoryStreams:
    """The streams of one server."""

    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    async def added(self) -> None:
        """Return when an entry is added to any of them."""
        added = asyncio.get_running_loop().create_future()
        self._waiting.add(added)
        try:
            await added
        finally:
            self._waiting.discard(added)

    def call(self, *words: Any) -> Any:  # noqa: ANN401 - words and replies of any command
        """Answer a command."""
        name, *rest = words
        command = _encoded(name).decode().partition(" ")[0].lower()
        return getattr(self, f"_{command}")(*map(_encoded, rest))

    def _time(self) -> tuple[bytes, bytes]:
        seconds, rest = divmod(asyncio.get_running_loop().time(), 1)
        return _encoded(BASE_MS // 1000 + int(seconds)), _encoded(int(rest * 1_000_000))

    def _xadd(self, key: bytes, stream_id: bytes, field: bytes, value: bytes) -> bytes:
        stream = self._streams.get(key) or _Stream()
        if place(stream_id.decode()) <= place(stream.last):
            raise ResponseError(
                "The ID specified in XADD is equal or smaller than the target stream top item"
            )
        self._streams[key] = stream
        stream.last = stream_id.decode()
        stream.entries.append((stream.last, field, value))
        for added in self._waiting:
            if not added.done():
                added.set_result(None)
        return stream_id

    def _xread(self, *words: bytes) -> dict[bytes, list[Entry]]:
        count = int(words[words.index(b"COUNT") + 1])
        asked = words[words.index(b"STREAMS") + 1 :]
        half = len(asked) // 2
        places = zip(asked[:half], asked[half:], strict=True)
        known = ((key, self._streams.get(key), start.decode()) for key, start in places)
        found = {key: one.after(start, count) for key, one, start in known if one is not None}
        return {key: entries for key, entries in found.items() if entries}

    def _xrange(self, key: bytes, start: bytes, _end: bytes, _word: bytes, count: bytes) -> Any:  # noqa: ANN401
        stream = self._streams.get(key) or _Stream()
        return stream.after(start.decode().removeprefix("("), int(count))

    def _xtrim(self, key: bytes, _kind: bytes, _exactly: bytes, lowest: bytes) -> int:
        stream = self._streams.get(key) or _Stream()
        kept = [one for one in stream.entries if place(one[0]) >= place(lowest.decode())]
        removed = len(stream.entries) - len(kept)
        stream.entries = kept
        return removed

    def _xinfo(self, key: bytes) -> dict[str, Any]:
        stream = self._streams.get(key)
        if stream is None:
            raise ResponseError("no such key")
        first = stream.after(BEGINNING, 1)
        return {
            "length": len(stream.entries),
            "last-generated-id": stream.last.encode(),
            "first-entry": first[0] if first else None,
        }


def _encoded(word: object) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
