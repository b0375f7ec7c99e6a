"""Tracks in batches over HTTP, on real parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.app import Runtime
from gateway.engine.claims import Claim
from gateway.errors import UnavailableError, UnknownOutcomeError
from gateway.messages.balances import TrackRequest, TrackResponse
from tests.fixtures.app import Api, FakeApi
from tests.fixtures.shop import CUSTOMER, Json, create, numbers


def item(value: float = 1, **fields: object) -> dict[str, object]:
    return {"customer_id": CUSTOMER, "feature_id": "messages", "value": value, **fields}


async def batch(api: Api, *items: dict[str, object]) -> tuple[int, Json]:
    answer = await api.send("balances.batch_track", json.dumps(items).encode())
    return answer.status, answer.body


async def test_a_batch_is_carried_out(shop: Api) -> None:
    await create(shop, included_grant=20)
    assert await batch(shop, item(5), item(3)) == (202, {"success": True})
    assert await numbers(shop) == (20, 12, 8)
    assert await batch(shop, *[item(0.01)] * 1_000) == (202, {"success": True})
    assert await numbers(shop) == (20, 2, 18)


async def test_tracks_of_one_customer_are_carried_out_in_order(shop: Api) -> None:
    await create(shop, included_grant=20)
    reject = {"overage_behavior": "reject"}
    status, body = await batch(
        shop, item(15, **reject), item(10, **reject), item(-15), item(20, **reject)
    )
    assert (status, body["success"]) == (202, True)
    assert [(one["index"], one["code"]) for one in body["failed"]] == [(1, "insufficient_balance")]
    assert await numbers(shop) == (20, 0, 20)


async def test_what_the_state_refuses_is_named(shop: Api) -> None:
    await create(shop, included_grant=20)
    _, body = await batch(shop, item(5), item(5, customer_id="nobody"), item(5, entity_id="no"))
    assert [(one["index"], one["code"]) for one in body["failed"]] == [
        (1, "customer_not_found"),
        (2, "entity_not_found"),
    ]
    assert await numbers(shop) == (20, 15, 5)


async def test_a_key_of_a_track_counts_once(shop: Api) -> None:
    await create(shop, included_grant=20)
    await batch(
        shop,
        item(3, idempotency_key="k"),
        item(3, idempotency_key="k"),
        item(2, idempotency_key="l"),
    )
    assert await numbers(shop) == (20, 15, 5)


@pytest.mark.parametrize(
    ("items", "status", "message"),
    [
        ([], 400, "input: must have at least 1 elements"),
        ([item()] * 1_001, 400, "input: must have at most 1000 elements"),
        ([item(), {"customer_id": CUSTOMER}], 400, "1: Either feature_id or event_name must be"),
        ([item(), item(event_name="sent")], 400, "1: Either feature_id or event_name must be"),
        ([item(), item(feature_id="nothing")], 404, "1: Feature nothing not found"),
        (
            [item(), {"customer_id": CUSTOMER, "event_name": "none"}],
            404,
            "1: No feature lists the event name none",
        ),
        ([item(), item(1e-9)], 400, "1.value: rounds to zero"),
        ([item(), 5], 400, "1: must be an object"),
    ],
)
async def test_a_batch_with_a_wrong_track_moves_nothing(
    shop: Api, items: list[Any], status: int, message: str
) -> None:
    await create(shop, included_grant=20)
    answer = await batch(shop, *items)
    assert answer[0] == status
    assert answer[1]["message"].startswith(message)
    assert await numbers(shop) == (20, 20, 0)


def failing(runtime: Runtime, patch: pytest.MonkeyPatch, *failures: Exception | None) -> None:
    """Have the tracks of a batch fail as told, one by one."""
    track, left = runtime.engine.track, list(failures)

    async def fail(
        env: str, request: TrackRequest, request_id: str, claim: Claim | None = None
    ) -> TrackResponse:
        failure = left.pop(0)
        if failure is not None:
            raise failure
        return await track(env, request, request_id, claim)

    patch.setattr(runtime.engine, "track", fail)


async def test_a_batch_none_of_which_was_answered_has_an_unknown_outcome(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(live_runtime, monkeypatch, UnavailableError(), UnknownOutcomeError())
    status, body = await batch(shop, item(), item())
    assert (status, body["code"]) == (503, "outcome_unknown")
    failing(live_runtime, monkeypatch, UnavailableError(), UnavailableError())
    status, body = await batch(shop, item(), item())
    assert (status, body["code"]) == (503, "service_unavailable")


async def test_a_fault_of_one_track_is_named_and_the_others_are_carried_out(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(shop, included_grant=20)
    failing(live_runtime, monkeypatch, RuntimeError("a fault"), None)
    _, body = await batch(shop, item(5), item(3))
    assert [(one["index"], one["code"]) for one in body["failed"]] == [(0, "internal_error")]
    assert await numbers(shop) == (20, 17, 3)


async def test_a_batch_needs_a_list(fake_api: FakeApi) -> None:
    for body in (b"", b"{}", b'{"items": []}', b"null"):
        answer = await fake_api.api.send("balances.batch_track", body)
        assert answer.error == (400, "invalid_inputs")
        assert "must be an array" in answer.body["message"]
