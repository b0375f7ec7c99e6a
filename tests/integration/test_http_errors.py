"""Every way a request can be wrong, and that each is answered with its 4xx, never a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import pytest

from gateway import errors
from gateway.api.errors import status_of
from gateway.api.operations import COMMON_ERRORS, OPERATIONS
from tests.fake_engine import CUSTOMER_ID
from tests.fixtures.app import BODY_BYTES_MAX, KEY, Api, FakeApi

CHECK = "balances.check"
TRACK = "balances.track"
INVALID = (400, "invalid_inputs")


def body(**fields: object) -> bytes:
    return json.dumps({"customer_id": CUSTOMER_ID, "feature_id": "messages", **fields}).encode()


def raw(field: str, value: bytes) -> bytes:
    return b'{"customer_id": "cus_1", "feature_id": "messages", "%s": %s}' % (field.encode(), value)


@pytest.fixture(autouse=True)
async def catalog(fake_api: FakeApi) -> None:
    await fake_api.api.call(
        "features.create", feature_id="messages", name="M", type="metered", consumable=True
    )


@pytest.mark.parametrize(
    ("operation", "content", "message"),
    [
        (CHECK, b'{"customer_id": "x",', "not valid JSON: it ends too early"),
        (CHECK, b"{nope}", "not valid JSON"),
        (CHECK, body() + b" x", "not valid JSON: trailing characters"),
        (CHECK, b"[]", "input: must be an object (received array)"),
        (CHECK, b"null", "input: must be an object (received null)"),
        (CHECK, b"", "customer_id: is required"),
        (CHECK, b"{}", "customer_id: is required"),
        (CHECK, b'{"customer_id": "cus_1"}', "feature_id: is required"),
        (CHECK, body(customer_id=5), "customer_id: must be a string (received number)"),
        (CHECK, body(customer_id=None), "customer_id: must be a string (received null)"),
        (CHECK, body(customer_id=""), "customer_id: must be 1 to 255"),
        (CHECK, body(customer_id="a b"), "customer_id: must be 1 to 255"),
        (CHECK, body(customer_id="c" * 300), "customer_id: must be 1 to 255"),
        (CHECK, body(feature_id="f" * 300), "feature_id: must be 1 to 255"),
        (CHECK, body(feature_id=""), "feature_id: must be 1 to 255"),
        (CHECK, body(feature_id="a\tb"), "feature_id: must be 1 to 255"),
        (CHECK, body(entity_id=""), "entity_id: must be 1 to 255"),
        (CHECK, body(entity_id="e" * 300), "entity_id: must be 1 to 255"),
        (CHECK, body(entity_id="a\x85"), "entity_id: must be 1 to 255"),
        (CHECK, body(required_balance="a"), "required_balance: must be a number (received string)"),
        (CHECK, body(required_balance=True), "required_balance: must be a number (received bool"),
        (CHECK, body(send_event="yes"), "send_event: must be a boolean (received string)"),
        (CHECK, body(customer_data={"name": 5}), "customer_data.name: must be a string"),
        (CHECK, body(entity_data={}), "entity_data.feature_id: is required"),
        (CHECK, body(customer_data={"metadata": {"a": "m" * 17_000}}), "metadata: must be at most"),
        (CHECK, raw("required_balance", b"NaN"), "not valid JSON"),
        (CHECK, raw("required_balance", b"1e400"), "required_balance: outside the range"),
        (CHECK, raw("required_balance", b"1e17"), "required_balance: outside the range"),
        (CHECK, raw("required_balance", b"1e-9"), "required_balance: rounds to zero"),
        (TRACK, body(value="5"), "value: must be a number (received string)"),
        (TRACK, raw("value", b"-1e400"), "value: outside the range"),
        (TRACK, raw("value", b"1" * 100), "value: a number has at most 64 characters"),
        (TRACK, body(feature_id=None), "Either feature_id or event_name must be provided"),
        (TRACK, body(event_name="x"), "Either feature_id or event_name must be provided"),
        (TRACK, body(feature_id=None, event_name=""), "event_name: must be 1 to 255"),
        (TRACK, body(timestamp=0), "timestamp: must be greater than 0"),
        (TRACK, body(timestamp=1.5), "timestamp: must be an integer"),
        (TRACK, body(timestamp=1_800_000_005_001), "timestamp: must not be in the future"),
        (TRACK, raw("timestamp", b"1e400"), "timestamp: number out of range"),
        (TRACK, raw("timestamp", b"9" * 30), "timestamp: must not be in the future"),
        (TRACK, body(overage_behavior="maybe"), "overage_behavior: must be one of cap, reject"),
        (TRACK, body(properties=[1]), "properties: must be an object (received array)"),
        (TRACK, body(properties={"a": "p" * 17_000}), "properties: must be at most 16384 bytes"),
        (TRACK, raw("properties", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "larger"),
        (TRACK, raw("properties", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"), "too deeply"),
        (TRACK, raw("properties", b'{"a": "\\u0000"}'), "null character"),
        (TRACK, raw("properties", b'{"\\u0000": 1}'), "null character"),
        (TRACK, raw("customer_id", b'"a\\u0000b"'), "customer_id: a string must not contain the"),
        (TRACK, raw("entity_id", b'"\\ud800"'), "entity_id: not valid JSON: half of a surrogate"),
        (TRACK, raw("properties", b'{"a": "\x00"}'), "not valid JSON"),
        (TRACK, raw("properties", b'{"a": "\\ud800"}'), "not valid JSON"),
        (TRACK, raw("properties", b'{"a": "\xff"}'), "not valid UTF-8"),
        (TRACK, raw("unknown", b'"\xff"'), "not valid UTF-8"),
        ("customers.update", body(metadata=[]), "metadata: must be an object (received array)"),
        ("customers.update", body(name="n" * 1_025), "name: must be 0 to 1024 characters"),
        ("customers.update", raw("metadata", b'{"a": 1e400}'), "metadata: number out of range"),
        ("customers.update", raw("metadata", b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}"), "deeply"),
        ("customers.list", b'{"limit": 0}', "limit: must be 1 to 5000"),
        ("customers.list", b'{"limit": 5001}', "limit: must be 1 to 5000"),
        ("customers.list", b'{"limit": 1.5}', "limit: must be an integer"),
        ("customers.list", b'{"plans": [{"id": 5}]}', "plans.0.id: must be a string"),
        ("customers.list", b'{"sort_order": "up"}', "sort_order: must be one of asc, desc"),
        ("customers.list", b'{"created_at_range": 5}', "created_at_range: must be an object"),
        (
            "customers.list",
            b'{"created_at_range": {"start": "5"}}',
            "created_at_range.start: must be a number (received string)",
        ),
        (
            "customers.list",
            b'{"created_at_range": {"end": -1}}',
            "created_at_range.end: must be 0 to 100000000000000",
        ),
        (
            "customers.list",
            b'{"created_at_range": {"start": 2, "end": 1}}',
            "created_at_range: start must not be after end",
        ),
        ("customers.list", b'{"processors": "stripe"}', "processors: must be an array"),
        (
            "customers.list",
            b'{"processors": ["stripe", "paper"]}',
            "processors.1: must be one of stripe, revenuecat, vercel",
        ),
        ("entities.list", b'{"processors": [5]}', "processors.0: must be a string"),
        ("entities.list", b'{"processors": ["paper"]}', "processors.0: must be one of stripe"),
        ("entities.list", b'{"customer_id": "a b"}', "customer_id: must be 1 to 255"),
        ("entities.create", body(entity_id="e", name="n" * 1_025), "name: must be 0 to 1024"),
        ("entities.get", b'{"entity_id": "a\\nb"}', "entity_id: must be 1 to 255"),
        ("billing.attach", body(plan_id="a:b"), "plan_id: must be 1 to 255"),
        (
            "billing.attach",
            body(plan_id="p", feature_quantities=[{"feature_id": "f", "quantity": "5"}]),
            "feature_quantities.0.quantity: must be a number (received string)",
        ),
        ("events.list", b'{"feature_id": 5}', "feature_id: must be a string or an array"),
        ("events.list", b'{"custom_range": {"start": 2, "end": 1}}', "start must be before end"),
        ("features.create", b'{"feature_id": "f", "name": "F", "type": "no"}', "type: must be one"),
        ("plans.create", b'{"plan_id": "p", "name": "P", "items": [5]}', "items.0: must be an obj"),
        (
            "plans.create",
            b'{"plan_id": "p", "name": "P", "items": [{"feature_id": 5}]}',
            "items.0.feature_id: must be a string (received number)",
        ),
        (
            "plans.create",
            json.dumps(
                {"plan_id": "p", "name": "P", "items": [{"feature_id": "f"}] * 201}
            ).encode(),
            "items: must have at most 200 elements",
        ),
    ],
)
async def test_a_malformed_request_is_a_400_that_says_where(
    api: Api, operation: str, content: bytes, message: str
) -> None:
    answer = await api.send(operation, content)

    if message == "larger":
        assert answer.error == (413, "body_too_large")
    else:
        assert answer.error == INVALID
    assert message in answer.body["message"]
    assert {"message", "code", "env"} == set(answer.body)


async def test_a_backslash_before_u0000_is_no_null_character(api: Api) -> None:
    answer = await api.send(TRACK, raw("properties", b'{"a": "\\\\u0000"}'))

    assert answer.status == 200


async def test_unknown_ids_are_404(api: Api) -> None:
    customer = await api.send(CHECK, body(customer_id="nobody"))
    entity = await api.send(CHECK, body(entity_id="nothing"))
    feature = await api.send(CHECK, body(feature_id="nothing"))
    event = await api.call(TRACK, customer_id=CUSTOMER_ID, event_name="nothing")
    plan = await api.call("billing.attach", customer_id=CUSTOMER_ID, plan_id="nothing")

    assert customer.error == (404, "customer_not_found")
    assert entity.error == (404, "entity_not_found")
    assert feature.error == (404, "feature_not_found")
    assert event.error == (404, "invalid_request")
    assert plan.error == (404, "product_not_found")


async def test_an_event_name_cannot_be_rejected(api: Api) -> None:
    answer = await api.call(
        TRACK, customer_id=CUSTOMER_ID, event_name="e", overage_behavior="reject"
    )

    assert answer.error == (400, "invalid_request")


async def test_what_is_not_supported_says_so(api: Api) -> None:
    refused = await api.send("billing.attach", body(plan_id="p", discounts=[{"id": "d"}]))
    unserved = await api.call("invoices.list", customer_id="cus_1")

    assert refused.error == (400, "not_supported")
    assert refused.body["message"].startswith("discounts: ")
    assert unserved.error == (400, "not_supported")
    assert unserved.body["message"].startswith("invoices.list: ")


async def test_a_body_over_the_limit_is_a_413(api: Api) -> None:
    answer = await api.send(CHECK, body(properties={"a": "p" * 2_000_000}))

    assert answer.error == (413, "body_too_large")
    assert str(BODY_BYTES_MAX) in answer.body["message"]


async def test_a_body_over_the_limit_in_chunks_is_a_413(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 50_000

    response = await api.client.post(
        f"/v1/{CHECK}", content=chunks(), headers={"authorization": f"Bearer {KEY}"}
    )

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


async def test_a_body_in_chunks_is_read_whole(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in body():
            yield bytes([byte])

    response = await api.client.post(
        f"/v1/{CHECK}", content=chunks(), headers={"authorization": f"Bearer {KEY}"}
    )

    assert response.status_code == 200


async def test_an_unknown_route_is_a_404_even_without_a_key(api: Api) -> None:
    answer = await api.send("balances.nope", b"{}", key=None)

    assert answer.error == (404, "route_not_found")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_a_405(api: Api, method: str) -> None:
    answer = await api.send(CHECK, b"", method=method)

    assert answer.error == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_missing_content_type_is_fine(api: Api) -> None:
    answer = await api.send(CHECK, body())

    assert "content-type" not in api.client.headers
    assert answer.status == 200


async def test_an_empty_body_reads_as_an_empty_object(api: Api) -> None:
    answer = await api.send("features.list", b" ")

    assert answer.status == 200


async def test_unknown_fields_are_ignored(api: Api) -> None:
    answer = await api.send(CHECK, body(zzz={"deep": [1]}))

    assert answer.status == 200


async def test_a_store_that_is_down_is_a_503_to_try_again(fake_api: FakeApi) -> None:
    fake_api.engine.failure = errors.UnavailableError()

    answer = await fake_api.api.send(CHECK, body())

    assert answer.error == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_outcome_does_not_ask_for_a_retry(fake_api: FakeApi) -> None:
    fake_api.engine.failure = errors.UnknownOutcomeError()

    answer = await fake_api.api.send(TRACK, body())

    assert answer.error == (503, "outcome_unknown")
    assert "retry-after" not in answer.headers


async def test_a_fault_is_a_500_that_tells_nothing(
    fake_api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    fake_api.engine.failure = ZeroDivisionError("secret inside")

    with caplog.at_level(logging.ERROR):
        answer = await fake_api.api.send(CHECK, body(), x_request_id="req-7")

    assert answer.error == (500, "internal_error")
    assert "secret inside" not in answer.body["message"]
    assert "req-7" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_each_documented_error_is_answered_with_its_status(
    fake_api: FakeApi, operation: object
) -> None:
    for error in (*COMMON_ERRORS, *operation.errors):  # type: ignore[attr-defined]
        fake_api.engine.failure = error()
        answer = await fake_api.api.call("customers.get", customer_id=CUSTOMER_ID)
        assert (status_of(error), error.code) == answer.error
