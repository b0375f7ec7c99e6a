"""The outbox streams as the writer sees them: read after a place, look, trim.

Redis is asked here and nowhere else in ``persistence``. What one call to ``read`` returns is
bounded in entries and in bytes, whatever waits and however large its entries are. Nothing here
knows what an entry means, and nothing is trimmed above the place the caller names.

Failure: Redis gone raises one of ``REDIS_FAULTS`` and leaves the streams as they were; each call
may be repeated. Streams of a server of a Cluster that is gone, while others answer, are left out:
``away`` has them, and they are not read before ``inspect`` has found them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.cluster.client import Cluster
from gateway.cluster.refusals import is_away
from gateway.cluster.topology import told_of
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.stream_ids import BEGINNING, place
from persistence.sync.intake import Received

_log = logging.getLogger(__name__)

REDIS_FAULTS = (RedisError, OSError)

_PIECE_ENTRIES = 256
"""Entries of one reply; an entry is at most as large as the largest request body."""

_SMALL_BYTES = 2_048
_PIECE_OF_SMALL_ENTRIES = 512
"""Of a reply where the entries before it were no larger than that."""

_ALIKE_MS = 1_000
"""Streams whose next entries are no further apart are served alike."""

_READ_BYTES = 16 * 1024 * 1024
"""A batch that has as much as this takes no further piece."""

_LOOK_MS = 20
_LOOK_MAX_MS = 100
"""Between two looks at the streams of a Cluster, longer each time nothing has come: a look at 64 of
them costs the writer one to two milliseconds.
"""

_UNPARSED_XREAD = b"XREAD"
"""The client knows a command by its text, and hands out the reply to any other as it came: to make
a dictionary of each entry is an eighth of a read."""

_new = tuple.__new__
_partition = attrgetter("partition")


class StreamInfo(NamedTuple):
    """What a stream holds; ``first`` is None when that is nothing."""

    length: int
    first: str | None
    last: str
    """The newest id it ever gave."""


class Asker(Protocol):
    """A connection that asks for many things at a tenth of what the client would cost."""

    async def ask_all(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Return the replies to commands that leave together, a fault in place of its reply."""


