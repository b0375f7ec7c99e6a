"""Redis is cleared of one feature, and keeps what it has of any other."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.keys import CustomerKeys, customer_keys, locks_key, partition_of, reply_key
from gateway.scripts.clearance import Clearance
from gateway.scripts.residents import Name, Residents

PARTITIONS = 4
ACME = Name("sandbox", "acme")
PARTITION = partition_of(*ACME, PARTITIONS)


@pytest.fixture
def clearance(redis_client: Redis) -> Clearance:
    residents = Residents(redis_client, PARTITIONS)
    return Clearance(residents, "sandbox", "messages")


def keys(env: str = "sandbox") -> CustomerKeys:
    return customer_keys(env, "acme", PARTITIONS)


@pytest.mark.parametrize(
    ("env", "fields", "is_found"),
    [
        ("sandbox", [{"v:messages": "1"}], True),
        ("sandbox", [{"x:messages": "k\t3"}], True),
        ("sandbox", [{}, {"l:messages\tann": "s\t5\t0"}], True),
        ("sandbox", [{"r:other": "row", "n:messages": "1 3"}, {"e:messages": "entity"}], False),
        ("live", [{"v:messages": "1"}], False),
    ],
)
async def test_a_customer_is_found_by_its_amounts_of_the_feature(
    redis_client: Redis,
    clearance: Clearance,
    env: str,
    fields: list[dict[str, str]],
    is_found: bool,
) -> None:
    customer, *entities = fields
    known = {"id": "cus_1", "seq": "1"}
    for key, each in zip(keys(env), [known | customer, *entities], strict=False):
        await redis_client.hset(key, items=[text for pair in each.items() for text in pair])
    assert await clearance.resident() == (ACME if is_found else None)


async def test_receipts_with_units_of_the_feature_go_and_their_holds_stay(
    redis_client: Redis, clearance: Clearance
) -> None:
    head = "acme\t{}\t\t3\t99\t2\tcus_1\t{{}}"
    row = "\n{}\tbal_1\t\t1\t3\t3"
    receipts = {
        "held": head.format("messages") + row.format("messages"),
        "paid": head.format("member") + row.format("messages"),
        "counted": head.format("member") + "\n\tmessages\t\t\t99\t3",
        "ended": "\tacme\tconfirm\t3\tmessages",
        "other": head.format("other") + row.format("other"),
        "ended_other": "\tacme\tconfirm\t3\tother",
    }
    mine = {f"sandbox\t{name}": text for name, text in receipts.items()}
    live = {f"live\t{name}": text for name, text in receipts.items()}
    for at in range(PARTITIONS):
        pairs = [*mine.items(), *live.items()]
        await redis_client.hset(locks_key(at), items=[text for pair in pairs for text in pair])
    await redis_client.zadd(keys().holds, {"sandbox\tacme\theld": 99})
    await clearance.forget_receipts(PARTITIONS)
    for at in range(PARTITIONS):
        left = set(await redis_client.hkeys(locks_key(at)))
        assert left == {b"sandbox\tother", b"sandbox\tended_other", *map(str.encode, live)}
    assert await redis_client.zcard(keys().holds) == 1


async def test_a_reply_in_units_of_the_feature_is_emptied_and_its_key_stays(
    redis_client: Redis, clearance: Clearance
) -> None:
    plain = b"print\n1\x013\x01messages\x04row\x0412 0 0 1 0 0\x04\x01="
    several = b"print\n1\x013\x025\x01other\x04row\x02member\x04r\x03messages\x04row\x01\x02"
    kept = b'print\n200\n{"feature_id":"messages"}'
    other = plain.replace(b"messages", b"messages2")
    texts = {"a": plain, "b": several, "c": kept, "d": other, "e": b"print\n"}
    for env in ("sandbox", "live"):
        for name, text in texts.items():
            await redis_client.set(reply_key(env, "acme", PARTITION, name), text, px=90_000)
    await clearance.forget_replies()

    async def left(env: str) -> dict[str, object]:
        return {
            name: await redis_client.get(reply_key(env, "acme", PARTITION, name)) for name in texts
        }

    assert await left("sandbox") == {**texts, "a": b"", "b": b""}
    assert await left("live") == texts
    assert 0 < await redis_client.pttl(reply_key("sandbox", "acme", PARTITION, "a")) <= 90_000
