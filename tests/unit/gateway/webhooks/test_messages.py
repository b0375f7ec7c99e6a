"""What is sent follows Standard Webhooks, and what comes back decides when it is sent again."""

from __future__ import annotations

import time
from base64 import b64decode

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.outbox import AlertKind
from gateway.webhooks.messages import (
    RETRY_MS,
    headers,
    judge,
    new_secret,
    ping,
    tell,
)
from gateway.webhooks.records import Alert, Claim, DeliveryState, EventType, Outcome

NOW_MS = 1_770_000_000_123
LIMIT = '{"limit_type":"included"}'


def alert(
    kind: str = "limit_reached", body: str = LIMIT, *, entity: str = "", precision: int | None = 6
) -> Alert:
    return Alert("alr_1", "live", "acme", entity, "messages", kind, body, NOW_MS, precision)


def usage_alert(body: str, precision: int | None = 6) -> str:
    message = tell(alert("usage_alert_triggered", body, precision=precision))
    assert message is not None
    return message.body


def claim(attempt: int) -> Claim:
    return Claim("whd_1", "alr_1", "{}", attempt)


def test_a_limit_is_told_with_its_customer_entity_and_type() -> None:
    message = tell(alert(entity="seat_1"))

    assert message is not None
    assert message.event is EventType.LIMIT_REACHED
    assert msgspec.json.decode(message.body) == {
        "type": "balances.limit_reached",
        "timestamp": "2026-02-02T02:40:00.123Z",
        "data": {
            "customer_id": "acme",
            "entity_id": "seat_1",
            "feature_id": "messages",
            "limit_type": "included",
            "env": "live",
        },
    }


def test_a_limit_of_some_uses_is_told_with_its_filter() -> None:
    message = tell(
        alert(body='{"limit_type":"usage_limit","filter":{"properties":{"region":["eu","us"]}}}')
    )
    assert message is not None
    data = msgspec.json.decode(message.body)["data"]
    assert data["filter"] == {"properties": {"region": ["eu", "us"]}}


def test_what_the_customer_holds_names_no_entity() -> None:
    message = tell(alert())
    assert message is not None
    assert "entity_id" not in message.body


@pytest.mark.parametrize(
    ("threshold_type", "units", "shown"),
    [
        ("usage", 10_150_000, "10.15"),
        ("remaining", 9_007_199_254_740_991, "9007199254.740991"),
        ("usage_percentage", 8_050, "80.5"),
        ("remaining_percentage", 10_000, "100"),
    ],
)
def test_a_threshold_is_told_as_the_exact_number_it_was_set_to(
    threshold_type: str, units: int, shown: str
) -> None:
    body = f'{{"name":"most","threshold":{units},"threshold_type":"{threshold_type}"}}'
    expected = f'{{"name":"most","threshold":{shown},"threshold_type":"{threshold_type}"}}'
    assert f'"usage_alert":{expected}' in usage_alert(body)


@pytest.mark.parametrize("name", ['"name":null,', '"name":"",', ""])
def test_an_alert_without_a_name_is_told_without_one(name: str) -> None:
    body = usage_alert(f'{{{name}"threshold":5,"threshold_type":"usage"}}', precision=0)
    assert '"usage_alert":{"threshold":5,"threshold_type":"usage"}' in body


def test_a_percentage_needs_no_feature_and_an_amount_does() -> None:
    share = '{"threshold":5000,"threshold_type":"usage_percentage"}'
    assert '"threshold":50,' in usage_alert(share, precision=None)

    amount = '{"threshold":5000,"threshold_type":"usage"}'
    assert tell(alert("usage_alert_triggered", amount, precision=None)) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("something_new", LIMIT),
        ("limit_reached", "{"),
        ("limit_reached", '{"limit_type":"sky"}'),
        ("usage_alert_triggered", LIMIT),
        ("usage_alert_triggered", '{"threshold":1.5,"threshold_type":"usage"}'),
    ],
)
def test_what_is_not_of_the_contract_is_not_told(kind: str, body: str) -> None:
    assert tell(alert(kind, body)) is None


def test_every_kind_of_alert_has_its_event() -> None:
    assert {f"balances.{kind}" for kind in AlertKind} == set(EventType)


def test_a_signature_is_what_the_library_of_receivers_verifies() -> None:
    secret, body = new_secret(), ping("sandbox", NOW_MS)
    signed = headers("ping_1", body, secret, int(time.time() * 1000))

    assert signed["webhook-id"] == "ping_1"
    assert signed["content-type"] == "application/json"
    assert Webhook(secret).verify(body, signed) == {
        "type": "ping",
        "timestamp": "2026-02-02T02:40:00.123Z",
        "data": {"env": "sandbox"},
    }
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + " ", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, signed)


def test_a_signature_is_that_of_the_specification() -> None:
    # The example of the specification's own libraries.
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    signed = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", body, secret, 1_614_265_330_999)

    assert signed["webhook-timestamp"] == "1614265330"
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_receivers_of_the_reference_find_the_same_under_its_names() -> None:
    # Cold-path section 7: svix-id, svix-timestamp and svix-signature.
    signed = headers("ping_1", "{}", new_secret(), NOW_MS)
    for name in ("id", "timestamp", "signature"):
        assert signed[f"svix-{name}"] == signed[f"webhook-{name}"]


def test_a_secret_has_the_length_of_the_digest() -> None:
    prefix, _, encoded = new_secret().partition("_")
    assert (prefix, len(b64decode(encoded, validate=True))) == ("whsec", 32)
    assert new_secret() != new_secret()


@pytest.mark.parametrize("status", [200, 204, 299])
def test_every_2xx_is_a_delivery(status: int) -> None:
    assert judge(claim(1), Outcome(status), NOW_MS).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [0, 199, 302, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int) -> None:
    result = judge(claim(1), Outcome(status), NOW_MS)
    assert result.state is DeliveryState.PENDING
    assert result.next_attempt_at == NOW_MS + 5_000


def test_each_wait_is_longer_until_there_is_none() -> None:
    results = [judge(claim(number), Outcome(500), NOW_MS) for number in range(1, 8)]

    seconds = [(result.next_attempt_at - NOW_MS) // 1000 for result in results[:-1]]
    assert seconds == [5, 30, 120, 600, 3600, 21600]
    assert {result.state for result in results[:-1]} == {DeliveryState.PENDING}
    assert results[-1].state is DeliveryState.FAILED


def test_a_claim_beyond_the_last_attempt_fails_too() -> None:
    assert judge(claim(len(RETRY_MS) + 5), Outcome(500), NOW_MS).state is DeliveryState.FAILED


def test_gone_is_not_tried_again() -> None:
    assert judge(claim(1), Outcome(410), NOW_MS).state is DeliveryState.FAILED
