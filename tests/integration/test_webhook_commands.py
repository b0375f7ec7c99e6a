"""``tallygate webhooks`` and the deliverer in ``tallygate serve``, as an operator meets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TypeAlias

import click
import pytest
from standardwebhooks import Webhook

from gateway.__main__ import commands
from gateway.errors import GatewayError
from tests.fixtures.gateways import Gateway
from tests.fixtures.receivers import Receiver
from tests.waiting import wait_until

Command: TypeAlias = Callable[..., str]

ALERT = (
    "alr_1", "sandbox", "cus_1", "acme", "messages", "", "limit_reached",
    '{"limit_type":"max_purchase"}', 1_770_000_000_000,
)  # fmt: skip


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one of the commands on a database; returns what it prints."""

    def run(url: str, *arguments: str) -> str:
        given = ["webhooks", *arguments, "--database-url", url]
        commands.main(given, prog_name="tallygate", standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_an_endpoint_is_added_tested_listed_and_removed(
    command: Command, database_url: str, receiver: Receiver
) -> None:
    event = "balances.limit_reached"
    added = command(database_url, "add", receiver.url, "--env", "live", "--event", event)
    endpoint_id, secret = added.split()

    assert command(database_url, "test", endpoint_id) == f"{endpoint_id} answered 200\n"
    (request,) = receiver.requests
    assert Webhook(secret).verify(request.body, request.headers)["type"] == "ping"

    listed = command(database_url, "list")
    assert listed.split() == [endpoint_id, "live", "live", event, receiver.url]
    assert command(database_url, "deliveries") == ""
    assert command(database_url, "remove", endpoint_id) == f"{endpoint_id} is removed\n"
    assert command(database_url, "list") == ""


def test_a_receiver_that_refuses_the_ping_is_named(
    command: Command, migrated_sqlite: str, receiver: Receiver
) -> None:
    endpoint_id = command(migrated_sqlite, "add", receiver.url).split()[0]
    receiver.otherwise = 500
    with pytest.raises(GatewayError, match=f"^{endpoint_id}: HTTP 500$"):
        command(migrated_sqlite, "test", endpoint_id)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "ftp://example.com"], "^url: must be http:// or https://"),
        (["add", "http://h/", "--event", "balances.gone"], "'balances.gone' is not one of"),
        (["remove", "whe_1"], "^there is no webhook endpoint whe_1$"),
        (["test", "whe_1"], "^there is no webhook endpoint whe_1$"),
        (["deliveries", "--limit", "1001"], "1001 is not in the range 1<=x<=1000"),
        (["deliveries", "--state", "lost"], "'lost' is not one of"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: Command, migrated_sqlite: str, arguments: list[str], message: str
) -> None:
    with pytest.raises((GatewayError, click.UsageError), match=message):
        command(migrated_sqlite, *arguments)


def test_a_served_gateway_delivers(command: Command, gateway: Gateway, receiver: Receiver) -> None:
    path = gateway.folder / "tallygate.db"
    url = f"sqlite:///{path}"
    endpoint_id, secret = command(url, "add", receiver.url).split()
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
