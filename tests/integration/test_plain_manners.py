"""Uses in a manner of their own go the short way too, to the answer of the longer one: under an
idempotency key, by checks that spend, on hold, refused as a whole, by the name of an event.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from msgspec import structs
from redis.exceptions import OutOfMemoryError

from gateway.api.errors import Reply
from gateway.app import Runtime
from gateway.scripts.breaker import Breaker
from gateway.scripts.faults import PipeLostError, PipeUnsentError
from tests.fixtures.gateways import Json
from tests.integration.both_ways import Calls, Header

BOTH = ("ada", "eve")
"""Of two partitions: one knows each lock id once."""
DAY_MS = 86_400_000
CHECK, TRACK = "balances.check", "balances.track"
VERSIONS = (b"2.1", b"2.2", b"2.4.0")


@pytest.fixture
async def calls(live_runtime: Runtime) -> Calls:
    made = Calls(live_runtime)
    for feature in ("calls", "words", "sold", "unused"):
        names = {"event_names": [f"{feature}_used"]} if feature != "unused" else {}
        kind = {"name": feature, "type": "metered", "consumable": True}
        await made.make("features.create", feature_id=feature, **kind, **names)
    await made.make("features.create", feature_id="flag", name="flag", type="boolean")
    await made.make(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    schema = [{"metered_feature_id": "words", "credit_cost": 0.2}]
    await made.make(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=schema,
    )
    month = {"reset": {"interval": "month"}}
    price = {"amount": 1, "interval": "month", "billing_method": "usage_based", "billing_units": 1}
    items = [
        {"feature_id": "flag"},
        {"feature_id": "calls", "included": 50, **month},
        {"feature_id": "words", "included": 7, **month},
        {"feature_id": "credits", "included": 5, **month},
        {"feature_id": "sold", "included": 5, "price": price},
    ]
    await made.make("plans.create", plan_id="pro", name="Pro", items=items)
    for customer in BOTH:
        whose = {"customer_id": customer}
        await made.make("customers.get_or_create", **whose)
        await made.make("billing.attach", **whose, plan_id="pro")
        await made.make("entities.create", **whose, entity_id="s", feature_id="seats")
        own = {"entity_id": "s", "feature_id": "calls", "included_grant": 30}
        await made.make("balances.create", **whose, **own)
        await made.make("balances.track", **whose, feature_id="words")  # in use from now on
    await live_runtime.catalog.refresh()
    for version in VERSIONS:  # one is known once it was served
        await made.ask_longer(CHECK, (b"x-api-version", version), body=b"{}")
    return made


_OWN = {"customer_id", "id", "balance_id", "next_reset_at", "resets_at"}


def alike(shown: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what two customers are told alike, in its order: names and times are their own."""
    if isinstance(shown, list):
        return [alike(one) for one in shown]
    if not isinstance(shown, dict):
        return shown
    return [(name, alike(value)) for name, value in shown.items() if name not in _OWN]


def told(reply: Reply) -> tuple[int, Any, list[Header]]:
    """Return what a caller sees of an answer; of headers the request id is its own."""
    headers = [(name, b"" if name == b"x-request-id" else value) for name, value in reply.headers]
    return reply.status, alike(json.loads(reply.body)), sorted(headers)


async def both(
    calls: Calls, name: str, *headers: Header, is_plain: bool = True, **body: object
) -> tuple[int, Json, bool]:
    """Ask for one customer the short way and for its twin the longer one; return what both were
    told: status, body, and whether it is told again.
    """
    asked, twin = (json.dumps({"customer_id": one, **body}).encode() for one in BOTH)
    way = await calls.ask(name, *headers, body=asked)
    longer = await calls.ask_longer(name, *headers, body=twin)
    assert told(way.reply) == told(longer), body
    assert way.is_plain is is_plain, body
    is_replayed = (b"idempotency-replayed", b"true") in way.reply.headers
    return way.reply.status, json.loads(way.reply.body), is_replayed


def key(name: str) -> Header:
    return (b"idempotency-key", name.encode())


