"""What the guard reads and writes in Redis, in steps of bounded size.

Everything goes over connections that answer for one and the same server process, which
``Guard`` sees to. Nothing here decides; each call may be repeated.

Failure. Redis gone raises ``RedisError`` and leaves the streams as they were, or raised to where
they belong; a stream is raised only when nothing is left to do in its partition.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.cluster.client import Cluster, apart
from gateway.guard.judgement import Label, Stream
from gateway.guard.server_facts import SECTIONS, ServerFacts, facts_of, parse_info
from gateway.installation import Hold
from gateway.keys import (
    INSTALLATION,
    SCAN_ALL,
    customer_of,
    holds_key,
    outbox_key,
    partition_of_key,
    seal_key,
)
from gateway.outbox import FIELD
from gateway.outbox import customer_of as customer_of_entry

STEP = 128
"""Partitions, or keys, of one round trip: about a millisecond of Redis."""

ENTRIES_STEP = 500
"""Entries of one reply."""

_UNPARSED_INFO = b"INFO"
"""The client would read every line of the reply to the text, once a second, for four of them."""

_Item = TypeVar("_Item")


async def read_facts(client: Redis) -> ServerFacts:
    """Return which server answers."""
    if isinstance(client, Cluster):
        return facts_of(await client.info(*SECTIONS))
    number = client.connection_pool.connection_kwargs.get("db") or 0
    return facts_of(parse_info(await _ask(client, _UNPARSED_INFO, *SECTIONS)), number)


async def read_label(client: Redis) -> Label:
    """Return what the whole of Redis is labelled with."""
    found = await _ask(client, "HMGET", INSTALLATION, "partitions", "identity")
    return Label(*(None if value is None else value.decode() for value in found))


async def read_streams(client: Redis, partitions: Iterable[int]) -> dict[int, Stream]:
    """Return the outboxes with their seals."""
    found: dict[int, Stream] = {}
    for some in steps(partitions, STEP):
        async with client.pipeline(transaction=False) as pipe:
            for at in some:
                pipe.execute_command("XINFO STREAM", outbox_key(at))
                pipe.execute_command("GET", seal_key(at))
            replies = await cast("Any", pipe).execute(raise_on_error=False)
        for at, info, seal in zip(some, replies[::2], replies[1::2], strict=True):
            found[at] = _stream(info, seal)
    return found


async def raise_streams(client: Redis, ends: Mapping[int, str]) -> None:
    """Bring streams up to these ids, so that no new entry hides below them."""
    for some in steps(ends.items(), STEP):
        async with client.pipeline(transaction=False) as pipe:
            for at, end in some:
                # An empty entry with that very id, which nobody reads, leaves the stream just
                # there; XSETID would need the stream to exist and could lower it.
                pipe.execute_command("XADD", outbox_key(at), end, FIELD, b"")
            for reply in await cast("Any", pipe).execute(raise_on_error=False):
                if isinstance(reply, RedisError) and "equal or smaller" not in str(reply):
                    raise reply


async def write_seals(client: Redis, partitions: Iterable[int], identity: str) -> None:
    """Seal partitions as compared with SQL; the first script that would fill an unsealed one is
    refused.
    """
    for some in steps(partitions, STEP):
        async with client.pipeline(transaction=False) as pipe:
            for at in some:
                pipe.execute_command("SET", seal_key(at), identity)
            await cast("Any", pipe).execute()


async def write_label(client: Redis, identity: str, partitions: int) -> None:
    """Label the whole of Redis, once every partition is sealed."""
    await _ask(client, "HSET", INSTALLATION, "identity", identity, "partitions", str(partitions))


async def customers_in(client: Redis, partition: int) -> AsyncIterator[set[tuple[str, str]]]:
    """Yield the customers that the entries of a stream name."""
    start = "-"
    while True:
        entries = await _ask(
            client, "XRANGE", outbox_key(partition), start, "+", "COUNT", ENTRIES_STEP
        )
        if not entries:
            return
        yield set(_named(fields.get(FIELD) for _, fields in entries))
        start = f"({entries[-1][0].decode()}"


async def locks_in(
    client: Redis, partition: int, environments: Collection[str]
) -> dict[tuple[str, str], list[str]]:
    """Return the ids of all locks a partition keeps receipts of, ended ones too, by customer."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for env in environments:
        cursor = 0
        while True:
            place, pairs = await _ask(
                client, "ZSCAN", holds_key(env, partition), cursor, "COUNT", ENTRIES_STEP
            )
            for member, _ in pairs:
                name, customer_id, lock_id = member.decode().split("\t", 2)
                found[name, customer_id].append(lock_id)
            cursor = int(place)
            if cursor == 0:
                break
    return found


