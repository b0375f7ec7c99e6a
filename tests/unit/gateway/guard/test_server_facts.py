"""What INFO says of a server."""

from __future__ import annotations

import pytest

from gateway.guard.server_facts import eviction_fault, facts_of, parse_info

_INFO = (
    b"# Server\r\nredis_version:7.4.0\r\nrun_id:aa\r\n\r\n"
    b"# Replication\r\nrole:master\r\nmaster_replid:bb\r\n"
    b"# Memory\r\nmaxmemory_policy:noeviction\r\n"
)


def test_process_and_history_together_name_a_server() -> None:
    assert facts_of(parse_info(_INFO)).run_id == "aa-bb"


def test_another_database_of_a_server_is_another_redis() -> None:
    assert facts_of(parse_info(_INFO), 3).run_id == "aa-bb-3"
    assert facts_of({"role": "master"}, 3).run_id == ""


def test_a_reply_of_the_newer_protocol_is_read_as_well() -> None:
    assert parse_info("txt:run_id:aa\r\nrole:master\r\n") == {"run_id": "aa", "role": "master"}


def test_a_master_that_evicts_nothing_has_no_fault() -> None:
    assert facts_of(parse_info(_INFO)).fault == ""


@pytest.mark.parametrize(
    ("told", "instead", "fault"),
    [
        (b"role:master", b"role:slave", "a slave, not a master"),
        (b"run_id:aa", b"run_id:", "does not tell its run_id"),
        (b"noeviction", b"allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
    ],
)
def test_what_forbids_a_server_is_named(told: bytes, instead: bytes, fault: str) -> None:
    assert fault in facts_of(parse_info(_INFO.replace(told, instead))).fault


def test_a_policy_that_is_not_told_counts_as_right() -> None:
    assert eviction_fault("") == ""
