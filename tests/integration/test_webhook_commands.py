"""``tallygate webhooks`` and the deliverer in ``tallygate serve``, as an operator meets them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from standardwebhooks import Webhook

from tests.commands import refused, run, run_process
from tests.fixtures.gateways import Gateway
from tests.fixtures.receivers import Receiver
from tests.waiting import wait_until

ALERT = (
    "alr_1", "sandbox", "cus_1", "acme", "messages", "", "limit_reached",
    '{"limit_type":"max_purchase"}', 1_770_000_000_000,
)  # fmt: skip


def command(url: str, *arguments: str) -> str:
    """Run one of the commands on a database; returns what it prints."""
    ended = run("webhooks", *arguments, "--database-url", url)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_an_endpoint_is_added_tested_listed_and_removed(
    database_url: str, receiver: Receiver
) -> None:
    event = "balances.limit_reached"
    added = command(database_url, "add", receiver.url, "--env", "live", "--event", event)
    endpoint_id, secret = added.split()

    assert command(database_url, "test", endpoint_id) == f"{endpoint_id} answered 200\n"
    (request,) = receiver.requests
    assert Webhook(secret).verify(request.body, request.headers)["type"] == "ping"

    listed = command(database_url, "list")
    assert listed.split() == [endpoint_id, "live", "enabled", event, receiver.url]
    assert command(database_url, "deliveries") == ""
    assert command(database_url, "remove", endpoint_id) == f"{endpoint_id} is removed\n"
    assert command(database_url, "list") == ""


def test_a_receiver_that_refuses_the_ping_is_named(
    migrated_sqlite: str, receiver: Receiver
) -> None:
    endpoint_id = command(migrated_sqlite, "add", receiver.url).split()[0]
    receiver.otherwise = 500
    line = refused("webhooks", "test", endpoint_id, "--database-url", migrated_sqlite)
    assert line == f"tallygate: {endpoint_id}: HTTP 500"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "ftp://example.com"], "^tallygate: url: must be http:// or https://"),
        (["add", "http://h/", "--event", "balances.gone"], "'balances.gone' is not one of"),
        (["remove", "whe_1"], "^tallygate: there is no webhook endpoint whe_1$"),
        (["test", "whe_1"], "^tallygate: there is no webhook endpoint whe_1$"),
        (["deliveries", "--limit", "1001"], "1001 is not in the range 1<=x<=1000"),
        (["deliveries", "--state", "lost"], "'lost' is not one of"),
    ],
)
def test_what_cannot_be_done_is_said(
    migrated_sqlite: str, arguments: list[str], message: str
) -> None:
    ended = run("webhooks", *arguments, "--database-url", migrated_sqlite)
    assert ended.returncode != 0
    assert re.search(message, ended.stderr.splitlines()[-1]), ended.stderr


def test_a_served_gateway_delivers(gateway: Gateway, receiver: Receiver) -> None:
    path = gateway.folder / "tallygate.db"
    url = f"sqlite:///{path}"
    added = run_process("webhooks", "add", receiver.url, "--database-url", url)
    endpoint_id, secret = added.stdout.split()
    with closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        columns = "id, env, internal_id, customer_id, feature_id, entity_id, kind, body, created_at"
        places = ", ".join("?" * len(ALERT))
        statement = f"INSERT INTO alerts ({columns}) VALUES ({places})"  # noqa: S608 - our words
        connection.execute(statement, ALERT)

    wait_until(lambda: command(url, "deliveries", "--state", "delivered") != "")
    assert gateway.stop() == 0

    (request,) = receiver.requests
    assert Webhook(secret).verify(request.body, request.headers)["data"]["customer_id"] == "acme"
    listed = command(url, "deliveries").split()
    assert listed[1:] == [
        endpoint_id, "alr_1", "balances.limit_reached", "delivered", "1", "attempts", "200",
    ]  # fmt: skip
    log = (gateway.folder / "stdout.log").read_text()
    assert secret not in log
    assert receiver.url not in log
