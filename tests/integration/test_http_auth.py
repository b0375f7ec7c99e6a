"""Keys, versions and request ids: what is decided before a body is read."""

from __future__ import annotations

import logging

import pytest

from gateway.config import Settings
from tests.fake_engine import CUSTOMER_ID
from tests.fixtures.app import KEY, LIVE_KEY, Api, FakeApi

LIST = "customers.list"


async def test_no_key_is_a_401(api: Api) -> None:
    answer = await api.send(LIST, b"{}", key=None)

    assert answer.error == (401, "no_secret_key")


async def test_an_empty_header_is_no_key(api: Api) -> None:
    answer = await api.send(LIST, b"{}", key="")

    assert answer.error == (401, "no_secret_key")


async def test_a_wrong_key_is_a_401_that_repeats_only_its_beginning(api: Api) -> None:
    wrong = "am_sk_test_" + "wrong" * 8

    answer = await api.send(LIST, b"{}", key=f"Bearer {wrong}")

    assert answer.error == (401, "invalid_secret_key")
    assert wrong[:14] in answer.body["message"]
    assert wrong[:15] not in answer.body["message"]


@pytest.mark.parametrize(
    "header", ["Bearer hello", "Bearer ", "Bearer am_jwt_x", "Basic abc", KEY, "Bearer \xe9"]
)
async def test_another_kind_of_token_is_a_401(api: Api, header: str) -> None:
    response = await api.client.post(
        f"/v1/{LIST}", headers={b"authorization": header.encode("latin-1")}
    )

    assert (response.status_code, response.json()["code"]) == (401, "invalid_request")


async def test_the_key_decides_the_environment(api: Api) -> None:
    feature = {"feature_id": "f", "name": "F", "type": "boolean"}
    await api.call("features.create", **feature)

    live = await api.send("features.get", b'{"feature_id": "f"}', key=f"Bearer {LIVE_KEY}")
    sandbox = await api.send("features.get", b'{"feature_id": "f"}', key=f"bearer {KEY}")

    assert (live.status, live.body["env"]) == (404, "live")
    assert sandbox.status == 200


async def test_a_new_key_works_at_once_and_a_revoked_one_after_a_refresh(
    fake_api: FakeApi,
) -> None:
    api, secret = fake_api.api, "am_sk_test_" + "n" * 40
    made = await fake_api.store.create_key("sandbox", "new", secret)

    works = await api.send(LIST, b"{}", key=f"Bearer {secret}")
    await fake_api.store.revoke_key(made.id)
    await fake_api.catalog.refresh()
    ended = await api.send(LIST, b"{}", key=f"Bearer {secret}")

    assert works.status == 200
    assert ended.error == (401, "invalid_secret_key")


async def test_no_key_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await api.send(LIST, b"{}", key="Bearer am_sk_test_" + "z" * 40)
        await api.send(LIST, b"{")

    assert "z" * 15 not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("version", "cursor_paging"),
    [
        ("2.1", False),
        ("2.1.0", False),
        ("2.2.0", False),
        ("2026-03-17", False),
        ("2026-05-12", False),
        ("2026-05-13", True),
        ("2.3", True),
        ("2.4.0", True),
        ("2.5.0", True),
        ("3.0", True),
        ("2031-01-01", True),
    ],
)
async def test_the_version_decides_how_lists_are_paged(
    fake_api: FakeApi, version: str, *, cursor_paging: bool
) -> None:
    answer = await fake_api.api.send(LIST, b"{}", x_api_version=version)

    assert answer.status == 200
    assert [cursor_paging] == fake_api.engine.paging


async def test_without_a_version_the_newest_one_is_meant(fake_api: FakeApi) -> None:
    await fake_api.api.send(LIST, b"{}")

    assert fake_api.engine.paging == [True]