async def put_holds(client: Redis, holds: Iterable[tuple[int, Hold]]) -> None:
    """Put back when locks of these partitions expire, unless that is known."""
    for some in steps(holds, STEP):
        async with client.pipeline(transaction=False) as pipe:
            for at, one in some:
                member = f"{one.env}\t{one.customer_id}\t{one.lock_id}"
                pipe.execute_command("ZADD", holds_key(one.env, at), "NX", one.expires_ms, member)
            await cast("Any", pipe).execute()


async def sweep(client: Redis, partitions: Collection[int]) -> Counter[int]:
    """Remove every key of partitions but outbox and seal; return how many customers each had.

    For partitions that have no stream any more, while everything else may still be there.
    """
    customers: Counter[int] = Counter()
    cursor = 0
    while True:
        place, keys = await _ask(client, "SCAN", cursor, "MATCH", SCAN_ALL, "COUNT", ENTRIES_STEP)
        doomed = [key for key in keys if _is_doomed(key, partitions)]
        gone = await _unlink_unrepaired(client, doomed)
        customers.update(partition_of_key(key) or 0 for key in gone if customer_of(key))
        cursor = int(place)
        if cursor == 0:
            return customers


async def _unlink_unrepaired(client: Redis, keys: Sequence[bytes]) -> list[bytes]:
    """Remove keys of partitions that nobody has repaired meanwhile; return which went.

    Raises ``WatchError`` when one is being repaired at that moment.
    """
    places = {key: at for key in keys if (at := partition_of_key(key)) is not None}
    gone: list[bytes] = []
    for server, involved in apart(client, sorted({*places.values()})) if places else ():
        mine = [key for key, at in places.items() if at in involved]
        gone += await _unlink_of(server, involved, mine, places)
    return gone


async def _unlink_of(
    server: Redis, involved: Sequence[int], keys: Sequence[bytes], places: Mapping[bytes, int]
) -> list[bytes]:
    pipe: Any
    async with server.pipeline(transaction=True) as pipe:
        await pipe.watch(*map(seal_key, involved), *map(outbox_key, involved))
        seals = await pipe.mget(map(seal_key, involved))
        ends = [await pipe.exists(outbox_key(at)) for at in involved]
        states = zip(involved, seals, ends, strict=True)
        broken = {at for at, seal, end in states if seal is None or not end}
        gone = [key for key in keys if places[key] in broken]
        pipe.multi()
        if gone:
            pipe.unlink(*gone)
            await pipe.execute()
    return gone


def steps(items: Iterable[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield items in lists of at most ``size``."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


async def _ask(client: Redis, *words: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
    return await cast("Any", client).execute_command(*words)


def _stream(info: Any, seal: Any) -> Stream:  # noqa: ANN401 - replies, or what came instead
    if isinstance(seal, Exception):
        raise seal
    text = None if seal is None else seal.decode()
    if isinstance(info, ResponseError) and "no such key" in str(info):
        return Stream(seal=text)
    if isinstance(info, Exception):
        raise info
    first = info["first-entry"]
    return Stream(
        first[0].decode() if first else None,
        info["last-generated-id"].decode(),
        info["length"],
        info.get("entries-added", info["length"]),
        text,
    )


def _named(payloads: Iterable[bytes | None]) -> Iterator[tuple[str, str]]:
    for payload in payloads:
        try:
            env, customer_id = customer_of_entry(payload or b"")
        except (IndexError, UnicodeDecodeError):
            continue  # the mark of an earlier repair, or what would become a dead letter
        if customer_id:
            yield env, customer_id


def _is_doomed(key: bytes, partitions: Collection[int]) -> bool:
    at = partition_of_key(key)
    if at is None or at not in partitions:
        return False
    return key not in {outbox_key(at).encode(), seal_key(at).encode()}
