"""Starting and stopping: what is printed, what is refused in one line, on which servers it runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from tests.commands import line_of_refusal, refused, run, run_process
from tests.fixtures.gateways import KEY, START_SECONDS, Gateway, form_team
from tests.waiting import wait_until


def test_a_wrong_setting_is_refused_by_name(tmp_path: Path) -> None:
    line = refused("serve", TALLYGATE_PORT="99999", TALLYGATE_DATA_DIR=str(tmp_path))
    assert "TALLYGATE_PORT" in line


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused("serve", "--port", str(port), TALLYGATE_DATA_DIR=str(tmp_path))
    assert str(port) in line


def test_an_unreachable_redis_is_refused(tmp_path: Path) -> None:
    words = ("serve", "--redis-url", "redis://127.0.0.1:1")
    ended = run_process(*words, TALLYGATE_DATA_DIR=str(tmp_path))
    assert "Redis" in line_of_refusal(ended)


def test_sentinels_that_do_not_answer_are_told_of(tmp_path: Path) -> None:
    url = "redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:2/tally?sentinel_password=secret"
    line = refused("serve", "--redis-url", url, TALLYGATE_DATA_DIR=str(tmp_path))
    where = "Redis cannot be reached at tally of the Sentinels 127.0.0.1:1, 127.0.0.1:2: "
    assert f"{where}Error connecting to Redis: no Sentinel names a master (127.0.0.1:1: " in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@127.0.0.1:99999",
        "redis://:sec/ret@127.0.0.1:6379",
        "redis://[::1",
        "redis://127.0.0.1?secret=1",
        "redis://127.0.0.1/secret",
        "redis://127.0.0.1/1/2",
        "redis://127.0.0.1?socket_timeout=secret",
        "redis+sentinel://:secret@127.0.0.1:26379",
        "redis+sentinel://:1/sec@127.0.0.1:26379/tally",
        "redis+sentinel://127.0.0.1/tally/secret",
        "rediss+sentinel://127.0.0.1/tally?sentinel_secret=1",
    ],
)
@pytest.mark.parametrize("command", ["serve", "writer", "verify"])
def test_a_redis_url_that_cannot_be_read_is_refused(tmp_path: Path, command: str, url: str) -> None:
    database = f"sqlite:///{tmp_path / 'tallygate.db'}"
    assert run("migrate", "--database-url", database).returncode == 0
    line = refused(command, "--redis-url", url, "--database-url", database)
    assert "the Redis URL is not readable" in line
    assert "sec" not in line


@pytest.mark.parametrize("command", ["serve", "migrate", "keys list"])
@pytest.mark.parametrize("url", ["postgresql://u:secret@[::1/x", "postgresql://u@h:secret/x"])
def test_a_database_url_that_cannot_be_read_is_refused(
    tmp_path: Path, command: str, url: str
) -> None:
    line = refused(
        *command.split(), "--database-url", url, TALLYGATE_DATA_DIR=str(tmp_path / "data")
    )
    assert "the database URL is not readable" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("serve --host 127.0.0..1", "host 127.0.0..1 is not an address"),
        ("migrate --database-url postgresql://db..example/x", "db..example names no host"),
        ("keys list --database-url sqlite://./here.db", "the SQLite URL names no file"),
        ("report usage --customer a\udcff", "is not UTF-8"),
        ("keys revoke a\udcff", "is not UTF-8"),
    ],
)
def test_a_word_that_is_mistyped_is_refused(tmp_path: Path, words: str, reason: str) -> None:
    line = refused(*words.split(), TALLYGATE_DATA_DIR=str(tmp_path / "data"))
    assert reason in line


def test_a_writer_with_a_mistyped_host_is_refused() -> None:
    place = {"TALLYGATE_HOST": "metrics..example", "TALLYGATE_METRICS_PORT": "9100"}
    line = refused("writer", "--redis-url", "redis://127.0.0.1:1", **place)
    assert "cannot listen on metrics..example:9100: no host can have such a name" in line


@pytest.mark.parametrize("command", ["verify", "repair", "keys list", "report usage"])
def test_what_looks_into_a_data_folder_makes_none(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "elsewhere"
    refused(*command.split(), TALLYGATE_DATA_DIR=str(folder))
    assert not folder.exists()


@pytest.mark.parametrize("command", ["serve", "keys list", "report usage"])
def test_a_sqlite_file_that_is_not_there_is_not_made(
    tmp_path: Path, empty: str, command: str
) -> None:
    file = tmp_path / "mistyped.db"
    urls = {"TALLYGATE_REDIS_URL": empty, "TALLYGATE_DATABASE_URL": f"sqlite:///{file}"}
    assert "SQL has no tables yet" in refused(*command.split(), **urls)
    assert not file.exists()


@pytest.fixture
def empty(valkey: str) -> str:
    """A Redis that no other test has set up."""
    with closing(redis.Redis.from_url(valkey)) as client:
        client.flushall()
    return valkey


def test_an_unreachable_database_is_refused(tmp_path: Path, empty: str) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    line = refused(
        "serve", "--redis-url", empty, "--database-url", url, TALLYGATE_DATA_DIR=str(tmp_path)
    )
    assert "SQL cannot be reached" in line


def test_an_unmigrated_database_is_refused_and_says_what_to_do(tmp_path: Path, empty: str) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    line = refused(
        "serve", "--redis-url", empty, "--database-url", url, TALLYGATE_DATA_DIR=str(tmp_path)
    )
    assert "tallygate migrate" in line


@pytest.fixture
def evicting(empty: str) -> Iterator[str]:
    with closing(redis.Redis.from_url(empty)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield empty
        client.config_set("maxmemory-policy", "noeviction")


def test_a_redis_that_may_evict_is_refused(tmp_path: Path, evicting: str) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert run("migrate", "--database-url", url).returncode == 0
    line = refused(
        "serve", "--redis-url", evicting, "--database-url", url, TALLYGATE_DATA_DIR=str(tmp_path)
    )
    assert "noeviction" in line


def test_a_data_folder_that_is_in_use_is_refused(shared_gateway: Gateway) -> None:
    line = refused("serve", "--port", "0", TALLYGATE_DATA_DIR=str(shared_gateway.folder))
    assert str(shared_gateway.folder) in line


def test_the_first_start_prints_a_key_once_and_keeps_its_hash_only(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", environment={"TALLYGATE_BOOTSTRAP_KEY": ""})
    try:
        gateway.start()
        printed = (gateway.folder / "stdout.log").read_text()
        key = next(word for word in printed.split() if word.startswith("am_sk_test_"))
        answer = gateway.post("features.list", {}, authorization=f"Bearer {key}")
        assert answer.status_code == 200
        assert gateway.stop() == 0
        stored = (gateway.folder / "tallygate.db").read_bytes()
        assert key.encode() not in stored
        gateway.start()
        assert "am_sk_" not in (gateway.folder / "stdout.log").read_text()
    finally:
        gateway.stop()


def test_sigterm_flushes_the_writer_and_stops_the_embedded_server(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data").start()
    form_team(gateway)
    with closing(gateway.redis()) as client:
        server = client.info("server")["process_id"]
    for number in range(50):
        gateway.call(
            "entities.create", customer_id="org_123", entity_id=str(number), feature_id="seats"
        )
    assert gateway.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(server, signal.SIG_DFL)
    assert gateway.sql("SELECT count(*) FROM entities") == [(50,)]


def test_keys_are_created_listed_and_revoked(shared_gateway: Gateway) -> None:
    folder = {"TALLYGATE_DATA_DIR": str(shared_gateway.folder)}
    created = run_process("keys", "create", **folder)
    key = next(word for word in created.stdout.split() if word.startswith("am_sk_"))
    headers = {"authorization": f"Bearer {key}"}

    def status() -> int:
        return shared_gateway.post("features.list", {}, **headers).status_code

    assert status() == 200
    listed = run("keys", "list", **folder).stdout
    assert key not in listed
    (line,) = [one for one in listed.splitlines() if key[:14] in one and KEY[:14] not in one]
    rotated = run("keys", "rotate", line.split()[0], "--grace", "2s", **folder)
    assert "works until" in rotated.stdout
    wait_until(lambda: status() == 401)
    key = next(word for word in rotated.stdout.split() if word.startswith("am_sk_"))
    headers["authorization"] = f"Bearer {key}"
    assert status() == 200
    assert run("keys", "revoke", rotated.stdout.split()[0], **folder).returncode == 0
    wait_until(lambda: status() == 401)


def test_keys_may_be_publishable_or_have_scopes(tmp_path: Path) -> None:
    folder = {"TALLYGATE_DATA_DIR": str(tmp_path)}
    assert run("migrate", **folder).returncode == 0
    page = run("keys", "create", "--publishable", "--env", "live", **folder).stdout
    run("keys", "create", "--scope", "balances:read", "--scope", "plans:write", **folder)
    both = run("keys", "create", "--publishable", "--scope", "balances:read", **folder)
    wrong = run("keys", "create", "--scope", "everything", **folder)
    long = run("keys", "rotate", page.split()[0], "--grace", "91d", **folder)
    successor = run("keys", "rotate", page.split()[0], **folder).stdout
    twice = run("keys", "rotate", page.split()[0], **folder)

    assert page.split()[1].startswith("am_pk_live_")
    assert successor.split()[1].startswith("am_pk_live_")
    listed = run("keys", "list", **folder).stdout
    assert "balances:read plans:write" in listed
    assert " until " in listed
    # A key of the sandbox is nowhere called live, which is the name of the other environment.
    assert {line.split()[3] for line in listed.splitlines()} == {"valid", "until"}
    for ended in (both, wrong, long, twice):
        assert ended.returncode != 0
        assert "Traceback" not in ended.stderr


def test_it_serves_on_a_real_redis_and_postgresql_with_the_writer_apart(
    tmp_path: Path, empty: str, postgres: str
) -> None:
    assert run_process("migrate", "--database-url", postgres).returncode == 0
    urls = ("--redis-url", empty, "--database-url", postgres)
    # A machine that runs many tests may let the writer stand still for longer than a list waits.
    patience = {"TALLYGATE_RESTORE_WAIT_MS": "20000"}
    gateway = Gateway(tmp_path / "data", *urls, "--no-writer", environment=patience)
    writer = subprocess.Popen([sys.executable, "-m", "gateway", "writer", *urls])
    try:
        gateway.start()
        form_team(gateway, "a", "b", "c")
        gateway.call(
            "balances.track", customer_id="org_123", feature_id="meeting_summaries", value=60
        )
        listed = gateway.call("events.list", customer_id="org_123")["list"]
        assert [one["value"] for one in listed] == [60, 1, 1, 1]
        plain = postgres.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(plain) as connection:
            used = connection.execute(
                "SELECT e.entity_id, s.used FROM slots s JOIN entities e"
                " USING (internal_id, entity_id) ORDER BY e.number"
            ).fetchall()
        assert used == [("a", 50 * 10**6), ("b", 10 * 10**6)]
    finally:
        writer.terminate()
        assert writer.wait(START_SECONDS) == 0
        assert gateway.stop() == 0
