"""An admin's view of a started gateway: what calls did is in the reports, counted once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.acceptance.world import World
from tests.commands import run, run_process
from tests.fixtures.gateways import Gateway, Json, form_team
from tests.waiting import wait_until


def _report(gateway: Gateway, name: str, *options: str) -> list[Json]:
    ran = run("report", name, "--format", "json", "--data-dir", gateway.folder, *options)
    assert ran.returncode == 0, ran.stderr
    rows: list[Json] = json.loads(ran.stdout)
    return rows


def _denied(gateway: Gateway, customer: str) -> dict[str, int]:
    gateway.wait_for_writer()
    rows = gateway.sql(
        "SELECT operation, SUM(denied) FROM report_denials WHERE customer_id = ? GROUP BY 1",
        customer,
    )
    return dict(rows)


def test_the_story_of_a_team_is_in_every_report_and_its_last_denials_in_sql_after_a_stop(
    gateway: Gateway,
) -> None:
    form_team(gateway, "ann", "bob", customer_id="org")
    use = {"customer_id": "org", "feature_id": "meeting_summaries"}
    for value in (10, 20.5):
        gateway.call("balances.track", **use, entity_id="ann", value=value)
    lock = {"lock_id": "job", "enabled": True}
    gateway.call("balances.check", **use, entity_id="bob", required_balance=5, lock=lock)
    assert not gateway.call("balances.check", **use, required_balance=1000)["allowed"]
    gateway.wait_for_writer()
    wait_until(lambda: _denied(gateway, "org") == {"check": 1})

    usage = _report(gateway, "usage", "--customer", "org", "--entity", "ann")
    assert {(row["feature_id"], row["events"], row["used"]) for row in usage} == {
        ("meeting_summaries", 2, 30.5),
        ("seats", 1, 1),
    }
    (top,) = _report(gateway, "top-consumers", "--feature", "meeting_summaries", "--limit", "1")
    assert (top["place"], top["customer_id"], top["used"]) == (1, "org", 35.5)
    held = _report(gateway, "balances", "--feature", "meeting_summaries")
    assert {row["entity_id"]: row["remaining"] for row in held} == {"ann": 19.5, "bob": 45}
    assert [row["overage"] for row in _report(gateway, "overage")] == [1]
    assert [row["seats"] for row in _report(gateway, "seats")] == [2]
    assert [row["held"] for row in _report(gateway, "locks")] == [5]
    assert [row["denied"] for row in _report(gateway, "denials", "--customer", "org")] == [1]
    assert {row["behind_seconds"] for row in _report(gateway, "writer")} == {0}
    assert _report(gateway, "incidents") == []
    _denials_counted_before_a_stop_are_in_sql_after_it(gateway)


def _denials_counted_before_a_stop_are_in_sql_after_it(gateway: Gateway) -> None:
    gateway.call("customers.get_or_create", customer_id="ada")
    for _ in range(5):
        gateway.call("balances.check", customer_id="ada", feature_id="meeting_summaries")
    assert gateway.stop() == 0
    rows = gateway.sql(
        "SELECT customer_id, feature_id, operation, denied FROM report_denials"
        " WHERE customer_id <> 'org'"
    )
    assert rows == [("ada", "meeting_summaries", "check", 5)]


def test_denials_are_counted_once_whatever_asked(world: World) -> None:
    gateway = world.gateway
    customer, feature = world.customer, world.name("messages")
    world.attach(world.lifetime(1))
    ask = {"customer_id": customer, "feature_id": feature}
    for _ in range(3):
        assert not gateway.call("balances.check", **ask, required_balance=5)["allowed"]
    assert not gateway.call("balances.check", **ask, required_balance=5, send_event=True)["allowed"]
    refused = {**ask, "value": 5, "overage_behavior": "reject"}
    for _ in range(2):
        gateway.refusal("balances.track", **refused)
    gateway.post("balances.track", {**refused, "dry_run": True})
    assert gateway.call("balances.check", **ask)["allowed"]
    wait_until(lambda: _denied(gateway, customer) == {"check": 4, "track": 2})


@pytest.mark.parametrize(("form", "command"), [("table", run), ("csv", run_process)])
def test_other_forms_name_their_columns(
    shared_gateway: Gateway, form: str, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = shared_gateway.folder
    ran = command("report", "writer", "--format", form, "--data-dir", folder, "--limit", "3")
    assert ran.returncode == 0
    assert ran.stdout.startswith("partition")
    assert len(ran.stdout.splitlines()) == 4
    assert "there is more than --limit 3" in ran.stderr
