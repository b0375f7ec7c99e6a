"""A head with an idempotency key is known but for that, and each call is carried out under its own
key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.api.protocol import heads as module
from gateway.api.protocol.heads import Heads
from gateway.api.protocol.lane import FastLane
from gateway.app import Runtime
from tests.fixtures.fronts import Front, serving
from tests.integration.both_ways import Calls
from tests.wire import Line, Reply, check_body, request


def heads(front: Front) -> Heads:
    (connection, *_) = front.server.server_state.connections
    assert isinstance(connection, FastLane)
    return connection.heads


async def ask(front: Front, *keys: str, x_other: str = "") -> Heads:
    """Ask under some keys on one connection; return which heads are known by then."""
    line = await front.line()
    for key in keys:
        status = (await line.ask(request(idempotency_key=key, x_other=x_other))).status
        assert status == (200 if 0 < len(key) < 256 else 400)
    return heads(front)


lane_only = pytest.mark.parametrize("front", ["lane"], indirect=True)


@lane_only
async def test_heads_that_differ_in_their_key_are_one(front: Front) -> None:
    found = await ask(front, "a", "b", "c" * 255, 'quoted";,=')
    assert (len(found.known), len(found._around)) == (0, 1)  # noqa: SLF001 - what is known
    sent = request(idempotency_key="d", x_other="")
    end = len(sent) - len(check_body())
    keyed = found.keyed(sent, end)
    assert keyed is not None
    assert keyed[1] == b"d"
    assert found.keyed(sent, end - 2) is None, "only part of it"


@lane_only
async def test_a_key_that_may_be_read_in_two_ways_makes_no_head_known(front: Front) -> None:
    found = await ask(front, "a b", "a\tb", " padded ", "", "k" * 256, "é")
    assert not found._around  # noqa: SLF001 - as above
    twice = request(idempotency_key="a").replace(b"\r\nAuth", b"\r\nIdempotency-Key: b\r\nAuth")
    line = await front.line()
    for _ in range(2):
        assert (await line.ask(twice)).status == 200
    assert not heads(front)._around  # noqa: SLF001 - as above


@lane_only
async def test_so_many_keyed_heads_are_remembered(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEADS_MAX", 2)
    for other in range(5):
        found = await ask(front, "a", x_other=str(other))
        assert 1 <= len(found._around) <= 2  # noqa: SLF001 - as above


@pytest.fixture
async def line(live_runtime: Runtime) -> AsyncIterator[Line]:
    calls = Calls(live_runtime)
    for name in ("calls", "other"):
        feature = {"name": name, "type": "metered", "consumable": True, "event_names": ["used"]}
        await calls.make("features.create", feature_id=name, **feature)
    await calls.make("customers.get_or_create", customer_id="ada")
    grant = {"feature_id": "calls", "included_grant": 100}
    await calls.make("balances.create", customer_id="ada", **grant)
    await live_runtime.catalog.refresh()
    async with serving(live_runtime, "lane") as url:
        made = Line(*await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])))
        yield made
        await made.close()


async def track(line: Line, key: str, **more: Any) -> tuple[int, bool, Any]:  # noqa: ANN401 - JSON
    named = {} if "event_name" in more else {"feature_id": "calls"}
    body = json.dumps({"customer_id": "ada", **named, **more}).encode()
    reply: Reply = await line.ask(request(body, name="balances.track", idempotency_key=key))
    return reply.status, "idempotency-replayed" in reply.headers, reply.json


@pytest.mark.parametrize("more", [{}, {"event_name": "used"}], ids=["plain", "longer"])
async def test_each_call_is_carried_out_under_its_own_key(line: Line, more: dict[str, str]) -> None:
    for value, key in enumerate("abcabc", 1):
        status, is_replayed, _ = await track(line, key, value=(value - 1) % 3 + 1, **more)
        assert (status, is_replayed) == (200, value > 3), key
    status, _, shown = await track(line, "b", value=7, **more)
    assert (status, shown["code"]) == (409, "duplicate_idempotency_key")
    _, _, shown = await track(line, "d", value=1)
    assert shown["balance"]["usage"] == 1 + 2 + 3 + 1
