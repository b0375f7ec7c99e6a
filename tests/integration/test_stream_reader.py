"""What one read of the streams may bring: bounded in entries and in bytes, fair among streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.scripts.pipe import Pipe
from gateway.stream_ids import BEGINNING
from persistence.sync.intake import Received
from persistence.sync.stream_reader import REDIS_FAULTS, StreamReader
from tests.integration.piping import TIMEOUT_SECONDS
from tests.integration.writing import PARTITIONS, add_entry, lengths

pytestmark = pytest.mark.redis_kinds("embedded", "debian")

_START = dict.fromkeys(PARTITIONS, BEGINNING)
_LARGE = b"x" * (1024 * 1024)


async def _fill(client: Redis, *counts: int, text: bytes = b"text") -> None:
    for at, count in enumerate(counts):
        for number in range(1, count + 1):
            await add_entry(client, at, text, f"{number}-0")


def _counts(received: Sequence[Received]) -> list[int]:
    found = Counter(one.partition for one in received)
    return [found[at] for at in PARTITIONS]


async def test_read_brings_everything_of_few_entries(redis_client: Redis) -> None:
    await _fill(redis_client, 3, 0, 2, 1)
    received = await StreamReader(redis_client).read(_START, entries_max=100)
    assert _counts(received) == [3, 0, 2, 1]
    assert [one.stream_id for one in received if one.partition == 0] == ["1-0", "2-0", "3-0"]


async def test_read_never_brings_more_than_it_may(redis_client: Redis) -> None:
    await _fill(redis_client, 40, 40, 40, 40)
    reader = StreamReader(redis_client)
    for entries_max in (4, 7, 50, 159):
        received = await reader.read(_START, entries_max=entries_max)
        assert len(received) <= entries_max
        assert min(_counts(received)) >= entries_max // 4 // 2


async def test_read_of_more_streams_than_entries_brings_one_of_each(redis_client: Redis) -> None:
    await _fill(redis_client, 5, 5, 5, 5)
    received = await StreamReader(redis_client).read(_START, entries_max=1)
    assert _counts(received) == [1, 1, 1, 1]


async def test_one_busy_stream_gets_the_room_of_the_idle_ones(redis_client: Redis) -> None:
    await _fill(redis_client, 1, 600, 0, 2)
    received = await StreamReader(redis_client).read(_START, entries_max=500)
    assert 400 <= len(received) <= 500
    assert _counts(received)[0::2] == [1, 0]


async def test_what_is_oldest_gets_most_of_the_room(redis_client: Redis) -> None:
    """Or the lateness of all would be that of one customer who is busier than others."""
    for at in PARTITIONS:
        for number in range(300):
            await add_entry(redis_client, at, b"text", f"{number if at == 2 else 9000 + number}-1")
    received = await StreamReader(redis_client).read(_START, entries_max=400)
    counts = _counts(received)
    assert 380 <= sum(counts) <= 400
    assert counts[2] > 150
    assert min(counts) >= 400 // 4 // 2


async def test_what_one_stream_gave_stands_together_in_its_order(redis_client: Redis) -> None:
    await _fill(redis_client, 200, 300, 0, 400)
    received = await StreamReader(redis_client).read(_START, entries_max=800)
    places = [(one.partition, int(one.stream_id.removesuffix("-0"))) for one in received]
    assert places == sorted(places)
    assert len(places) > 512, "one piece would be in this order anyway"


async def test_large_entries_end_a_read_early(redis_client: Redis) -> None:
    await _fill(redis_client, 0, 60, text=_LARGE)
    received = await StreamReader(redis_client).read({1: BEGINNING}, entries_max=8)
    assert len(received) == 8
    reader = StreamReader(redis_client)
    received = await reader.read(_START, entries_max=80)
    assert len(received) < 60
    assert received[-1].stream_id == f"{len(received)}-0"


async def test_entry_without_the_field_has_no_payload(redis_client: Redis) -> None:
    key = outbox_key(0)
    await redis_client.xadd(key, {b"other": b"1"})
    await redis_client.xadd(key, {b"other": b"1", FIELD: b"2"})
    await redis_client.xadd(key, {FIELD: b"3"})
    received = await StreamReader(redis_client).read(_START, entries_max=10)
    assert [one.payload for one in received] == [None, b"2", b"3"]


async def test_trim_keeps_the_entry_at_the_cursor_and_what_follows(redis_client: Redis) -> None:
    await _fill(redis_client, 5, 5)
    await StreamReader(redis_client).trim({0: "3-0", 1: BEGINNING})
    assert await lengths(redis_client) == [3, 5, 0, 0]


async def test_oldest_is_that_behind_the_cursors(redis_client: Redis) -> None:
    await _fill(redis_client, 5, 5)
    reader = StreamReader(redis_client)
    assert await reader.oldest_ms({0: "3-0", 1: "4-0"}) == 4
    assert await reader.oldest_ms({0: "5-0", 2: BEGINNING}) is None
    assert await reader.oldest_ms({}) is None


@pytest.mark.parametrize("protocol", [2, 3])
async def test_what_is_asked_of_each_stream_is_the_same_through_a_pipe(
    redis_server_url: str, protocol: int
) -> None:
    async with Redis.from_url(redis_server_url, protocol=protocol) as client:
        await _fill(client, 3, 0, 2, 1)
        await client.xtrim(outbox_key(3), maxlen=0)
        pipe = Pipe(client.connection_pool, timeout_seconds=TIMEOUT_SECONDS)
        plain, piped = StreamReader(client), StreamReader(client, pipe)
        assert await piped.inspect(PARTITIONS) == await plain.inspect(PARTITIONS)
        assert await piped.inspect([]) == {}
        assert await piped.oldest_ms(_START) == await plain.oldest_ms(_START) == 1
        await piped.trim({0: "3-0", 2: "1-0"})
        assert await lengths(client) == [1, 0, 2, 0]
        assert await piped.oldest_ms(_START) == await plain.oldest_ms(_START) == 1
        await pipe.close()


async def test_a_stream_that_is_none_is_a_fault_through_a_pipe_too(
    redis_server_url: str,
) -> None:
    async with Redis.from_url(redis_server_url) as client:
        await client.set(outbox_key(0), "text")
        pipe = Pipe(client.connection_pool, timeout_seconds=TIMEOUT_SECONDS)
        for reader in (StreamReader(client), StreamReader(client, pipe)):
            for asked in (reader.inspect([0]), reader.oldest_ms(_START), reader.trim(_START)):
                with pytest.raises(REDIS_FAULTS):
                    await asked
        await pipe.close()
