"""What single balances may be asked for, field by field."""

from __future__ import annotations

import msgspec
import pytest

from gateway.api.decoding import decode_body
from gateway.api.operation import Call
from gateway.api.resources import grant_rules as rules
from gateway.errors import GatewayError, InvalidInputsError, InvalidRequestError
from gateway.messages.grants import (
    BATCH_MAX,
    BalanceCreateRequest,
    BalanceDeleteRequest,
    BalanceUpdateRequest,
    BatchTrackRequest,
)

NOW_MS = 1_700_000_000_000
CALL = Call(request_id="r", env="sandbox", now_ms=NOW_MS)
MONTHLY = {"interval": "month"}


def body(**fields: object) -> bytes:
    return msgspec.json.encode({"customer_id": "c", "feature_id": "f", **fields})


def create(**fields: object) -> BalanceCreateRequest:
    request = msgspec.json.decode(body(**fields), type=BalanceCreateRequest)
    rules.create(CALL, request)
    return request


def update(**fields: object) -> BalanceUpdateRequest:
    request = msgspec.json.decode(body(**fields), type=BalanceUpdateRequest)
    rules.update(CALL, request)
    return request


def batch(*items: dict[str, object]) -> None:
    decoder = msgspec.json.Decoder(BatchTrackRequest)
    requests = decode_body(decoder, msgspec.json.encode(list(items)))
    rules.batch_track(CALL, requests)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"customer_id": "a b"}, "customer_id"),
        ({"feature_id": ""}, "feature_id"),
        ({"entity_id": "\t"}, "entity_id"),
        ({"included_grant": "5"}, "included_grant"),
        ({"unlimited": True, "included_grant": 5}, "unlimited"),
        ({"unlimited": True, "reset": MONTHLY}, "reset"),
        ({"reset": {"interval": "fortnight"}}, "reset.interval"),
        ({"reset": {"interval": "month", "interval_count": 0}}, "reset.interval_count"),
        ({"reset": {"interval": "month", "interval_count": 1_001}}, "reset.interval_count"),
        ({"rollover": {"expiry_duration_length": 1}}, "rollover"),
        ({"rollover": {"expiry_duration_length": 1}, "reset": {"interval": "one_off"}}, "rollover"),
        ({"rollover": {}, "reset": MONTHLY}, "rollover.expiry_duration_length"),
        ({"rollover": {"expiry_duration_length": 0}, "reset": MONTHLY}, "rollover.expiry_duration"),
        ({"rollover": {"length": 0}, "reset": MONTHLY}, "rollover.expiry_duration"),
        ({"rollover": {"max": 0}, "reset": MONTHLY}, "rollover.max"),
        ({"rollover": {"max": 1, "max_percentage": 1}, "reset": MONTHLY}, "rollover"),
        ({"rollover": {"expiry_duration_type": "week"}, "reset": MONTHLY}, "rollover.expiry_"),
        ({"expires_at": NOW_MS}, "expires_at"),
        ({"expires_at": 0}, "expires_at"),
        ({"expires_at": 1e13}, "expires_at"),
        ({"expires_at": NOW_MS + 1.5}, "expires_at"),
        ({"next_reset_at": NOW_MS + 1}, "next_reset_at"),
        ({"next_reset_at": NOW_MS + 1, "reset": {"interval": "one_off"}}, "next_reset_at"),
        ({"next_reset_at": NOW_MS, "reset": MONTHLY}, "next_reset_at"),
        (
            {"next_reset_at": NOW_MS + 2, "expires_at": NOW_MS + 2, "reset": MONTHLY},
            "next_reset_at",
        ),
        ({"balance_id": ""}, "balance_id"),
        ({"balance_id": "a b"}, "balance_id"),
        ({"balance_id": "a~1"}, "balance_id"),
        ({"balance_id": "x" * 256}, "balance_id"),
        ({"balance_id": "cus_ent_1"}, "balance_id"),
    ],
)
def test_a_balance_that_breaks_a_rule_is_not_created(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInputsError, match=f"^{named}"):
        create(**fields)


def test_how_long_what_rolls_over_lasts_has_two_names() -> None:
    for name in ("length", "expiry_duration_length"):
        create(included_grant=1, reset=MONTHLY, rollover={name: 1})


