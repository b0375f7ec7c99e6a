"""A22: what is answered about a customer that cannot be loaded.

The reference lets every such check through; here the feature says whether it may, and one that
says nothing may not.
"""

from __future__ import annotations

import pytest

from gateway.app import Runtime
from gateway.errors import UnavailableError
from tests.fixtures.app import Api
from tests.fixtures.shop import done


@pytest.mark.parametrize(
    ("policy", "decided"),
    [
        ({"on_outage": "open"}, (202, True)),
        ({}, (200, False)),
    ],
)
async def test_a22_a_customer_that_cannot_be_loaded_for_now(
    live_runtime: Runtime,
    live_api: Api,
    monkeypatch: pytest.MonkeyPatch,
    policy: dict[str, object],
    decided: tuple[int, bool],
) -> None:
    await define(live_api, **policy)

    async def gone(*_: object) -> None:
        raise UnavailableError("SQL is unavailable; try again")

    monkeypatch.setattr(live_runtime.reader, "load", gone)
    answer = await live_api.call("balances.check", customer_id="cold", feature_id="messages")
    assert (answer.status, answer.body["allowed"]) == decided
    assert (answer.body["balance"], answer.body["flag"]) == (None, None)


async def test_a22_a_customer_that_cannot_be_loaded_for_good(
    live_runtime: Runtime, live_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await define(live_api, on_outage="open")

    async def broken(*_: object) -> None:
        raise RuntimeError("the row makes no sense")

    monkeypatch.setattr(live_runtime.reader, "load", broken)
    answer = await live_api.call("balances.check", customer_id="cold", feature_id="messages")
    assert answer.error == (500, "internal_error")


async def define(api: Api, **policy: object) -> None:
    named = {"feature_id": "messages", "name": "Messages", "type": "metered", "consumable": True}
    await done(api, "features.create", **named, **policy)
