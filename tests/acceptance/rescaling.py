"""A gateway that is stopped and started around ``tallygate rescale``, and a life with units of each
kind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from tests import commands
from tests.acceptance.store import DAY_MS
from tests.acceptance.world import MONTHLY, World
from tests.fixtures.gateways import Gateway, Json

ROLLOVER = {"max": 60, "expiry_duration_type": "month", "expiry_duration_length": 3}
VIEWS = ("report_balances", "report_usage", "report_top_consumers", "report_locks")


class Site:
    """A gateway that is stopped now and then, and the commands on what it leaves."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.options = (*options, "--data-dir", str(folder / "data"))
        self.gateway = Gateway(folder / "data", *options)
        given = dict(zip(options[::2], options[1::2], strict=True))
        file = f"sqlite:///{self.gateway.folder / 'tallygate.db'}"
        self.database_url = given.get("--database-url", file)

    @contextmanager
    def serving(self) -> Iterator[Gateway]:
        try:
            yield self.gateway.start()
        finally:
            assert self.gateway.stop() == 0

    def rescale(
        self, feature: str, precision: int, *more: str, apart: bool = False
    ) -> subprocess.CompletedProcess[str]:
        run = commands.run_process if apart else commands.run
        return run("rescale", feature, "--precision", precision, *more, *self.options)

    def done(self, feature: str, precision: int, *, apart: bool = False) -> None:
        ran = self.rescale(feature, precision, apart=apart)
        assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
        assert f"has precision {precision} now" in ran.stdout

    def refused(self, feature: str, precision: int, *more: str) -> str:
        ran = self.rescale(feature, precision, *more)
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr.strip().splitlines()[-1]

    def verify(self) -> None:
        ran = commands.run("verify", *self.options)
        assert (ran.returncode, ran.stdout[:8]) == (0, "no drift"), ran.stdout + ran.stderr

    def rows(self, table: str) -> list[Json]:
        """Return all rows of a table or view."""
        engine = create_engine(self.database_url)
        try:
            with engine.connect() as connection:
                found = connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
                return [dict(row) for row in found.mappings()]
        finally:
            engine.dispose()

    def precision(self, feature: str) -> int:
        (found,) = [one["precision"] for one in self.rows("features") if one["id"] == feature]
        return int(found)

    def shown_in_sql(self) -> list[list[str]]:
        """Return what the views show, but for columns that are in units."""
        return [
            sorted(
                str({name: value for name, value in row.items() if not name.endswith("_units")})
                for row in self.rows(view)
            )
            for view in VIEWS
        ]


def live(*worlds: World) -> None:
    """Have something of each kind that is kept in units, in each world the same."""
    for world in worlds:
        begin(world)
    worlds[0].advance()
    for world in worlds:
        use(world)


def begin(world: World) -> None:
    world.actions()
    seats = {"price": {"amount": 1, "interval": "month", "billing_method": "usage_based"}}
    pooled = {"pooled": True, "reset": MONTHLY}
    world.attach(
        world.monthly(100, rollover=ROLLOVER),
        world.monthly(10.5, **world.each),
        world.item("users", 1, **seats),
        world.monthly(50, "credits", rollover=ROLLOVER),
    )
    world.attach(world.pay_per_use(3, 40.25), add_on=True)
    world.entities("ann", "ben")
    world.attach(world.item("messages", 7.25, **pooled), world.monthly(2), entity="ann")
    world.track(3.5)
    world.track(2.25, "ann")
    world.track(30.75)
    world.track(2.5, feature="action1")


def use(world: World) -> None:
    controls = world.usage_limit(500.5) | world.spend_limit(20.25)
    alert = {"threshold": 12.5, "threshold_type": "usage", "feature_id": world.name("messages")}
    world.control(controls | {"usage_alerts": [alert]})
    world.control(world.usage_limit(80.75), "ben")
    world.grant(20.5, balance_id=world.name("gift"), reset=MONTHLY, rollover=ROLLOVER)
    world.grant(5.25, "ben")
    world.update(included_grant=130.25)
    world.track(21.25)
    world.track(1.25, "ben")
    world.track(-0.75)
    world.track(4.5, feature="action1")
    assert world.lock("hold", 12.25)
    assert world.lock("seat", 3.5, "ann")
    assert world.lock("paid", 6.5, feature="action1")
    assert world.lock("ended", 2.5)
    world.confirm("ended", 1.25)


def go_on(world: World) -> None:
    """Use what was there before."""
    world.confirm("hold", 5.75)
    world.release("seat")
    world.confirm("paid", 2.25)
    world.track(7.75)
    world.track(1.5, "ann")
    world.track(3.5, feature="action1")


def catch_up(world: World) -> None:
    """Return when SQL has everything of a customer."""
    body = world.body(None, "messages", value=0.25)
    response = world.gateway.post("balances.track", body, **{"x-durability": "sql"})
    assert response.status_code == 200, response.text


def portrait(world: World) -> Json:
    """Return everything the API tells of a customer in amounts."""
    call, scope = world.gateway.call, {"customer_id": world.customer}
    # The last ninety days are others once a day has ended.
    days: Json = {"start": world.created_at, "end": world.created_at + 90 * DAY_MS}
    listed = call("balances.list", **scope, limit=200)
    told: list[Json] = [
        call("customers.get", **scope),
        *(call("entities.get", **scope, entity_id=one) for one in ("ann", "ben")),
        listed,
        call("events.list", **scope, limit=1000),
        call("events.aggregate", **scope, feature_id=world.name("messages"), custom_range=days),
        call("events.aggregate", **scope, feature_id=world.name("credits"), custom_range=days),
    ]
    for feature in ("messages", "action1", "credits"):
        told += [call("balances.check", **world.body(None, feature, explain=True))]
        told += [call("balances.check", **world.body("ann", feature, explain=True))]
    return told
