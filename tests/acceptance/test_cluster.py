"""A Redis Cluster under the started gateway: customers are where their slots are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.keys import outbox_key, partition_of
from gateway.stream_ids import BEGINNING, place
from tests.acceptance.test_lost_redis import (
    ACKNOWLEDGED_MIN,
    CUSTOMERS,
    MESSAGES,
    RECOVERY_SECONDS,
    Load,
    fill,
    make_gateway,
    running,
    stored,
    track,
    used,
    used_in_sql,
)
from tests.acceptance.test_sentinels import beside, goes_on, on_replica
from tests.commands import run
from tests.fixtures.gateways import Gateway, Json
from tests.fixtures.sharded import ClusterProcesses
from tests.waiting import wait_until

PARTITIONS = 8


def health_of(gateway: Gateway) -> Json:
    return gateway.get("health").json()


def end_of(cluster: ClusterProcesses, at: int) -> str:
    with cluster.master_of(outbox_key(at)).client() as client:
        if not client.exists(outbox_key(at)):
            return "0-0"
        found: bytes = client.xinfo_stream(outbox_key(at))["last-generated-id"]
        return found.decode()


def carried(gateway: Gateway, cluster: ClusterProcesses) -> None:
    """Return when SQL has everything the Cluster has."""
    ends = {at: end_of(cluster, at) for at in range(PARTITIONS)}

    def is_there() -> bool:
        cursors = dict(gateway.sql("SELECT partition, stream_id FROM cursors"))
        return all(place(cursors.get(at, BEGINNING)) >= place(end) for at, end in ends.items())

    wait_until(is_there, RECOVERY_SECONDS)


def lost(gateway: Gateway, cluster: ClusterProcesses, *loads: Load) -> list[set[str]]:
    """Return what was acknowledged and is nowhere, once all agree on the rest."""
    told = {customer_id: used(gateway, customer_id) for customer_id in CUSTOMERS}
    carried(gateway, cluster)
    assert used_in_sql(gateway) == told
    found = [name for name in stored(gateway) if name]
    assert len(found) == len(set(found)), "an event is in SQL twice"
    words = "verify", "--redis-url", cluster.url, "--data-dir", gateway.folder
    verified = run(*words, TALLYGATE_PARTITIONS=str(PARTITIONS))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return [load.acknowledged - set(found) for load in loads]


def reach_sql(gateway: Gateway, customers: Sequence[str], usage: int) -> None:
    """Return when SQL has so much of each of some customers."""

    def is_there() -> bool:
        found = used_in_sql(gateway)
        return all(found[one] == usage for one in customers)

    wait_until(is_there, RECOVERY_SECONDS, lambda: str(used_in_sql(gateway)))


def test_customers_of_every_server_are_served_and_carried(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    with running(make_gateway(tmp_path, cluster.url, TALLYGATE_WORKERS="2")) as gateway:
        fill(gateway)
        for customer_id in CUSTOMERS:
            track(gateway, customer_id, 5)
        places = {partition_of("sandbox", one, PARTITIONS) for one in CUSTOMERS}
        assert len({cluster.master_of(outbox_key(at)) for at in places}) > 1
        items = [{"customer_id": one, "feature_id": MESSAGES, "value": 2} for one in CUSTOMERS]
        assert gateway.post("balances.batch_track", items).is_success
        wait_until(lambda: set(used_in_sql(gateway).values()) == {7}, RECOVERY_SECONDS)
        assert {used(gateway, one) for one in CUSTOMERS} == {7}
        wait_until(lambda: health_of(gateway)["status"] == "ok", RECOVERY_SECONDS)
        for level in "aof", "sql":
            answer = gateway.post(
                "balances.track",
                {"customer_id": CUSTOMERS[0], "feature_id": MESSAGES},
                **{"x-durability": level},
            )
            assert answer.status_code == 200, answer.text
        assert lost(gateway, cluster) == []


def test_when_a_master_is_killed_gateways_go_on_with_its_replica(
    tmp_path: Path, replicated_cluster: ClusterProcesses
) -> None:
    cluster = replicated_cluster
    with (
        running(make_gateway(tmp_path, cluster.url)) as gateway,
        beside(gateway, cluster.url) as other,
    ):
        fill(gateway)
        careful = Load(other, name="careful-", level="replica")
        with Load(gateway) as load, careful:
            goes_on(load, ACKNOWLEDGED_MIN)
            goes_on(careful)
            dead = cluster.master_of(outbox_key(partition_of("sandbox", CUSTOMERS[0], PARTITIONS)))
            kept = on_replica(dead, cluster.replica_of(dead), load)
            dead.kill()
            begun = set(load.sent)
            cluster.hurry()
            wait_until(cluster.is_well, RECOVERY_SECONDS)
            goes_on(load)
        assert used(other, CUSTOMERS[0]) == used(gateway, CUSTOMERS[0])
        gone, nothing = lost(gateway, cluster, load, careful)
        assert nothing == set()
        assert gone <= begun - kept
        told = {kind for (kind,) in gateway.sql("SELECT kind FROM incidents")}
        assert told <= {"redis_behind"}, told


def test_a_slot_that_moves_to_another_server_takes_everything_along(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    with running(make_gateway(tmp_path, cluster.url)) as gateway:
        fill(gateway)
        with Load(gateway) as load:
            goes_on(load)
            for at in range(PARTITIONS):
                key = outbox_key(at)
                owner = cluster.masters.index(cluster.master_of(key))
                cluster.move(key, cluster.masters[(owner + 1) % len(cluster.masters)])
            goes_on(load, ACKNOWLEDGED_MIN)
        assert lost(gateway, cluster, load) == [set()]
        assert gateway.sql("SELECT kind FROM incidents") == []
        log = (gateway.folder / "stdout.log").read_text()
        assert "Redis is fenced: slots have moved" in log
        assert "another server answers" not in log


def test_what_a_slot_on_its_way_does_not_hold_reaches_sql(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    with running(make_gateway(tmp_path, cluster.url)) as gateway:
        fill(gateway)
        on_its_way = partition_of("sandbox", CUSTOMERS[0], PARTITIONS)
        others = [
            one for one in CUSTOMERS if partition_of("sandbox", one, PARTITIONS) != on_its_way
        ]
        key = outbox_key(on_its_way)
        track(gateway, CUSTOMERS[0], 1)
        source = cluster.masters.index(cluster.master_of(key))
        with cluster.moving(key, cluster.masters[(source + 1) % len(cluster.masters)]):
            body = {"customer_id": CUSTOMERS[0], "feature_id": MESSAGES}
            assert gateway.post("balances.track", body).status_code == 503
            for customer_id in others:
                track(gateway, customer_id, 3)
            reach_sql(gateway, others, 3)
        assert used(gateway, CUSTOMERS[0]) == 1
        assert lost(gateway, cluster) == []
        assert gateway.sql("SELECT kind FROM incidents") == []


def test_a_server_that_was_emptied_is_filled_from_sql(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    with running(make_gateway(tmp_path, cluster.url)) as gateway:
        fill(gateway)
        for customer_id in CUSTOMERS:
            track(gateway, customer_id, 5)
        carried(gateway, cluster)
        cluster.master_of(outbox_key(partition_of("sandbox", CUSTOMERS[0], PARTITIONS))).ask(
            "FLUSHALL"
        )
        assert {used(gateway, one) for one in CUSTOMERS} == {5}
        track(gateway, CUSTOMERS[0], 1)
        assert used(gateway, CUSTOMERS[0]) == 6
        kinds = {kind for (kind,) in gateway.sql("SELECT kind FROM incidents")}
        assert kinds == {"redis_flushed"}
        assert lost(gateway, cluster) == []


def test_a_feature_is_rescaled_on_every_server(tmp_path: Path, cluster: ClusterProcesses) -> None:
    gateway = make_gateway(tmp_path, cluster.url)
    with running(gateway):
        fill(gateway)
        for customer_id in CUSTOMERS:
            track(gateway, customer_id, 5)
        words = (
            *("rescale", MESSAGES, "--precision", "3"),
            *("--redis-url", cluster.url, "--data-dir", gateway.folder),
        )
        refused = run(*words, TALLYGATE_PARTITIONS=str(PARTITIONS))
        assert refused.returncode == 1
        assert "Redis is in use from" in refused.stdout + refused.stderr
    rescaled = run(*words, TALLYGATE_PARTITIONS=str(PARTITIONS))
    assert rescaled.returncode == 0, rescaled.stdout + rescaled.stderr
    with running(gateway):
        assert {used(gateway, one) for one in CUSTOMERS} == {5}


@pytest.mark.parametrize(
    ("how", "turns", "limits"),
    [
        ("killed", 20, {}),
        ("frozen", 3, {"TALLYGATE_HOT_TIMEOUT_MS": "2000"}),  # which each turn waits twice
    ],
)
def test_customers_of_other_servers_are_served_while_one_is_gone(
    tmp_path: Path, cluster: ClusterProcesses, how: str, turns: int, limits: dict[str, str]
) -> None:
    with running(make_gateway(tmp_path, cluster.url, **limits)) as gateway:
        fill(gateway)
        places = {one: outbox_key(partition_of("sandbox", one, PARTITIONS)) for one in CUSTOMERS}
        homes = {at: cluster.master_of(outbox_key(at)) for at in range(PARTITIONS)}
        gone = cluster.master_of(places[CUSTOMERS[0]])
        others = [one for one in CUSTOMERS if cluster.master_of(places[one]) is not gone]
        carried(gateway, cluster)
        with ExitStack() as until:
            if how == "frozen":
                until.enter_context(gone.frozen())
            else:
                gone.kill()
                until.callback(gone.start)
            body = {"customer_id": CUSTOMERS[0], "feature_id": MESSAGES}
            for _ in range(turns):
                answer = gateway.post("balances.check", body)
                assert answer.headers["x-tallygate-degraded"] == "redis", answer.text
                assert gateway.post("balances.track", body).status_code == 503
                for customer_id in others:
                    track(gateway, customer_id, 1)
            for level in "aof", "sql":
                nothing = {"customer_id": others[0], "feature_id": MESSAGES, "value": 0}
                answer = gateway.post("balances.track", nothing, **{"x-durability": level})
                assert answer.status_code == 200, answer.text
            assert {used(gateway, one) for one in others} == {turns}
            reach_sql(gateway, others, turns)
            waiting = [at for at, server in homes.items() if server is gone]
            told = f"tallygate_writer_partitions {PARTITIONS - len(waiting)}.0"
            wait_until(lambda: told in gateway.get("metrics").text, RECOVERY_SECONDS)
            wait_until(lambda: gateway.get("ready").status_code == 200, RECOVERY_SECONDS)
            wait_until(lambda: health_of(gateway)["redis"] == "partial", RECOVERY_SECONDS)
            if how == "killed":  # one that stands still may be waited for too long
                wait_until(
                    lambda: health_of(gateway)["writer"]["lag_seconds"] is not None,
                    RECOVERY_SECONDS,
                )
        assert used(gateway, CUSTOMERS[0]) == 0
        assert lost(gateway, cluster) == []
        assert gateway.sql("SELECT kind FROM incidents") == []


def test_calls_about_a_customer_are_counted_where_it_is(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    limit = 3
    limits = {"TALLYGATE_RATE_LIMIT_CUSTOMER": f"{limit}/minute"}
    with running(make_gateway(tmp_path, cluster.url, **limits)) as gateway:
        fill(gateway)
        body = {"customer_id": CUSTOMERS[0], "feature_id": MESSAGES}
        codes = [gateway.post("balances.check", body).status_code for _ in range(4 * limit)]
        assert codes.count(429) >= 2 * limit, codes  # a minute may end in between
