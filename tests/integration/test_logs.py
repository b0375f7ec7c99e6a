"""The whole output of a gateway at its most talkative: whose request a line is, and no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.commands import run
from tests.fixtures.gateways import KEY, Gateway, define_team
from tests.fixtures.receivers import Receiver
from tests.waiting import wait_until

REDIS_PASSWORD = "redis-pass-4711"
SQL_PASSWORD = "sql-pass-4712"
TRACE_PASSWORD = "trace-pass-4713"
URL_TOKEN = "hook-token-4714"
IDEMPOTENCY_KEY = "idem-key-4715"
WRONG_KEY = "am_sk_test_wrong4716wrong4716wrong"
NAME_OF_CUSTOMER = "Jane Doe 4717"

USER = "tally"


class World(NamedTuple):
    """A gateway that was given every kind of secret, and the secrets."""

    style: str
    gateway: Gateway
    server: redis.Redis
    database_url: str
    webhook_secret: str

    @property
    def output(self) -> str:
        return (self.gateway.folder / "stdout.log").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line that is an object; the greeting and nothing else is not."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def assert_no_secret(self) -> None:
        secrets = (
            *(KEY, WRONG_KEY, IDEMPOTENCY_KEY, self.webhook_secret, URL_TOKEN),
            *(REDIS_PASSWORD, SQL_PASSWORD, TRACE_PASSWORD),
            # Without the part that says what it is, and what tells who somebody is.
            *(self.webhook_secret.removeprefix("whsec_"), KEY.removeprefix("am_sk_test_")),
            NAME_OF_CUSTOMER,
        )
        found = [secret for secret in secrets if secret in self.output]
        assert found == [], self.output


@pytest.fixture(params=["json", "text"])
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    valkey: str,
    migrated_postgres: str,
    receiver: Receiver,
) -> Iterator[World]:
    """A started gateway that logs whatever it can, with a password in every URL."""
    database_url = re.sub(r"://[^@/]*@", f"://postgres:{SQL_PASSWORD}@", migrated_postgres)
    assert SQL_PASSWORD in database_url
    receiver.otherwise = 500
    with redis.Redis.from_url(valkey) as server:
        server.flushall()
        server.config_set("maxmemory-policy", "noeviction")
        _acl(server, "SETUSER", USER, "on", f">{REDIS_PASSWORD}", "~*", "&*", "+@all")
        gateway = Gateway(
            tmp_path / "data",
            environment={
                "TALLYGATE_REDIS_URL": valkey.replace("://", f"://{USER}:{REDIS_PASSWORD}@"),
                "TALLYGATE_DATABASE_URL": database_url,
                "TALLYGATE_OTLP_ENDPOINT": f"http://tracer:{TRACE_PASSWORD}@127.0.0.1:1",
                "TALLYGATE_LOG_LEVEL": "debug",
                "TALLYGATE_LOG_FORMAT": request.param,
                "TALLYGATE_ACCESS_LOG_SAMPLE": "1",
            },
        )
        secret = _add_webhook(f"{receiver.url}?token={URL_TOKEN}", database_url)
        try:
            yield World(request.param, gateway.start(), server, database_url, secret)
        finally:
            gateway.stop()
            _acl(server, "DELUSER", USER)


def _acl(server: redis.Redis, *words: str) -> None:
    # Not by the client's own methods, which take a password for one of many.
    server.execute_command("ACL", *words)  # type: ignore[no-untyped-call]


def _add_webhook(url: str, database_url: str) -> str:
    added = run("webhooks", "add", url, "--env", "sandbox", TALLYGATE_DATABASE_URL=database_url)
    found = re.search(r"whsec_\S+", added.stdout)
    assert found, added.stderr
    return found[0]


def use_it(gateway: Gateway) -> None:
    """Call what works and what is refused, each under a request id."""
    define_team(gateway)
    named = {"customer_id": "org_1", "name": NAME_OF_CUSTOMER}
    gateway.call("customers.get_or_create", **named)
    seat = {"customer_id": "org_1", "entity_id": "bob", "feature_id": "seats"}
    gateway.call("entities.create", **seat)
    gateway.call("billing.attach", customer_id="org_1", plan_id="team")
    use = {"customer_id": "org_1", "entity_id": "bob", "feature_id": "meeting_summaries"}
    keyed = {"x-request-id": "seen-1", "idempotency-key": IDEMPOTENCY_KEY}
    assert gateway.post("balances.track", use | {"value": 50}, **keyed).status_code == 200
    keyed["x-request-id"] = "seen-2"
    assert gateway.post("balances.track", use | {"value": 49}, **keyed).status_code == 409
    wrong = {"authorization": f"Bearer {WRONG_KEY}", "x-request-id": "seen-3"}
    assert gateway.post("balances.track", use, **wrong).status_code == 401
    assert gateway.raw("balances.track", b'{"value": "x', **{"x-request-id": "seen-4"}).is_error
    assert httpx.post(f"{gateway.url}/v1/no.route?key={KEY}").status_code == 404


def break_it(world: World) -> None:
    """Take away SQL's tables and the password of Redis, while the gateway works."""
    engine = create_engine(world.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER TABLE webhook_endpoints RENAME TO gone"))
        connection.execute(text("ALTER TABLE customers RENAME COLUMN document TO gone"))
    engine.dispose()
    wait_until(lambda: "webhooks wait" in world.output, explain=lambda: world.output)
    unknown = {"customer_id": "org_2", "feature_id": "seats"}
    refused = world.gateway.post("balances.track", unknown, **{"x-request-id": "seen-5"})
    assert refused.status_code == 503
    _acl(world.server, "SETUSER", USER, "resetpass", ">another")
    world.server.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: "the writer waits" in world.output, explain=lambda: world.output)
    known = {"customer_id": "org_1", "feature_id": "seats"}
    refused = world.gateway.post("balances.track", known, **{"x-request-id": "seen-6"})
    assert refused.status_code == 503


def test_no_secret_is_in_the_output_whatever_happens_and_json_is_a_line_each(
    world: World, receiver: Receiver
) -> None:
    use_it(world.gateway)
    wait_until(lambda: bool(receiver.requests), explain=lambda: world.output)
    break_it(world)
    world.gateway.stop()

    world.assert_no_secret()
    for number in range(1, 7):
        assert f"seen-{number}" in world.output
    if world.style == "json":
        _every_line_is_an_object_and_names_its_request(world)


def _every_line_is_an_object_and_names_its_request(world: World) -> None:
    others = [line for line in world.output.splitlines() if not line.startswith("{")]
    assert len(others) <= 3, others
    by_request = {line["request_id"]: line for line in world.lines if "request_id" in line}
    tracked = by_request["seen-1"]
    assert (tracked["operation"], tracked["status"]) == ("balances.track", 200)
    assert (tracked["level"], tracked["env"]) == ("INFO", "sandbox")
    assert tracked["milliseconds"] > 0
    assert [by_request[f"seen-{number}"]["status"] for number in (2, 3, 4)] == [409, 401, 400]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in world.lines)
