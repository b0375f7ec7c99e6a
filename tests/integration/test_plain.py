"""Plain calls before every real part: which calls are, and that nobody can tell by the answer."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from msgspec import structs

from gateway import metrics
from gateway.api.errors import Reply
from gateway.api.operation import Operation
from gateway.api.plain import calls as plain
from gateway.api.plain import uses
from gateway.api.plain.uses import Asking
from gateway.app import Runtime
from tests.integration.both_ways import Calls


@pytest.fixture
async def calls(live_runtime: Runtime) -> Calls:
    made = Calls(live_runtime)
    for feature, kind in (("calls", "metered"), ("other", "metered"), ("flag", "boolean")):
        extra = {"consumable": True} if kind == "metered" else {}
        await made.make("features.create", feature_id=feature, name=feature, type=kind, **extra)
    await made.make(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    for customer in ("ada", "bob"):
        await made.make("customers.get_or_create", customer_id=customer)
        await made.make("entities.create", customer_id=customer, entity_id="s", feature_id="seats")
        for held in ({}, {"entity_id": "s"}):
            grant = {"feature_id": "calls", "included_grant": 100}
            await made.make("balances.create", customer_id=customer, **grant, **held)
    await live_runtime.catalog.refresh()
    return made


def body_of(**fields: object) -> bytes:
    return json.dumps({"customer_id": "ada", "feature_id": "calls"} | fields).encode()


PLAIN = {
    "balances.check": [
        body_of(),
        body_of(entity_id="s"),
        body_of(required_balance=2.5),
        body_of(required_balance=0),
        body_of(required_balance=-1),
        body_of(required_balance=None, entity_id=None),
        body_of(required_balance=1e3),
        body_of(send_event=False, with_preview=False),
        body_of(send_event=None),
        b' { "feature_id" : "calls" , "customer_id" : "ada" } ',
    ],
    "balances.track": [
        body_of(),
        body_of(entity_id="s", value=3),
        body_of(value=0.000001),
        body_of(value=-7),
        body_of(value=500),
        body_of(value=1, properties={"model": "small", "n": [1, 2]}),
        body_of(value=1, properties=None),
    ],
}

LONGER = {
    "balances.check": [
        body_of(with_preview=True),
        body_of(explain=True),
        body_of(feature_id="flag"),
        body_of(feature_id="other"),  # nobody has a balance of it yet
        body_of(feature_id="nothing"),
        body_of(customer_id="nobody"),
        body_of(customer_id="no body"),
        body_of(entity_id="nobody"),
        body_of(entity_id=""),
        body_of(required_balance="1"),
        body_of(required_balance=1e300),
        body_of(required_balance=1e-30),
        body_of().replace(b"}", b', "required_balance": %b}' % (b"9" * 5_000)),
        b"",
        b"{",
        b"[1]",
        b"\xff",
        b"[" * 5000,
    ],
    "balances.track": [
        body_of(event_name="calls"),
        body_of(value=1, dry_run=True),
        body_of().replace(b"}", b', "value": %b}' % (b"9" * 5_000)),
        body_of(value=1, properties=[1]),
        body_of(value=1, properties={"a": "\x00"}),
        body_of(value=1, properties={"a": "x" * 20_000}),
        body_of(value=1, properties={"é": 1}, customer_id="nobody"),
    ],
}


def cases(of: dict[str, list[bytes]]) -> list[tuple[str, bytes]]:
    return [(name, body) for name, bodies in of.items() for body in bodies]


def told(reply: Reply) -> tuple[int, Any, list[bytes]]:
    """Return what a caller sees of an answer; names of balances are those of one customer."""
    shown = json.loads(reply.body)
    for found in (shown.get("balance") or {}).get("breakdown", []):
        del found["id"]
    for found in shown.get("deductions", []):
        del found["balance_id"]
    return reply.status, shown, [name for name, _ in reply.headers]


@pytest.mark.parametrize("version", [None, b"2.1", b"2.2", b"2.4.0"])
async def test_a_plain_call_goes_the_short_way_to_the_same_answer(
    calls: Calls, version: bytes | None
) -> None:
    asked = [] if version is None else [(b"x-api-version", version)]
    await calls.ask_longer("balances.check", *asked, body=body_of())
    for name, body in cases(PLAIN):
        way = await calls.ask(name, *asked, body=body)
        longer = await calls.ask_longer(name, *asked, body=body.replace(b'"ada"', b'"bob"'))
        assert way.is_plain, body
        status, shown, headers = told(way.reply)
        assert (status, shown | {"customer_id": "bob"}, headers) == told(longer), body
        assert [*json.loads(way.reply.body)] == [*json.loads(longer.body)], "keys in their order"
        assert ("preview" in shown or "balances" in shown) is (version in (b"2.1", b"2.2"))


@pytest.mark.parametrize("version", [b"1.2", b"2.1"])
async def test_versions_with_shapes_of_their_own_are_answered_in_them(
    calls: Calls, version: bytes
) -> None:
    """None is taken for another because its bodies were remembered."""
    header = (b"x-api-version", version)
    for name in PLAIN:
        keys = [*json.loads((await calls.ask(name, body=body_of())).reply.body)]
        longer = await calls.ask_longer(name, header, body=body_of())
        way = await calls.ask(name, header, body=body_of())
        assert way.is_plain is (version == b"2.1")
        assert [*json.loads(way.reply.body)] == [*json.loads(longer.body)] != keys
        again = await calls.ask(name, body=body_of())
        assert (again.is_plain, [*json.loads(again.reply.body)]) == (True, keys)


async def test_a_body_that_was_asked_before_is_answered_as_before(calls: Calls) -> None:
    for body in PLAIN["balances.check"]:
        first = await calls.ask("balances.check", body=body)
        again = await calls.ask("balances.check", body=body)
        assert again.is_plain, body
        assert told(again.reply) == told(first.reply), body
    used = [await calls.ask("balances.track", body=body_of(value=2)) for _ in range(2)]
    assert [json.loads(way.reply.body)["balance"]["usage"] for way in used] == [2, 4]


async def test_what_is_remembered_of_a_body_ends_with_the_catalog_it_was_read_by(
    calls: Calls,
) -> None:
    for name in PLAIN:
        assert (await calls.ask(name, body=body_of())).is_plain
    schema = [{"metered_feature_id": "calls", "credit_cost": 2}]
    await calls.make(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=schema,
    )
    for name in PLAIN:
        assert not (await calls.ask(name, body=body_of())).is_plain


async def test_a_revoked_key_is_refused_whatever_was_remembered(calls: Calls) -> None:
    assert (await calls.ask("balances.check", body=body_of())).is_plain
    (key,) = await calls.runtime.store.list_keys()
    await calls.runtime.store.revoke_key(key.id)
    await calls.runtime.catalog.refresh()
    way = await calls.ask("balances.check", body=body_of())
    assert (way.is_plain, way.reply.status) == (False, 401)


async def test_heads_that_say_only_whose_call_it_is_are_read_once(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[Any] = []
    read = calls.plain.asking

    def reading(operation: Operation, headers: Any) -> Asking | None:  # noqa: ANN401 - of any kind
        heads.append((operation.name, *headers[1:]))
        return read(operation, headers)

    monkeypatch.setattr(calls.plain, "asking", reading)
    version, mine = (b"x-api-version", b"2.4.0"), (b"x-request-id", b"mine")
    await calls.ask_longer("balances.check", version, body=body_of())
    for _ in range(2):
        for name in PLAIN:
            assert (await calls.answer(name, (b"host", b"a"), body=body_of())).status == 200
            assert (await calls.answer(name, (b"host", b"b"), body=body_of())).status == 200
        assert (await calls.answer("balances.check", version, body=body_of())).status == 200
        reply = await calls.answer("balances.check", mine, body=body_of())
        assert dict(reply.headers)[b"x-request-id"] == b"mine"
    read_once = [(name, (b"host", b"a")) for name in PLAIN]
    each = ("balances.check", mine)
    assert heads == [*read_once, ("balances.check", version), each, each]


async def test_a_head_is_remembered_of_keys_only_and_of_so_many(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "ASKINGS_MAX", 1)
    kept = calls.plain._askings  # noqa: SLF001 - what is remembered
    nobody = (b"authorization", b"Bearer am_sk_test_nobody")
    assert (await calls.answer("balances.check", nobody, body=body_of())).status == 401
    assert not kept
    for name in PLAIN:
        await calls.answer(name, body=body_of())
        assert [operation for operation, *_ in kept] == [name]


async def test_a_remembered_head_of_a_revoked_key_is_refused(calls: Calls) -> None:
    assert (await calls.answer("balances.check", body=body_of())).status == 200
    (key,) = await calls.runtime.store.list_keys()
    await calls.runtime.store.revoke_key(key.id)
    await calls.runtime.catalog.refresh()
    assert (await calls.answer("balances.check", body=body_of())).status == 401


async def test_so_many_bodies_are_remembered_and_none_that_is_long(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "USES_MAX", 2)
    bodies = [body_of(value=value) for value in range(5)]
    bodies.append(body_of(value=7) + b" " * uses.BODY_BYTES_MAX)
    kept: dict[bytes, Any] = {}
    for body in bodies:
        assert (await calls.ask("balances.track", body=body)).is_plain
        (asking,) = calls.heads.values()
        kept = asking.uses if asking is not None else {}
        assert 1 <= len(kept) <= 2
    assert bodies[-1] not in kept


async def test_any_other_call_goes_the_longer_way(calls: Calls) -> None:
    for name, body in cases(LONGER):
        way = await calls.ask(name, body=body)
        longer = await calls.ask_longer(name, body=body)
        assert not way.is_plain, body
        assert told(way.reply) == told(longer), body


async def test_headers_that_ask_for_more_make_a_call_go_the_longer_way(calls: Calls) -> None:
    for header in (
        (b"idempotency-key", b""),
        (b"idempotency-key", b"k" * 256),
        (b"x-durability", b"aof"),
        (b"x-durability", b"disk"),
        (b"x-api-version", b"9999.9.9"),
        (b"authorization", b"Bearer am_sk_test_nobody"),
    ):
        assert not (await calls.ask("balances.check", header, body=body_of())).is_plain, header


async def test_a_level_that_is_reached_anyway_is_no_reason_to_go_the_longer_way(
    calls: Calls,
) -> None:
    for name in PLAIN:
        assert (await calls.ask(name, (b"x-durability", b"memory"), body=body_of())).is_plain


async def test_the_request_id_of_the_caller_comes_back(calls: Calls) -> None:
    way = await calls.ask("balances.check", (b"x-request-id", b"mine"), body=body_of())
    assert dict(way.reply.headers)[b"x-request-id"] == b"mine"
    await calls.ask("balances.track", (b"x-request-id", b"mine"), body=body_of())
    redis: Any = calls.runtime.redis
    entries = [one for stream in await redis.keys("*outbox") for one in await redis.xrange(stream)]
    assert any(fields[b"e"].split(b"\n")[0].endswith(b"\tmine") for _, fields in entries)


async def test_plain_calls_are_counted_once(calls: Calls) -> None:
    count = metrics.requests.of("balances.check").statuses
    before = count.get(200, 0)
    await calls.ask("balances.check", body=body_of())
    assert count[200] == before + 1


async def test_the_line_of_a_plain_call_names_its_request(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    settings = calls.runtime.settings
    calls.runtime.settings = structs.replace(settings, access_log_sample=1)
    caplog.set_level(logging.INFO, "gateway.api.access")
    aloud = Calls(calls.runtime)
    for name in PLAIN:
        assert (await aloud.ask(name, (b"x-request-id", b"mine"), body=body_of())).is_plain

    lines = [vars(line) for line in caplog.records]
    named = [(line["operation"], line["request_id"], line["env"]) for line in lines]
    assert named == [(name, "mine", "sandbox") for name in PLAIN]


async def test_a_denied_plain_check_is_counted_as_a_denial(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = calls.denials(monkeypatch)
    way = await calls.ask("balances.check", body=body_of(required_balance=1_000))
    assert way.is_plain
    assert json.loads(way.reply.body)["allowed"] is False
    assert denied == [("sandbox", "ada", "calls", "check")]


async def test_what_is_not_plain_in_the_reply_is_still_answered_by_it(calls: Calls) -> None:
    await calls.make("balances.create", customer_id="ada", feature_id="calls", unlimited=True)
    before = await commands(calls)
    way = await calls.ask("balances.track", body=body_of(value=5))
    assert way.is_plain
    assert json.loads(way.reply.body)["balance"]["unlimited"] is True
    assert await commands(calls) == before + 1


async def test_a_customer_that_has_to_be_brought_first_is(calls: Calls) -> None:
    await calls.runtime.engine.subjects.caught_up()
    keys = await calls.runtime.redis.keys("*:ada")
    await calls.runtime.redis.delete(*keys)
    way = await calls.ask("balances.check", body=body_of())
    assert not way.is_plain
    assert way.reply.status == 200
    assert (await calls.ask("balances.check", body=body_of())).is_plain


async def test_a_server_that_lost_the_library_gets_it_again(calls: Calls) -> None:
    await calls.runtime.redis.function_flush()
    assert (await calls.ask("balances.track", body=body_of())).reply.status == 200
    assert (await calls.ask("balances.track", body=body_of())).is_plain


async def commands(calls: Calls) -> int:
    stats = await calls.runtime.redis.info("commandstats")
    return int(stats["cmdstat_fcall"]["calls"])
