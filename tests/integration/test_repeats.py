"""The second answer to a question is filled into the first, before every real part."""

from __future__ import annotations

import json

import pytest

from gateway import metrics
from gateway.api.plain import calls as plain
from gateway.api.plain.answers import Answering
from gateway.app import Runtime
from tests.integration.both_ways import Calls

BODY = json.dumps({"customer_id": "eve", "feature_id": "calls"}).encode()
NAMES = ("balances.check", "balances.track")


@pytest.fixture
async def calls(live_runtime: Runtime) -> Calls:
    made = Calls(live_runtime)
    feature = {"name": "calls", "type": "metered", "consumable": True}
    await made.make("features.create", feature_id="calls", **feature)
    await made.make("customers.get_or_create", customer_id="eve")
    grant = {"feature_id": "calls", "included_grant": 10}
    await made.make("balances.create", customer_id="eve", **grant)
    await live_runtime.catalog.refresh()
    # The first call of all is not plain: a version is known once it was served.
    await made.ask("balances.check", body=BODY)
    return made


@pytest.mark.parametrize("name", NAMES)
async def test_second_answer_is_filled_in(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    way = await calls.ask(name, body=BODY)
    assert way.is_plain
    first = json.loads(way.reply.body)
    monkeypatch.delattr(Answering, "checked")
    monkeypatch.delattr(Answering, "tracked")
    second = json.loads((await calls.ask(name, body=BODY)).reply.body)
    spent = first.get("value", 0)
    assert second["balance"]["remaining"] == first["balance"]["remaining"] - spent
    assert second["balance"]["usage"] == first["balance"]["usage"] + spent


async def test_the_same_reply_to_a_check_is_not_read_again(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    await calls.ask("balances.check", body=BODY)
    second = await calls.ask("balances.check", body=BODY)
    with monkeypatch.context() as patched:
        patched.setattr(plain, "repeated", None)
        third = await calls.ask("balances.check", body=BODY)
    assert third.is_plain
    assert third.reply.body == second.reply.body
    await calls.ask("balances.track", body=BODY)
    fourth = await calls.ask("balances.check", body=BODY)
    left = [json.loads(way.reply.body)["balance"]["remaining"] for way in (third, fourth)]
    assert left == [10, 9]


async def test_every_denied_check_is_counted(calls: Calls) -> None:
    await calls.runtime.engine.denials.stop()  # what it sends is sent once, by whoever sends it
    before = metrics.value_of(metrics.denials)
    body = BODY.replace(b"}", b', "required_balance": 11}')
    for _ in range(5):
        answer = json.loads((await calls.ask("balances.check", body=body)).reply.body)
        assert not answer["allowed"]
    await calls.runtime.engine.denials.flush()
    assert metrics.value_of(metrics.denials) == before + 5


async def test_all_answers_are_those_of_the_longer_way_until_nothing_is_left(calls: Calls) -> None:
    for _ in range(12):
        for body in (BODY, BODY.replace(b"}", b', "required_balance": 3}')):
            short = await calls.ask("balances.check", body=body)
            longer = await calls.ask_longer("balances.check", body=body)
            assert short.is_plain
            assert short.reply.body == longer.body
        tracked = await calls.ask("balances.track", body=BODY)
        assert tracked.is_plain


@pytest.mark.parametrize("name", NAMES)
async def test_fault_while_an_answer_is_filled_in_is_told(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await calls.ask(name, body=BODY)
    await calls.ask("balances.track", body=BODY)  # the same reply is not read again
    monkeypatch.setattr(plain, "repeated", None)
    assert (await calls.ask(name, body=BODY)).reply.status == 500
