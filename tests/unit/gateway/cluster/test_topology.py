"""Who has which key of a Cluster, and what its servers are together."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from gateway.cluster.topology import Topology, told_of, topology_of
from gateway.guard.server_facts import facts_of
from gateway.keys import seal_key
from gateway.redis_urls import Address

A, B = Address("a", 1), Address("b", 2)
ASKED = Address("asked", 9)
HALF = 8192
PARTITIONS = 8


def told(*parts: tuple[int, int, bytes | None, int]) -> list[Any]:
    """Return a reply of CLUSTER SLOTS, with a replica each."""
    replica = [b"r", 3, b"id", []]
    return [[first, last, [host, port, b"id", []], replica] for first, last, host, port in parts]


def halves() -> Topology:
    made = Topology([A])
    made.take(told((0, HALF - 1, b"a", 1), (HALF, 16383, b"b", 2)), ASKED)
    return made


def test_a_key_is_where_its_slot_is() -> None:
    topology = halves()
    for at in range(PARTITIONS):
        key = seal_key(at)
        owner = A if key_slot(key.encode()) < HALF else B
        assert topology.owner(key) == topology.owner(key.encode()) == owner
    assert topology.servers == [A, B]


def test_of_each_server_that_has_partitions_one_is_told() -> None:
    topology = halves()
    homes = topology.homes(PARTITIONS)
    assert homes.keys() == {A, B}
    assert all(topology.owner(seal_key(at)) == server for server, at in homes.items())
    topology.take(told((0, 16383, b"b", 2)), ASKED)
    assert topology.homes(PARTITIONS).keys() == {B}


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_server_that_does_not_know_its_name_has_the_one_it_was_asked_by(
    host: bytes | None,
) -> None:
    topology = Topology([A])
    topology.take(told((0, 16383, host, 7)), ASKED)
    assert topology.servers == [Address("asked", 7)]


def test_a_slot_nobody_serves_is_an_error_that_changes_nothing() -> None:
    topology = Topology([A])
    with pytest.raises(ClusterDownError):
        topology.owner("tg:{p00}:seal")
    topology.take(told((0, 1, b"a", 1)), ASKED)
    with pytest.raises(ClusterDownError):
        topology.owner("tg:{p00}:seal")


def test_what_is_told_again_is_no_news() -> None:
    topology = halves()
    before = topology.owners
    topology.take(told((0, HALF - 1, b"a", 1), (HALF, 16383, b"b", 2)), ASKED)
    assert topology.owners is before
    topology.take(told((0, 16383, b"b", 2)), ASKED)
    assert topology.owners is not before


def test_all_clients_of_a_process_share_what_one_learns() -> None:
    assert topology_of((A, B)) is topology_of((A, B))


def info(run_id: str, **fields: str) -> dict[str, str]:
    well = {"role": "master", "maxmemory_policy": "noeviction", "aof_enabled": "1"}
    return well | {"run_id": run_id, "master_replid": f"r-{run_id}"} | fields


def test_the_servers_are_one_with_a_run_id_of_its_own() -> None:
    facts = facts_of(halves().merged({A: info("x"), B: info("y")}, PARTITIONS))
    assert facts.fault == ""
    assert facts.run_id.startswith("cluster-")
    assert facts.run_ids == {"x-r-x", "y-r-y"}


def test_another_process_history_or_owner_is_another_run_id() -> None:
    topology = halves()
    whole = {A: info("x"), B: info("y")}
    ids = [
        facts_of(topology.merged(one, PARTITIONS)).run_id
        for one in (whole, whole | {B: info("z")}, whole | {A: info("x", master_replid="new")})
    ]
    moved = key_slot(seal_key(0).encode())
    topology.take(
        told(*((at, at, *((b"b", 2) if at == moved else (b"a", 1))) for at in range(16384))), ASKED
    )
    ids.append(facts_of(topology.merged(whole, PARTITIONS)).run_id)
    assert len(set(ids)) == len(ids)
    assert facts_of(halves().merged(whole, PARTITIONS)).run_id == ids[0]


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("role", "slave", "not a master"),
        ("maxmemory_policy", "allkeys-lru", "noeviction"),
        ("run_id", "", "run_id"),
    ],
)
def test_what_forbids_one_server_forbids_all(field: str, value: str, word: str) -> None:
    for at in A, B:
        whole = {A: info("x"), B: info("y")}
        whole[at] = info("z") | {field: value}
        assert word in facts_of(halves().merged(whole, PARTITIONS)).fault


def test_of_several_versions_the_oldest_is_told() -> None:
    whole = {A: info("x", redis_version="7.2.4"), B: info("y", redis_version="6.2.20")}
    for told in whole, dict(reversed(whole.items())):
        assert halves().merged(told, PARTITIONS)["redis_version"] == "6.2.20"


def test_one_server_without_a_file_is_told_of() -> None:
    whole = {A: info("x"), B: info("y", aof_enabled="0")}
    assert halves().merged(whole, PARTITIONS)["aof_enabled"] == "0"


def test_of_a_key_that_is_elsewhere_the_error_says_so() -> None:
    told = [told_of(error) for error in (MovedError("7 b:2"), AskError("7 b:2"), KeyError())]
    assert told == ["MOVED 7 b:2", "ASK 7 b:2", "KeyError"]