def test_times_and_counts_become_integers() -> None:
    request = create(
        balance_id="my-balance.1:b_2",
        included_grant=1,
        reset={"interval": "month", "interval_count": 2.0},
        next_reset_at=float(NOW_MS + 1000),
        expires_at=NOW_MS + 2000,
        rollover={"expiry_duration_type": "forever"},
    )
    assert request.reset is not None
    sent = (request.reset.interval_count, request.next_reset_at, request.expires_at)
    assert sent == (2, NOW_MS + 1000, NOW_MS + 2000)
    assert {type(value) for value in sent} == {int}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "input: needs remaining"),
        ({"balance_id": "a"}, "input: needs remaining"),
        ({"remaining": None}, "input: needs remaining"),
        ({"remaining": True}, "remaining"),
        ({"remaining": 1, "add_to_balance": 1}, "remaining: excludes add_to_balance"),
        ({"remaining": 1, "usage": 1}, "remaining: excludes usage"),
        ({"usage": 1, "add_to_balance": 1}, "add_to_balance: excludes usage"),
        ({"usage": 1, "interval": "fortnight"}, "interval"),
        ({"usage": 1, "expires_at": NOW_MS}, "expires_at"),
        ({"next_reset_at": NOW_MS - 1}, "next_reset_at"),
        ({"next_reset_at": NOW_MS + 2, "expires_at": NOW_MS + 1}, "next_reset_at"),
        ({"current_balance": 1, "remaining": 1}, "current_balance"),
        ({"usage": 1, "customer_entitlement_id": "a", "balance_id": "b"}, "customer_entitlement_"),
    ],
)
def test_an_update_that_breaks_a_rule_is_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInputsError, match=f"^{named}"):
        update(**fields)


def test_older_names_are_read_as_the_newer_ones() -> None:
    request = update(current_balance=5, customer_entitlement_id="cus_ent_1")
    assert bytes(request.remaining) == b"5"
    assert request.balance_id == "cus_ent_1"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"recalculate_balances": True, "balance_id": "a"}, "feature_id: is required"),
        ({}, "input: needs feature_id or balance_id"),
        ({"interval": "month"}, "input: needs feature_id or balance_id"),
        ({"feature_id": "f", "interval": "fortnight"}, "interval"),
    ],
)
def test_a_delete_says_which_balances(fields: dict[str, object], named: str) -> None:
    request = msgspec.convert({"customer_id": "c", **fields}, BalanceDeleteRequest)
    with pytest.raises(InvalidInputsError, match=f"^{named}"):
        rules.delete(CALL, request)


ITEM: dict[str, object] = {"customer_id": "c", "feature_id": "f"}


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([], InvalidInputsError, "input: must have at least 1 elements"),
        ([ITEM] * (BATCH_MAX + 1), InvalidInputsError, "input: must have at most 1000 elements"),
        ([ITEM, {"customer_id": 5}], InvalidInputsError, "1.customer_id: must be a string"),
        ([{"feature_id": "f"}], InvalidInputsError, "0.customer_id: is required"),
        ([ITEM, {"customer_id": "c"}], InvalidInputsError, "1: Either feature_id or event_name"),
        ([ITEM, {**ITEM, "event_name": "e"}], InvalidInputsError, "1: Either feature_id"),
        ([ITEM, ITEM, {**ITEM, "value": "5"}], InvalidInputsError, "2.value: must be a number"),
        (
            [{"customer_id": "c", "event_name": "e", "overage_behavior": "reject"}],
            InvalidRequestError,
            "0.overage_behavior: ",
        ),
    ],
)
def test_a_batch_names_the_track_that_breaks_a_rule(
    items: list[dict[str, object]], error: type[GatewayError], message: str
) -> None:
    with pytest.raises(error) as refused:
        batch(*items)
    assert type(refused.value) is error
    assert refused.value.message.startswith(message)


def test_a_batch_of_the_largest_size_is_taken() -> None:
    batch(*[ITEM] * BATCH_MAX)


def test_a_batch_is_a_list() -> None:
    decoder = msgspec.json.Decoder(BatchTrackRequest)
    with pytest.raises(InvalidInputsError, match=r"^input: must be an array"):
        decode_body(decoder, b"{}")
