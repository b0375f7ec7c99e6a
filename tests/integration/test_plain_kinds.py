"""Every kind of feature goes the short way, to the answer of the longer one: flags, unlimited ones,
credits and those who spend them, what is limited, and what expires.
"""

from __future__ import annotations

import json

import pytest

from gateway.api.plain import uses
from gateway.app import Runtime
from tests.fixtures.gateways import Json
from tests.integration.both_ways import Calls

BOTH = ("ada", "bob")
KINDS = (
    *("flag", "granted", "endless", "words", "letters"),
    *("credits", "capped", "sold", "mixed", "rolling"),
)

ROLLING = {"feature_id": "rolling"}


@pytest.fixture
async def calls(live_runtime: Runtime) -> Calls:
    made = Calls(live_runtime)
    for feature in ("endless", "words", "letters", "capped", "sold", "mixed", "rolling"):
        await made.make(
            "features.create", feature_id=feature, name=feature, type="metered", consumable=True
        )
    for feature in ("flag", "granted", "absent"):
        await made.make("features.create", feature_id=feature, name=feature, type="boolean")
    await made.make(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    schema = [
        {"metered_feature_id": "words", "credit_cost": 0.2},
        {"metered_feature_id": "letters", "credit_cost": 3},
    ]
    await made.make(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=schema,
    )
    month = {"reset": {"interval": "month"}}
    price = {"amount": 1, "interval": "month", "billing_method": "usage_based", "billing_units": 1}
    await made.make(
        "plans.create",
        plan_id="pro",
        name="Pro",
        items=[
            {"feature_id": "flag"},
            {"feature_id": "endless", "unlimited": True},
            {"feature_id": "words", "included": 7, **month},
            {"feature_id": "credits", "included": 50, **month},
            {"feature_id": "capped", "included": 100, **month},
            {"feature_id": "sold", "included": 5, "price": price},
            {"feature_id": "mixed", "included": 9, **month},
            {"feature_id": "mixed", "included": 4},
            {
                "feature_id": "rolling",
                "included": 20,
                "reset": {"interval": "week"},
                "rollover": {"expiry_duration_type": "month", "expiry_duration_length": 2},
            },
        ],
        billing_controls={
            "usage_limits": [
                {"feature_id": "capped", "limit": 10, "interval": "day", "enabled": True}
            ]
        },
    )
    later = live_runtime.clock.now_ms("sandbox") + 3_600_000
    for customer in BOTH:
        whose = {"customer_id": customer}
        await made.make("customers.get_or_create", **whose)
        await made.make("entities.create", **whose, entity_id="s", feature_id="seats")
        await made.make("billing.attach", **whose, plan_id="pro")
        await made.make("balances.create", **whose, feature_id="granted", expires_at=later)
        grant = {"feature_id": "mixed", "included_grant": 3, "expires_at": later}
        await made.make("balances.create", **whose, **grant)
        await made.make("balances.track", **whose, feature_id="letters")  # in use from now on
    await live_runtime.catalog.refresh()
    return made


_OWN = {"customer_id", "id", "balance_id", "next_reset_at", "resets_at", "expires_at"}


def alike(shown: Json) -> Json:
    """Return what two customers are told alike: neither names nor times are."""
    if isinstance(shown, list):
        return [alike(one) for one in shown]
    if not isinstance(shown, dict):
        return shown
    return {name: alike(value) for name, value in shown.items() if name not in _OWN}


async def both(calls: Calls, name: str, version: bytes, **body: object) -> tuple[Json, bool]:
    """Return what a customer is answered, and whether that was the short way; the longer one says
    the same, of a track to its twin.
    """
    header = (b"x-api-version", version)
    asked, twin = (json.dumps({"customer_id": one, **body}).encode() for one in BOTH)
    way = await calls.ask(name, header, body=asked)
    is_check = name == "balances.check"
    longer = await calls.ask_longer(name, header, body=asked if is_check else twin)
    assert way.reply.status == longer.status == 200, (body, way.reply.body)
    assert [*json.loads(way.reply.body)] == [*json.loads(longer.body)]
    answer, other = json.loads(way.reply.body), json.loads(longer.body)
    assert alike(answer) == alike(other), body
    assert not is_check or answer == other
    return answer, way.is_plain


@pytest.mark.parametrize("version", [b"2.1", b"2.3"])
@pytest.mark.parametrize("scope", [{}, {"entity_id": "s"}])
async def test_each_kind_is_answered_alike_however_often_it_is_used(
    calls: Calls, version: bytes, scope: dict[str, str]
) -> None:
    await calls.ask_longer("balances.check", (b"x-api-version", version), body=b"{}")
    for feature in KINDS:
        body = {"feature_id": feature, **scope}
        for _ in range(2):
            for required in (1, 3, 1_000_000):
                for _ in range(2):  # the second is answered as the first
                    seen = await both(
                        calls, "balances.check", version, required_balance=required, **body
                    )
                    assert seen[1], feature
            for value in (1, 2.5, 4, 30):
                _, is_plain = await both(calls, "balances.track", version, value=value, **body)
                assert is_plain is (feature not in {"flag", "granted"})


@pytest.mark.parametrize("version", [b"2.1", b"2.3"])
async def test_what_rolled_over_is_answered_alike_until_it_is_spent(
    calls: Calls, version: bytes
) -> None:
    await calls.ask_longer("balances.check", (b"x-api-version", version), body=b"{}")
    await calls.make("clock.advance", by="8d")
    for customer in BOTH:  # rolls over with the first call
        await calls.make("balances.track", customer_id=customer, feature_id="rolling")
    for value, over, left in ((4, 15, 35), (10, 5, 25), (7, 0, 18), (1, 0, 17)):
        track = await both(calls, "balances.track", version, feature_id="rolling", value=value)
        for answer, is_plain in (track, await both(calls, "balances.check", version, **ROLLING)):
            balance = answer["balance"]
            (rolled,) = balance["rollovers"]
            assert (rolled["granted"], rolled["balance"], balance["remaining"]) == (20, over, left)
            assert is_plain


async def test_a_flag_is_there_until_it_expires(calls: Calls, live_runtime: Runtime) -> None:
    async def granted() -> bool:
        answer, _ = await both(calls, "balances.check", b"2.3", feature_id="granted")
        return bool(answer["allowed"]) and answer["flag"] is not None

    await both(calls, "balances.check", b"2.3", feature_id="flag")
    assert [await granted(), await granted()] == [True, True]
    await calls.make("clock.advance", by="2h")
    assert [await granted(), await granted()] == [False, False]
    absent, is_plain = await both(calls, "balances.check", b"2.3", feature_id="absent")
    assert (absent["allowed"], absent["flag"], is_plain) == (False, None, False)


async def test_long_answers_are_not_remembered(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "ANSWER_BYTES_MAX", 1_000)
    kept = {}
    for feature in ("flag", "mixed"):
        body = json.dumps({"customer_id": "ada", "feature_id": feature}).encode()
        assert (await calls.ask("balances.check", body=body)).is_plain
        (asking,) = calls.heads.values()
        assert asking is not None
        kept[feature] = len(asking.uses[body].answer)
    assert kept["flag"] > kept["mixed"] == 0


async def test_a_flag_that_is_there_is_no_denial(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = calls.denials(monkeypatch)
    for _ in range(2):
        body = json.dumps({"customer_id": "ada", "feature_id": "flag"}).encode()
        way = await calls.ask("balances.check", body=body)
        assert (way.is_plain, json.loads(way.reply.body)["allowed"]) == (True, True)
    assert not denied
    nobody = json.dumps({"customer_id": "eve", "feature_id": "flag"}).encode()
    await calls.make("customers.get_or_create", customer_id="eve")
    way = await calls.ask("balances.check", body=nobody)
    assert (way.is_plain, json.loads(way.reply.body)["allowed"]) == (True, False)
    assert denied == [("sandbox", "eve", "flag", "check")]


async def test_each_no_is_a_denial_until_it_is_a_yes(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second no is answered as the first."""
    denied = calls.denials(monkeypatch)
    await calls.make("customers.get_or_create", customer_id="eve")
    asked: list[Json] = [{"feature_id": name} for name in ("flag", "capped", "words")]
    for body in (*asked, {"feature_id": "capped", "send_event": True}):
        for number in (1, 2, 3):
            sent = json.dumps({"customer_id": "eve", **body}).encode()
            way = await calls.ask("balances.check", body=sent)
            assert json.loads(way.reply.body)["allowed"] is False
            assert denied == number * [("sandbox", "eve", body["feature_id"], "check")]
        denied.clear()
    await calls.make("billing.attach", customer_id="eve", plan_id="pro")
    for body in asked:
        sent = json.dumps({"customer_id": "eve", **body}).encode()
        way = await calls.ask("balances.check", body=sent)
        assert json.loads(way.reply.body)["allowed"] is True
    assert not denied


async def test_what_is_left_together_is_told_after_a_part_of_it_has_expired(calls: Calls) -> None:
    async def left() -> object:
        answer, _ = await both(calls, "balances.check", b"2.3", feature_id="mixed")
        return answer["balance"]["remaining"]

    assert [await left(), await left()] == [16, 16]
    await calls.make("clock.advance", by="2h")
    assert [await left(), await left()] == [13, 13]


async def test_what_is_remembered_of_a_member_ends_when_its_system_changes(calls: Calls) -> None:
    async def required() -> object:
        answer, _ = await both(
            calls, "balances.check", b"2.3", feature_id="letters", required_balance=2
        )
        return answer["required_balance"]

    assert [await required(), await required()] == [6, 6]
    schema = [{"metered_feature_id": "letters", "credit_cost": 4}]
    await calls.make("features.update", feature_id="credits", credit_schema=schema)
    assert [await required(), await required()] == [8, 8]
