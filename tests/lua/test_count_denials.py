"""``count_denials``: a count arrives once, however often its process sends it."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.keys import denials_key
from gateway.outbox import Denied, Entry, EntryKind, decode, join
from gateway.scripts import Scripts, Status
from tests.lua.world import CUSTOMER, ENV, KEYS, NOW_MS, PARTITION
from tests.property.state import read_outbox

KEEP_MS = 5_000
LINE = Denied(ENV, CUSTOMER, "messages", "check", NOW_MS - NOW_MS % 86_400_000, 3)


async def _send(client: Redis, number: int, process: str = "den_1") -> Status:
    header = "\t".join(("denials", "", "", "", "0", str(NOW_MS), process))
    entry = f"{header}\n{join('Q', *LINE)}"
    key = denials_key(PARTITION, process)
    return await Scripts(client).count_denials(KEYS.outbox, key, number, KEEP_MS, entry)


async def _entries(client: Redis) -> list[Entry]:
    return [decode(PARTITION, *one) for one in await read_outbox(client, KEYS, "0-0")]


async def test_a_count_becomes_an_outbox_entry(redis_client: Redis) -> None:
    assert await _send(redis_client, 1) is Status.DONE
    (entry,) = await _entries(redis_client)
    assert (entry.kind, entry.customer_id, entry.seq) == (EntryKind.DENIALS, "", 0)
    assert entry.changes == [LINE]


async def test_nothing_but_the_outbox_is_kept_for_ever(redis_client: Redis) -> None:
    await _send(redis_client, 1)
    key = denials_key(PARTITION, "den_1")
    assert set(await redis_client.keys("*")) == {KEYS.outbox.encode(), key.encode()}
    assert 0 < await redis_client.pttl(key) <= KEEP_MS


async def test_a_count_that_is_sent_again_is_not_written_again(redis_client: Redis) -> None:
    assert await _send(redis_client, 1) is Status.DONE
    assert await _send(redis_client, 1) is Status.REPLAYED
    assert await _send(redis_client, 2) is Status.DONE
    assert len(await _entries(redis_client)) == 2


async def test_processes_do_not_mistake_each_other(redis_client: Redis) -> None:
    assert await _send(redis_client, 1) is Status.DONE
    assert await _send(redis_client, 1, "den_2") is Status.DONE
    assert len(await _entries(redis_client)) == 2
