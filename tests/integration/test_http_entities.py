"""Entities over HTTP, on real parts, where two calls about one of them meet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.app import Runtime
from gateway.scripts import Status
from tests.fixtures.app import Api
from tests.fixtures.shop import CUSTOMER, done, refused, seat

BOB = {"customer_id": CUSTOMER, "entity_id": "bob"}


async def test_an_entity_that_is_deleted_before_it_is_shown_was_created_once(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = live_runtime.engine.scripts
    create = scripts.create_entity

    async def create_and_lose(*arguments: Any) -> Status:  # noqa: ANN401 - as the script takes them
        status = await create(*arguments)
        await done(shop, "entities.delete", **BOB)
        return status

    call = {**BOB, "feature_id": "seats", "name": "Bob"}
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "create_entity", create_and_lose)
        first = await shop.send("entities.create", json.dumps(call).encode(), idempotency_key="k")
    again = await shop.send("entities.create", json.dumps(call).encode(), idempotency_key="k")

    assert (first.status, first.body["name"], first.body["balances"]) == (200, "Bob", {})
    assert (again.headers["idempotency-replayed"], again.body) == ("true", first.body)
    assert (await refused(shop, "entities.get", entity_id="bob"))[0] == 404
    await seat(shop, "bob")
