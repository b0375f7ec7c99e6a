"""Customers are looked at in small steps."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.scripts import residents as module
from gateway.scripts.residents import Name, Residents


@pytest.mark.redis_kinds("embedded")
async def test_so_many_locks_are_read_at_a_time_and_each_is_its_own(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = redis_client
    residents, name = Residents(client, 4), Name("sandbox", "ada")
    keys = residents.keys_of(name)
    await client.hset(keys.customer, mapping={"id": "cus_1", "seq": "1"})
    await client.hset(keys.locks, mapping={f"sandbox\tlock_{n}": f"receipt {n}" for n in range(5)})
    await client.zadd(
        keys.holds, {f"sandbox\tada\tlock_{n}": 1_700_000_000_000 + n for n in (0, 4)}
    )
    steps: list[int] = []
    ask = residents.ask  # what goes to the server at a time

    async def asking(commands: Any) -> list[Any]:  # noqa: ANN401 - as the real one's
        steps.append(max(len(words) for words in commands))
        return await ask(commands)

    monkeypatch.setattr(residents, "ask", asking)
    monkeypatch.setattr(module, "STEP", 2)
    found = await residents.read(name, [f"lock_{n}" for n in (4, 3, 2, 1, 0, 9)])
    assert found is not None
    assert found.receipts == {f"lock_{n}": f"receipt {n}" for n in range(5)}
    assert found.holds == {"lock_0": 1_700_000_000_000, "lock_4": 1_700_000_000_004}
    assert max(steps) <= 5, "a name, a key and two fields, or a walk over them"
