"""A deployment with Sentinels under the started gateway: it goes where they say the master is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.test_lost_redis import (
    ACKNOWLEDGED_MIN,
    CUSTOMERS,
    RECOVERY_SECONDS,
    Load,
    agrees,
    fill,
    make_gateway,
    running,
    stored,
    used,
)
from tests.commands import run
from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import RedisProcess
from tests.fixtures.watched import Watched
from tests.waiting import wait_until


@contextmanager
def beside(gateway: Gateway, url: str) -> Iterator[Gateway]:
    """Start a second gateway of the same installation, which soon gives up what is not reached."""
    folder = gateway.folder.parent / "beside"
    folder.mkdir()
    environment = {
        "TALLYGATE_DATABASE_URL": f"sqlite:///{gateway.folder / 'tallygate.db'}",
        "TALLYGATE_DURABILITY_TIMEOUT_MS": "500",
    }
    with running(make_gateway(folder, url, **environment)) as made:
        yield made


def goes_on(load: Load, calls: int = 20) -> None:
    """Return once so many more calls are acknowledged."""
    enough = len(load.acknowledged) + calls
    wait_until(lambda: len(load.acknowledged) >= enough, RECOVERY_SECONDS)


def on_replica(master: RedisProcess, replica: RedisProcess, load: Load) -> set[str]:
    """Return what was acknowledged, once the replica has all of that."""
    acknowledged = set(load.acknowledged)
    with master.client() as client:
        end = client.info("replication")["master_repl_offset"]

    def is_there() -> bool:
        with replica.client() as client:
            return bool(client.info("replication")["slave_repl_offset"] >= end)

    wait_until(is_there, RECOVERY_SECONDS)
    return acknowledged


def lost(gateway: Gateway, watched: Watched, *loads: Load) -> list[set[str]]:
    """Return what was acknowledged and is nowhere, once all agree on the rest."""
    agrees(gateway, watched.replica)
    found = stored(gateway)
    assert len(found) == len(set(found)), "an event is in SQL twice"
    words = "verify", "--redis-url", watched.url, "--data-dir", gateway.folder
    verified = run(*words, TALLYGATE_PARTITIONS="8")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return [load.acknowledged - set(found) for load in loads]


def test_when_the_master_is_killed_gateways_go_on_with_its_replica(
    tmp_path: Path, watched: Watched
) -> None:
    with (
        running(make_gateway(tmp_path, watched.url)) as gateway,
        beside(gateway, watched.url) as other,
    ):
        fill(gateway)
        careful = Load(other, name="careful-", level="replica")
        with Load(gateway) as load, careful:
            goes_on(load, ACKNOWLEDGED_MIN)
            goes_on(careful)
            kept = on_replica(watched.master, watched.replica, load)
            watched.lose_master()
            begun = set(load.sent)
            wait_until(watched.is_moved, RECOVERY_SECONDS)
            goes_on(load)
        assert used(other, CUSTOMERS[0]) == used(gateway, CUSTOMERS[0])
        gone, nothing = lost(gateway, watched, load, careful)
        assert nothing == set()
        assert gone <= begun - kept
        told = {kind for (kind,) in gateway.sql("SELECT kind FROM incidents")}
        assert told <= {"redis_behind"}, told


def test_a_planned_move_loses_nothing(tmp_path: Path, watched: Watched) -> None:
    with running(make_gateway(tmp_path, watched.url)) as gateway:
        fill(gateway)
        with Load(gateway) as load:
            goes_on(load)
            watched.move()
            goes_on(load)
        assert lost(gateway, watched, load) == [set()]
        assert gateway.sql("SELECT kind FROM incidents") == []