@pytest.mark.parametrize(
    ("body", "cursor_paging"),
    [
        (b'{"offset": 0}', False),
        (b'{"offset": null}', True),
        (b'{"offset": 5, "start_cursor": ""}', True),
    ],
)
@pytest.mark.parametrize("name", ["customers.list", "entities.list", "events.list"])
async def test_a_list_that_is_asked_for_by_offset_alone_is_paged_so(
    fake_api: FakeApi, name: str, body: bytes, *, cursor_paging: bool
) -> None:
    """PyPI autumn-sdk 1.0 means version 2.2 and does not say so."""
    assert (await fake_api.api.send(name, body)).status == 200
    assert [cursor_paging] == fake_api.engine.paging


async def test_before_cursors_a_page_is_smaller(api: Api) -> None:
    answer = await api.send(LIST, b'{"limit": 1001}', x_api_version="2.2")

    assert (answer.status, answer.body["message"]) == (400, "limit: must be 1 to 1000")


@pytest.mark.parametrize("version", ["1.1", "0.2", "2.0", "2", "2025-05-04", "2026-03-16"])
async def test_a_version_that_is_not_served_is_refused_with_those_that_are(
    api: Api, version: str
) -> None:
    answer = await api.send(LIST, b"{}", x_api_version=version)

    assert answer.error == (400, "invalid_api_version")
    assert "2.1" in answer.body["message"]


@pytest.mark.parametrize("version", ["1.2", "1.2.0", "2025-05-05", "2026-03-15"])
async def test_a_legacy_version_is_served(api: Api, version: str) -> None:
    answer = await api.send("features.list", b"{}", x_api_version=version)

    assert (answer.status, answer.body) == (200, {"list": []})


async def test_an_operation_that_a_version_has_not_is_refused(api: Api) -> None:
    answer = await api.send("features.create", b"{}", x_api_version="1.2")

    assert answer.error == (400, "invalid_api_version")


@pytest.mark.parametrize("version", ["", "x", "2.x", "2.1.0.0", "-1", "2026-13-01", "v2.3"])
async def test_garbage_is_no_version(api: Api, version: str) -> None:
    answer = await api.send(LIST, b"{}", x_api_version=version)

    assert answer.error == (400, "invalid_api_version")


async def test_a_request_id_is_echoed_if_it_is_harmless(api: Api) -> None:
    echoed = await api.send(LIST, b"{}", x_request_id="abc-1")
    made = await api.send(LIST, b"{}", x_request_id="a\tb")
    again = await api.send(LIST, b"{}", key=None)

    assert echoed.headers["x-request-id"] == "abc-1"
    assert made.headers["x-request-id"].startswith("req_")
    assert made.headers["x-request-id"] != again.headers["x-request-id"]


async def test_the_request_id_reaches_the_engine(fake_api: FakeApi) -> None:
    api = fake_api.api
    await api.call("features.create", feature_id="f", name="F", type="boolean")

    content = f'{{"customer_id": "{CUSTOMER_ID}", "feature_id": "f"}}'.encode()
    answer = await api.send("balances.check", content, x_request_id="abc-2")

    assert answer.body["flag"]["id"] == "abc-2"


async def test_health_and_readiness_need_no_key(fake_api: FakeApi) -> None:
    healthy = await fake_api.api.fetch("/health")
    fake_api.probe.state.sql = "unavailable"
    fake_api.probe.state.status = "degraded"
    degraded = await fake_api.api.fetch("/health")
    unready = await fake_api.api.fetch("/ready")
    posted = await fake_api.api.fetch("/ready", "POST")

    assert (healthy.status, healthy.body["status"]) == (200, "ok")
    assert (degraded.status, degraded.body["status"]) == (200, "degraded")
    assert (unready.status, unready.body["sql"]) == (503, "unavailable")
    assert (posted.status, posted.headers["allow"]) == (405, "GET")


def test_the_body_limit_is_a_setting() -> None:
    assert Settings().body_bytes_max == 1_048_576
