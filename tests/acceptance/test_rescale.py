"""``tallygate rescale``: a feature in use gets another precision, and nobody's decimals change."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests import commands
from tests.acceptance.rescaling import ROLLOVER, Site, catch_up, go_on, live, portrait
from tests.acceptance.store import Store
from tests.acceptance.test_concurrency import send_all
from tests.acceptance.test_verify import key_of, operation
from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json
from tests.fixtures.redis_processes import MakeRedis
from tests.waiting import wait_until

MakeSite = Callable[[str], "Site"]

HELD_AT_A_STEP = """\
import signal, sys
import click
from gateway.__main__ import main
step, say = sys.argv.pop(1), click.echo
def tell(line, **how):
    say(line, **how)
    if line.startswith(step):
        signal.pause()
click.echo = tell
main()
"""
"""A command that goes no further once it has told a step: else it might be done before it dies."""

KILLED_ONCE_COMMITTED = """\
import os, signal
from gateway.__main__ import main
from gateway.commands import rescale
async def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
rescale.raise_streams = die
main()
"""
"""A command that dies when SQL has the new precision and the streams do not end there yet."""


@pytest.fixture
def make_site(request: pytest.FixtureRequest, tmp_path: Path) -> MakeSite:
    """The embedded default, or ``servers``: Redis with PostgreSQL."""

    def make(kind: str) -> Site:
        if kind == "embedded":
            return Site(tmp_path)
        make_redis: MakeRedis = request.getfixturevalue("make_redis")
        redis, sql = make_redis(appendonly="yes").url, request.getfixturevalue("migrated_postgres")
        return Site(tmp_path, "--redis-url", redis, "--database-url", sql)

    return make


@pytest.fixture(params=["embedded", "servers"])
def site(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    return make_site(request.param)


@pytest.fixture
def embedded(make_site: MakeSite) -> Site:
    return make_site("embedded")


def test_decimals_stay_and_life_goes_on(site: Site) -> None:
    with site.serving() as gateway:
        world, twin = World(gateway), World(gateway)
        live(world, twin)
        key = {"Idempotency-Key": "once"}
        first = gateway.post("balances.track", world.body(None, "messages", value=2.5), **key)
        twin.track(2.5)
        catch_up(twin)
        catch_up(world)
        before = portrait(world)
    shown = site.shown_in_sql()
    assert all(shown[:2])

    names = [world.name(one) for one in ("messages", "credits", "action1", "users")]
    for name, places in zip(names, (2, 3, 2, 0), strict=True):
        site.done(name, places, apart=name == names[0])
    site.verify()
    with site.serving() as gateway:
        assert portrait(world) == before
        assert site.shown_in_sql() == shown
        assert site.rows("incidents") == []
        again = gateway.post("balances.track", world.body(None, "messages", value=2.5), **key)
        assert (first.status_code, again.status_code) == (200, 409)
        assert portrait(world) == before
        for one in (world, twin):
            go_on(one)
        assert world.state() == twin.state()
        repeated = {"lock_id": world.name("hold"), "action": "confirm", "override_value": 5.75}
        assert gateway.call("balances.finalize", **repeated) == {"success": True}
    site.done(names[0], 5)
    site.verify()
    with site.serving():
        world.advance()
        for one in (world, twin):
            one.track(9.25)
            one.track(1.25, "ben")
        for scope in (None, "ann", "ben"):
            assert world.state(scope) == twin.state(scope)
            assert world.breakdown() == twin.breakdown()
            assert world.rollovers(scope) == twin.rollovers(scope)
            assert world.counter(entity=scope) == twin.counter(entity=scope)
        assert world.state(feature="credits") == twin.state(feature="credits")
    site.verify()


def test_what_a_paused_plan_comes_back_with_is_the_same_at_another_precision(
    embedded: Site,
) -> None:
    rolls: Json = {"rollover": ROLLOVER}
    with embedded.serving() as gateway:
        store = Store(gateway)
        each = store.monthly(5.5, rollover=ROLLOVER, **store.each)
        store.plan("pro", store.monthly(100, **rolls), each)
        store.plan("premium", store.monthly(2000))
        store.entities("ann", "ben")
        store.take("pro")
        store.track(1.25, "ann")
        store.end_of_cycle()
        store.track(2.5, "ben")
        store.track(12.25)
        before = [(store.state(one), store.rollovers(one)) for one in (None, "ann", "ben")]
        store.take("premium", free_trial={"duration_length": 1, "on_end": "revert"})
        catch_up(store)
    embedded.done(store.name("messages"), 2)
    embedded.verify()
    with embedded.serving():
        store.change("premium", cancel_action="cancel_immediately")
        after = [(store.state(one), store.rollovers(one)) for one in (None, "ann", "ben")]
        assert after == before
        catch_up(store)
    embedded.verify()


def open_locks(gateway: Gateway) -> list[Json]:
    return gateway.sql("SELECT lock_id FROM locks WHERE ended_at IS NULL")


def test_a_random_history_looks_the_same_before_and_after(embedded: Site) -> None:
    dice = random.Random(5)
    with embedded.serving() as gateway:
        world = World(gateway)
        world.actions()
        world.attach(
            world.monthly(100, rollover=ROLLOVER),
            world.pay_per_use(3, feature="users"),
            world.monthly(10, "messages", **world.each),
            world.monthly(50, "credits"),
            world.lifetime(20, "action1"),
        )
        names = ["ann", "ben", "cid"]
        world.entities(*names)
        world.control(world.usage_limit(500.5) | world.overage(enabled=True))
        for turn in range(4):
            tried = [operation(dice, world, names) for _ in range(100)]
            kept = [one for one in tried if one[0] != "entities.delete"]
            answers = asyncio.run(send_all(gateway, kept))
            assert {one.status_code for one in answers} <= {200, 400, 404, 409}
            if turn == 1:
                world.advance("20d")
                wait_until(lambda: not open_locks(gateway))
        catch_up(world)
        before = portrait(world)
    shown = embedded.shown_in_sql()
    for changes in ({"messages": 2, "credits": 3}, {"action1": 9, "messages": 9}):
        for name, places in changes.items():
            embedded.done(world.name(name), places)
        embedded.verify()
        with embedded.serving():
            assert portrait(world) == before
        assert embedded.shown_in_sql() == shown


def test_what_must_be_rounded_is_refused_and_nothing_changes(site: Site) -> None:
    with site.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        world.track(3)
        world.track(0.125)
        name = world.name("messages")
        before = world.state()
    line = site.refused(name, 2)
    assert "precision 2 does not hold all its amounts, 3 does" in line
    assert f"of customer {world.customer}" in line
    assert site.precision(name) == 6
    assert "feature missing" in site.refused("missing", 2).lower()
    with site.serving():
        assert world.state() == before
    site.done(name, 3)
    assert "precision 9 leaves the exact range" in _beyond(site, world)


def _beyond(site: Site, world: World) -> str:
    """Return why a precision is refused that is too fine for what is held."""
    with site.serving():
        world.grant(5_000_000_000)
    return site.refused(world.name("messages"), 9)


def test_a_larger_grant_is_refused_with_the_command_that_makes_it_possible(embedded: Site) -> None:
    with embedded.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        world.track(3.5)
        name = world.name("messages")
        items = [world.monthly(10_000_000_000)]
        body = {"plan_id": "large", "name": "Large", "items": items}
        refused = gateway.post("plans.create", body)
        assert refused.status_code == 400
        assert f"tallygate rescale {name} --precision 5 --env sandbox" in refused.json()["message"]
        by_hand = gateway.post(
            "balances.create", world.body(None, "messages", included_grant=10**10)
        )
        assert by_hand.status_code == 400
        assert "tallygate rescale" in by_hand.json()["message"]
    embedded.done(name, 5)
    with embedded.serving() as gateway:
        gateway.call("plans.create", **body)
        world.grant(10**10)
        assert world.state() == [10_000_000_100, 10_000_000_096.5, 3.5]


def test_it_is_refused_while_a_gateway_runs(site: Site) -> None:
    with site.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        line = site.refused(world.name("messages"), 3)
        assert "in use" in line
        assert gateway.call("features.get", feature_id=world.name("messages"))["precision"] == 6
    apart = commands.run("rescale", "messages", "--precision", 3, "--data-dir", "nowhere")
    assert "there is no data folder" in apart.stderr


def test_another_redis_than_that_of_the_gateways_is_refused(
    make_redis: MakeRedis, migrated_postgres: str, tmp_path: Path
) -> None:
    server, other = make_redis(appendonly="yes"), make_redis(appendonly="yes")
    site = Site(tmp_path, "--redis-url", server.url, "--database-url", migrated_postgres)
    with site.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
    for url in (f"{server.url}?db=7", other.url):
        urls = ("--redis-url", url, "--database-url", migrated_postgres)
        line = commands.refused("rescale", world.name("messages"), "--precision", 3, *urls)
        assert "Redis lacks what SQL has" in line
    site.done(world.name("messages"), 3)
    with site.serving():
        assert world.state() == [100, 100, 0]


def test_a_redis_from_before_it_is_not_trusted_afterwards(
    make_redis: MakeRedis, migrated_postgres: str, tmp_path: Path
) -> None:
    """Such as one whose machine went down within a second: nobody has used anything since."""
    server = make_redis(appendonly="yes", appendfsync="always")
    site = Site(tmp_path, "--redis-url", server.url, "--database-url", migrated_postgres)
    with site.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        world.track(0.5)
    server.copy_file(tmp_path / "before")
    site.done(world.name("messages"), 3)
    server.kill()
    server.put_back(tmp_path / "before")
    server.start()
    with site.serving():
        assert world.state() == [100, 99.5, 0.5]
        world.track(1)
        assert world.state() == [100, 98.5, 1.5]
    site.verify()


def test_what_a_killed_gateway_left_is_carried_first(embedded: Site) -> None:
    gateway = embedded.gateway.start()
    world = World(gateway)
    world.attach(world.monthly(100))
    asyncio.run(
        send_all(gateway, [("balances.track", world.body(None, "messages", value=0.5))] * 40)
    )
    gateway.kill()
    embedded.done(world.name("messages"), 1)
    embedded.verify()
    with embedded.serving():
        assert world.state() == [100, 80, 20]
        assert world.event_values() == [0.5] * 40


def test_a_customer_of_whom_sql_lacks_something_stays_and_refuses_it(embedded: Site) -> None:
    with embedded.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        gateway.wait_for_writer()
        with closing(gateway.redis()) as client:
            client.hincrby(key_of(world), "seq", 1)
    line = embedded.refused(world.name("messages"), 1)
    assert f"customer {world.customer} cannot leave Redis" in line
    assert embedded.precision(world.name("messages")) == 6
    # One that has none of the feature does not stand in the way.
    embedded.done(world.name("workflows"), 1)


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("embedded", "SQL gets"),
        ("embedded", "customers leave"),
        ("embedded", "subscriptions"),
        ("servers", "subscriptions"),
    ],
)
def test_killed_between_two_steps_it_has_done_all_or_nothing(
    make_site: MakeSite, kind: str, step: str
) -> None:
    site = make_site(kind)
    with site.serving() as gateway:
        world = World(gateway)
        live(world)
        catch_up(world)
        before = portrait(world)
    name = world.name("messages")
    arguments = (step, "rescale", name, "--precision", "2", *site.options)
    command = [sys.executable, "-c", HELD_AT_A_STEP, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if line.startswith(step))
        process.kill()
    assert told
    assert site.precision(name) == 6
    with site.serving():
        assert portrait(world) == before
        assert site.precision(name) == 6
    site.done(name, 2)
    with site.serving():
        assert portrait(world) == before
        go_on(world)
    site.verify()


def test_killed_once_sql_has_it_the_next_start_brings_the_streams_up(embedded: Site) -> None:
    with embedded.serving() as gateway:
        world = World(gateway)
        world.attach(world.monthly(100))
        world.track(0.5)
    name = world.name("messages")
    arguments = ("rescale", name, "--precision", "3", *embedded.options)
    command = [sys.executable, "-c", KILLED_ONCE_COMMITTED, *arguments]
    died = subprocess.run(command, env=os.environ, stderr=subprocess.DEVNULL, check=False)
    assert died.returncode == -signal.SIGKILL
    assert embedded.precision(name) == 3
    with embedded.serving():
        assert world.state() == [100, 99.5, 0.5]
        world.track(1)
        assert world.state() == [100, 98.5, 1.5]
    assert {(one["kind"], one["reseeded"]) for one in embedded.rows("incidents")} == {
        ("redis_behind", 0)
    }
    embedded.verify()