TRACKS: list[dict[str, Any]] = [
    {"feature_id": "calls", "value": 2},
    {"feature_id": "calls", "value": 2, "entity_id": "s"},
    {"feature_id": "calls", "value": -1},
    {"feature_id": "calls", "value": 3, "properties": {"a": "b", "é": [1, 2]}},
    {"feature_id": "calls", "value": 3, "overage_behavior": "reject"},
    {"feature_id": "calls", "value": 1.5, "timestamp": 1_700_000_000_000.0},
    {"feature_id": "sold", "value": 9, "overage_behavior": "overflow"},
    {"feature_id": "words", "value": 6},
    {"event_name": "calls_used", "value": 2},
    {"event_name": "words_used", "value": 6, "entity_id": "s"},
    {"feature_id": "calls", "value": 4, "lock": {"lock_id": "of track"}},
    {"feature_id": "calls", "customer_data": {"name": "A"}},
    {"feature_id": "calls", "value": 2, "async": True},
    {"event_name": "words_used", "value": 6, "async": True, "entity_id": "s"},
]
SPENDS: list[dict[str, Any]] = [
    {"feature_id": "calls", "send_event": True},
    {"feature_id": "calls", "send_event": True, "required_balance": 2.5, "entity_id": "s"},
    {"feature_id": "words", "send_event": True, "required_balance": 5},
    {"feature_id": "words", "send_event": True, "required_balance": 5, "properties": {"a": 1}},
    {"feature_id": "calls", "lock": {"lock_id": "of check", "enabled": True}},
    {
        "feature_id": "calls",
        "required_balance": 1000,
        "lock": {"lock_id": "capped", "enabled": True, "overage_behavior": "cap"},
    },
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_use_in_any_manner_goes_the_short_way_to_the_same_answer(
    calls: Calls, version: bytes
) -> None:
    asked = (b"x-api-version", version)
    for name, bodies in ((TRACK, TRACKS), (CHECK, SPENDS)):
        for body in bodies:
            held = "lock" in body
            usual = 202 if "async" in body else 200
            status, shown, _ = await both(calls, name, asked, **body)
            assert status == usual, shown
            # The second is filled into the first, or refused: its lock is there.
            status, shown, _ = await both(calls, name, asked, is_plain=not held, **body)
            assert status == (409 if held else usual), shown


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_key_is_honoured_alike_both_ways(calls: Calls, version: bytes) -> None:
    asked = (b"x-api-version", version)
    for number, (name, body) in enumerate(
        [*((TRACK, body) for body in TRACKS), *((CHECK, body) for body in SPENDS)]
    ):
        once = (asked, key(f"k{number}"))
        first = await both(calls, name, *once, **body)
        assert (first[0], first[2]) == (202 if "async" in body else 200, False), first
        assert await both(calls, name, *once, **body) == (first[0], first[1], True)
        amount = "value" if name == TRACK else "required_balance"
        status, shown, _ = await both(calls, name, *once, is_plain=False, **(body | {amount: 7}))
        assert (status, shown["code"]) == (409, "duplicate_idempotency_key")


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_one_way_keeps_the_other_tells_again(calls: Calls, version: bytes) -> None:
    asked = (b"x-api-version", version)
    for number, (name, fields) in enumerate([(TRACK, TRACKS[0]), (CHECK, SPENDS[0])]):
        body = json.dumps({"customer_id": "ada", **fields}).encode()
        short, longer = key(f"short{number}"), key(f"longer{number}")
        first = (await calls.ask(name, asked, short, body=body)).reply
        again = await calls.ask_longer(name, asked, short, body=body)
        assert (again.body, again.headers[1]) == (first.body, (b"idempotency-replayed", b"true"))
        first = await calls.ask_longer(name, asked, longer, body=body)
        way = await calls.ask(name, asked, longer, body=body)
        assert (way.is_plain, way.reply.body) == (True, first.body)
        assert way.reply.headers[1] == (b"idempotency-replayed", b"true")


async def test_the_key_may_stand_in_the_body_or_in_both_places(calls: Calls) -> None:
    body: dict[str, Any] = {"feature_id": "calls", "value": 2, "idempotency_key": "own"}
    for number, headers in enumerate([(), (), (key("own"),)]):
        _, shown, is_replayed = await both(calls, TRACK, *headers, **body)
        assert (shown["balance"]["usage"], is_replayed) == (2, number > 0)
    other = await both(calls, TRACK, key("other"), is_plain=False, **body)
    assert (other[0], other[2]) == (200, True)
    status, _, _ = await both(calls, TRACK, is_plain=False, **(body | {"value": 3}))
    assert status == 409


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_body_is_carried_out_under_its_own_key(calls: Calls, version: bytes) -> None:
    """What stands around the key of a body is known, so the key is not all that could differ."""
    asked = (b"x-api-version", version)
    body: dict[str, Any] = {"feature_id": "calls", "properties": {"a": 1}}
    for number in range(1, 5):
        named = body | {"idempotency_key": f"own {number}"}
        status, shown, is_replayed = await both(calls, TRACK, asked, **named)
        assert (status, shown["balance"]["usage"], is_replayed) == (200, number, False)
    for number in (3, 1):
        named = body | {"idempotency_key": f"own {number}"}
        _, shown, is_replayed = await both(calls, TRACK, asked, **named)
        assert (shown["balance"]["usage"], is_replayed) == (number, True)
    (asking,) = calls.heads.values()
    assert asking is not None
    assert len(asking.keyed) == 1
    others: list[dict[str, Any]] = [
        {**body, "value": 2, "idempotency_key": "own 1"},
        {**body, "properties": {"a": 2}, "idempotency_key": "own 1"},
        {"idempotency_key": "own 1", **body},
    ]
    for other, told in zip(others, (409, 409, 200), strict=True):  # the last says the same
        assert (await both(calls, TRACK, asked, is_plain=told == 200, **other))[0] == told
    nested: dict[str, Any] = {"feature_id": "calls", "properties": {"idempotency_key": "own 1"}}
    for _ in range(2):
        _, _, is_replayed = await both(calls, TRACK, asked, **nested)
        assert not is_replayed


async def test_a_key_in_the_head_and_another_in_the_body_are_two(calls: Calls) -> None:
    body: dict[str, Any] = {"feature_id": "calls", "value": 2}
    for number in range(4):
        own = body | {"idempotency_key": f"own{number}"}
        status, _, is_replayed = await both(calls, TRACK, key(f"own{number}"), **own)
        assert (status, is_replayed) == (200, False)
        await both(calls, TRACK, key("other"), is_plain=False, **own)


async def test_bodies_of_one_call_are_not_remembered(calls: Calls) -> None:
    for body in (
        {"idempotency_key": "own"},
        {"lock": {"lock_id": "l"}},
        {"timestamp": 1_700_000_000_000},
    ):
        sent = json.dumps({"customer_id": "ada", "feature_id": "calls", **body}).encode()
        assert (await calls.ask(TRACK, body=sent)).is_plain
        (asking,) = calls.heads.values()
        assert asking is not None
        assert not asking.uses


async def test_a_refused_use_frees_its_key_and_counts_as_a_denial(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = calls.denials(monkeypatch)
    refused: dict[str, Any] = {"feature_id": "calls", "value": 90, "overage_behavior": "reject"}
    spend: dict[str, Any] = {"feature_id": "calls", "required_balance": 90, "send_event": True}
    for _ in range(2):
        status, shown, _ = await both(calls, TRACK, key("k"), **refused)
        assert (status, shown["code"]) == (400, "insufficient_balance")
        status, shown, is_replayed = await both(calls, CHECK, key("l"), **spend)
        assert (status, shown["allowed"], is_replayed) == (200, False, False)
    kinds = {("sandbox", one, "calls", name): 2 for one in BOTH for name in ("track", "check")}
    assert Counter(denied) == kinds
    for one in BOTH:
        grant = {"feature_id": "calls", "included_grant": 200}
        await calls.make("balances.create", customer_id=one, **grant)
    for name, body, named in ((TRACK, refused, "k"), (CHECK, spend, "l")):
        assert (await both(calls, name, key(named), **body))[0] == 200


async def test_a_repeated_key_is_refused_where_that_is_set(
    live_runtime: Runtime, calls: Calls
) -> None:
    settings = live_runtime.settings
    live_runtime.settings = structs.replace(settings, idempotency="conflict")
    strict = Calls(live_runtime)
    for name, body in ((TRACK, TRACKS[0]), (CHECK, SPENDS[0])):
        assert (await both(strict, name, key(name), **body))[0] == 200
        status, shown, _ = await both(strict, name, key(name), is_plain=False, **body)
        assert (status, shown["code"]) == (409, "duplicate_idempotency_key")


LONGER: list[tuple[str, dict[str, Any]]] = [
    (TRACK, {"feature_id": "calls", "dry_run": True}),
    (TRACK, {"feature_id": "unused"}),
    (TRACK, {"feature_id": "flag", "overage_behavior": "reject"}),
    (TRACK, {"event_name": "nothing"}),
    (TRACK, {"event_name": "calls_used", "overage_behavior": "reject"}),
    (TRACK, {"feature_id": "calls", "overage_behavior": "all"}),
    (TRACK, {"feature_id": "calls", "idempotency_key": ""}),
    (TRACK, {"feature_id": "calls", "idempotency_key": "k" * 256}),
    (TRACK, {"feature_id": "calls", "timestamp": 9e15}),
    (TRACK, {"feature_id": "calls", "lock": {"lock_id": "l", "expires_at": 1}}),
    (TRACK, {"feature_id": "seats", "lock": {"lock_id": "l"}}),
    (CHECK, {"feature_id": "flag", "send_event": True}),
    (CHECK, {"feature_id": "calls", "lock": {"lock_id": "l", "enabled": False}}),
    (CHECK, {"feature_id": "calls", "send_event": True, "entity_id": "nobody"}),
    (CHECK, {"feature_id": "calls", "send_event": True, "with_preview": True}),
    (CHECK, {"feature_id": "calls", "explain": True}),
]


async def test_any_other_use_goes_the_longer_way(calls: Calls) -> None:
    for name, body in LONGER:
        await both(calls, name, is_plain=False, **body)
        await both(calls, name, key("k"), is_plain=False, **body)


@pytest.mark.parametrize(
    ("fault", "status"), [(PipeLostError, 503), (PipeUnsentError, 503), (OutOfMemoryError, 503)]
)
async def test_a_fault_is_told_alike_both_ways(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, fault: type[Exception], status: int
) -> None:
    """A call whose outcome nobody knows may be repeated under a key, and only so."""
    asked: list[tuple[str, dict[str, Any]]] = [(TRACK, TRACKS[4]), (CHECK, SPENDS[0])]
    for name, body in asked:
        await both(calls, name, **body)
    pipe = calls.runtime.pipe

    def send(_: bytes, receiver: Any) -> None:  # noqa: ANN401 - as the pipe's
        asyncio.get_running_loop().call_soon(receiver, fault("it is cut"))

    monkeypatch.setattr(pipe, "send", send)
    monkeypatch.setattr(Breaker, "failed", lambda *_: None)
    for name, body in asked:
        for headers in ((), (key("k"),)):
            found, _, _ = await both(calls, name, *headers, **body)
            is_certain = name == CHECK and fault is not PipeLostError
            assert found == (200 if is_certain else status)  # such a check is answered with no


async def test_a_customer_that_is_missing_is_created_the_longer_way(calls: Calls) -> None:
    body: dict[str, Any] = {"feature_id": "calls", "customer_data": {"name": "New"}}
    for name in (TRACK, CHECK):
        sent = json.dumps({"customer_id": f"new_{name[9:]}", **body}).encode()
        ways = [await calls.ask(name, key("k"), body=sent) for _ in range(2)]
        assert [(way.reply.status, way.is_plain) for way in ways] == [(200, False), (200, True)]
