"""Who wants what, and what may be shown of it."""

from __future__ import annotations

from gateway.webhooks.records import Endpoint, EventType


def endpoint(*events: EventType) -> Endpoint:
    return Endpoint(
        id="whe_1",
        env="live",
        url="http://h/?token=hidden",
        secret="whsec_hidden",
        events=events,
        created_at=1,
    )


def test_an_endpoint_wants_all_or_what_it_names_of_its_environment() -> None:
    assert endpoint().wants("live", EventType.LIMIT_REACHED)
    assert not endpoint().wants("sandbox", EventType.LIMIT_REACHED)

    picky = endpoint(EventType.USAGE_ALERT_TRIGGERED)
    assert picky.wants("live", EventType.USAGE_ALERT_TRIGGERED)
    assert not picky.wants("live", EventType.LIMIT_REACHED)


def test_neither_secret_nor_url_is_in_a_log_line() -> None:
    assert "hidden" not in repr(endpoint())
    assert repr(endpoint()) == "Endpoint(whe_1)"