class StreamReader:
    """The outbox streams behind one client.

    The client's replies are bytes, and its socket timeout is above the longest block. What is asked
    of each stream goes through the ``pipe``, where there is one.
    """

    def __init__(self, client: Redis, pipe: Asker | None = None) -> None:
        self._client: Any = client
        self._pipe = pipe
        self._piece_max = _PIECE_ENTRIES
        self.away: dict[int, Exception] = {}
        """Partitions of a Cluster whose server did not answer for them, with what came instead."""
        self._away_since = 0.0
        self._told: list[int] = []

    @property
    def away_seconds(self) -> float:
        """How long some are away: nothing is known of what their streams got meanwhile."""
        return asyncio.get_running_loop().time() - self._away_since if self.away else 0.0

    async def read(
        self, after: Mapping[int, str], *, entries_max: int, block_ms: int = 0
    ) -> list[Received]:
        """Return what follows the places, stream after stream: some of each, and more of those that
        are furthest behind.

        It is at most ``entries_max``, or one of each stream if there are more streams than that.
        """
        received: list[Received] = []
        more = chosen = {at: start for at, start in after.items() if at not in self.away}
        read_bytes = 0
        # A stream that gave as many as it might may have more.
        while more and (len(received) + len(chosen) <= entries_max or not received):
            count = max(1, min(self._piece_max, entries_max - len(received)) // len(chosen))
            piece = await self._read_piece(chosen, count, 0 if received else block_ms)
            more = {at: more[at] for at in more.keys() - chosen.keys()}
            for at, given in piece.items():
                received += given
                read_bytes += sum([len(one.payload or b"") for one in given])
                if len(given) >= count:
                    more[at] = given[-1].stream_id
            is_small = 0 < read_bytes <= _SMALL_BYTES * len(received)
            self._piece_max = _PIECE_OF_SMALL_ENTRIES if is_small else _PIECE_ENTRIES
            if read_bytes >= _READ_BYTES:
                break
            chosen = _furthest_behind(more)
        # What one stream wrote lies close together in SQL too: rows cost a seventh less there.
        received.sort(key=_partition)
        return received

    async def _read_piece(
        self, places: Mapping[int, str], count: int, block_ms: int
    ) -> dict[int, list[Received]]:
        keys = {_key(at): at for at in places}
        received: dict[int, list[Received]] = {}
        for reply in await self._ask(keys, places, count, block_ms):
            for key, entries in reply.items() if isinstance(reply, Mapping) else reply or ():
                at = keys[key]
                received[at] = _rising(at, _flat(entries), places[at])
        return received

    async def _ask(
        self, keys: Mapping[bytes, int], places: Mapping[int, str], count: int, block_ms: int
    ) -> list[Any]:
        """Return the replies of one XREAD, or where streams may be on several servers of a Cluster
        of one for each: none of these can wait, so they are asked again and again.
        """
        if not isinstance(self._client, Cluster):
            block = ("BLOCK", block_ms) if block_ms else ()
            asked = ("COUNT", count, *block, "STREAMS", *keys, *places.values())
            return [await self._client.execute_command(_UNPARSED_XREAD, *asked)]
        waited_ms, pause_ms = 0, _LOOK_MS
        each = {at: ("COUNT", count, "STREAMS", key, places[at]) for key, at in keys.items()}
        while True:
            found = self._heard(await self._ask_each(_UNPARSED_XREAD, each))
            replies = [*map(_answer, found.values())]
            if any(replies) or waited_ms >= block_ms:
                return replies
            each = {at: each[at] for at in found}
            await asyncio.sleep(pause_ms / 1000)
            waited_ms += pause_ms
            pause_ms = min(2 * pause_ms, _LOOK_MAX_MS)

    async def inspect(self, partitions: Iterable[int]) -> dict[int, StreamInfo]:
        """Return the state of streams; of no others is known from then on whether they are away."""
        asked = {at: (outbox_key(at),) for at in partitions}
        self.away = {at: fault for at, fault in self.away.items() if at in asked}
        replies = self._heard(await self._ask_each("XINFO STREAM", asked))
        found = {at: _stream_info(reply) for at, reply in replies.items()}
        self._tell_away()
        return found

    async def oldest_ms(self, cursors: Mapping[int, str]) -> int | None:
        """Return the time of the oldest entry behind its cursor, None if there is none."""
        asked = {
            at: (outbox_key(at), f"({cursor}", "+", "COUNT", 1)
            for at, cursor in cursors.items()
            if at not in self.away
        }
        replies = self._heard(await self._ask_each("XRANGE", asked))
        found = map(_answer, replies.values())
        times = [place(reply[0][0].decode())[0] for reply in found if reply]
        return min(times, default=None)

    async def now_ms(self) -> int:
        """Return the time of the server, by which entries get their ids."""
        (reply,) = (await self._ask_each("TIME", {0: ()})).values()
        seconds, microseconds = _answer(reply)
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def trim(self, cursors: Mapping[int, str]) -> set[int]:
        """Remove what lies below each cursor; return where that has to wait for a server.

        The cursor's own entry stays: a reader of an older state of SQL sees by it that what lay
        between is gone (lua/include/newer_entry.lua).
        """
        asked = {
            at: (outbox_key(at), "MINID", "=", cursor)
            for at, cursor in cursors.items()
            if at not in self.away
        }
        replies = await self._ask_each("XTRIM", asked)
        # A server whose disk is full refuses this, and may be read all the same.
        waits = {at for at, reply in replies.items() if self._is_away(reply)}
        for at in replies.keys() - waits:
            _answer(replies[at])
        return waits | (cursors.keys() & self.away.keys())

    async def _ask_each(
        self, command: str | bytes, asked: Mapping[int, tuple[str | bytes | int, ...]]
    ) -> dict[int, Any]:
        """Return the replies to one command for some streams, a fault in place of its reply."""
        if not asked:
            return {}
        if self._pipe is not None:
            each = [(*command.split(), *words) for words in asked.values()]
            return dict(zip(asked, await self._pipe.ask_all(each), strict=True))
        async with self._client.pipeline(transaction=False) as pipe:
            for words in asked.values():
                pipe.execute_command(command, *words)
            return dict(zip(asked, await pipe.execute(raise_on_error=False), strict=True))

    def _heard(self, replies: dict[int, Any]) -> dict[int, Any]:
        """Leave out what is of servers that are away, unless nobody answers."""
        away = {at: reply for at, reply in replies.items() if self._is_away(reply)}
        if away and not self.away:
            self._away_since = asyncio.get_running_loop().time()
        self.away = {at: fault for at, fault in self.away.items() if at not in replies} | away
        return {at: replies[at] for at in replies if at not in away} or replies

    def _tell_away(self) -> None:
        before, self._told = self._told, sorted(self.away)
        if self._told and self._told != before:
            fault = told_of(self.away[self._told[0]])
            _log.warning("partitions %s wait for their server: %s", self._told, fault)
        elif before and not self._told:
            _log.warning("no partition waits for its server any more")

    def _is_away(self, reply: Any) -> bool:  # noqa: ANN401 - a reply, or what came instead
        return isinstance(self._client, Cluster) and is_away(reply)


@cache
def _key(partition: int) -> bytes:
    return str(outbox_key(partition)).encode()


def _furthest_behind(places: Mapping[int, str]) -> dict[int, str]:
    """Return the streams that are as old as the oldest, all of them as a rule. Where more comes
    than a writer can carry, the busiest would else wait alone for all that is too much.
    """
    times = {at: place(stream_id)[0] for at, stream_id in places.items()}
    latest = min(times.values(), default=0) + _ALIKE_MS
    return {at: places[at] for at, time_ms in times.items() if time_ms <= latest}


def _rising(partition: int, entries: list[Any], after: str) -> list[Received]:
    """Leave out what is delivered a second time: a stream's ids rise from its place."""
    reached = place(after)
    kept = []
    for name, fields in entries:
        stream_id = name.decode()
        here = place(stream_id)
        if here > reached:
            reached = here
            # Made by hand it costs half.
            kept.append(_new(Received, (partition, stream_id, _payload(fields))))
    return kept


def _payload(fields: Any) -> bytes | None:  # noqa: ANN401 - of a reply
    found: bytes | None
    if isinstance(fields, list) and len(fields) == 2:
        name, found = fields
        return found if name == FIELD else None
    if isinstance(fields, list):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    found = fields.get(FIELD)
    return found


def _flat(entries: list[Any]) -> list[Any]:
    # One of the client's four reply forms wraps the entries once more.
    return entries[0] if entries and not isinstance(entries[0][0], bytes) else entries


def _answer(reply: Any) -> Any:  # noqa: ANN401 - a reply, or what came instead
    if isinstance(reply, Exception):
        raise reply
    return reply


def _stream_info(reply: Any) -> StreamInfo:  # noqa: ANN401 - a reply, or what came instead
    if isinstance(reply, ResponseError) and "no such key" in str(reply):
        return StreamInfo(0, None, BEGINNING)
    facts = _answer(reply)
    if isinstance(facts, list):  # as it comes before RESP3
        facts = dict(zip(facts[::2], facts[1::2], strict=True))
    if b"length" in facts:  # as it comes, where the client has not put it into texts
        facts = {name.decode(): value for name, value in facts.items()}
    first, last = facts["first-entry"], facts["last-generated-id"]
    return StreamInfo(facts["length"], first[0].decode() if first else None, last.decode())
