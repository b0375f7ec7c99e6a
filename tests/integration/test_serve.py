"""``tallygate`` as a process: what it prints, how it refuses to start, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import redis

PRESET = "am_sk_test_" + "p" * 40


def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        _command(*arguments), env=_environ(settings), capture_output=True, text=True, check=False
    )


@contextmanager
def serving(*arguments: object, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve for the block; yields the process and what it printed up to its last line."""
    process = subprocess.Popen(
        _command("serve", "--port", 0, *arguments),
        env=_environ(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = ""
        while "data folder" not in printed:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            printed += line
        if not settings.get("TALLYGATE_BOOTSTRAP_KEY") and "again" not in settings:
            printed += process.stdout.readline()
        yield process, printed
    finally:
        process.kill()
        process.communicate()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gateway", *map(str, arguments)]


def _environ(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **settings}


def base_url(printed: str) -> str:
    found = re.search(r"at (http://\S+)", printed)
    assert found is not None
    return found[1]


def post(url: str, operation: str, key: str, **body: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/{operation}", json=body, headers=headers)


def test_it_serves_with_no_settings_and_keeps_everything(tmp_path: Path) -> None:
    with serving("--data-dir", tmp_path / "data") as (process, printed):
        url, key = base_url(printed), re.findall(r"am_sk_test_\w{40}", printed)[0]
        assert httpx.get(f"{url}/ready").status_code == 200
        post(url, "features.create", key, feature_id="f", name="F", type="metered", consumable=True)
        post(url, "customers.get_or_create", key, customer_id="c")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in errors) == (0, False)

    with serving("--data-dir", tmp_path / "data", again="1") as (process, printed):
        assert "am_sk_" not in printed
        assert post(base_url(printed), "customers.get", key, customer_id="c").status_code == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_a_preset_key_works_and_is_never_printed(tmp_path: Path) -> None:
    for _ in range(2):
        arguments = ("--data-dir", tmp_path / "data")
        with serving(*arguments, TALLYGATE_BOOTSTRAP_KEY=PRESET) as (process, printed):
            answer = post(base_url(printed), "features.list", PRESET)
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=30)

        assert answer.status_code == 200
        assert PRESET not in printed + output + errors


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", port, "--data-dir", tmp_path / "data")

    assert ended.returncode == 1
    assert ended.stderr == f"tallygate: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--redis-url", "redis://127.0.0.1:1"], "Redis cannot be reached at 127.0.0.1:1"),
        (["--database-url", "mysql://x"], "--database-url='***': must be sqlite:// or postgresql"),
        (["--database-url", "postgresql://u:pw@127.0.0.1:1/x"], "SQL cannot be reached"),
        (["--host", "nowhere.invalid"], "host nowhere.invalid is not an address"),
        (["--port", "99999"], "--port=99999: must be 0..65535"),
    ],
)
def test_what_stops_the_start_is_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = run("serve", "--data-dir", tmp_path / "data", "--port", 0, *arguments)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"tallygate: {message}")
    assert ended.stderr.count("\n") == 1
    assert "pw" not in ended.stderr


def test_sql_that_was_never_migrated_is_refused(
    tmp_path: Path, sqlite_url: str, empty_redis: str
) -> None:
    arguments = ("--redis-url", empty_redis, "--database-url", sqlite_url, "--port", 0)

    refused = run("serve", "--data-dir", tmp_path, *arguments)
    migrated = run("migrate", "--database-url", sqlite_url)
    with serving("--data-dir", tmp_path, *arguments[:4]) as (_, printed):
        works = httpx.get(f"{base_url(printed)}/ready")

    assert refused.stderr == "tallygate: SQL has no tables yet: run tallygate migrate\n"
    assert (migrated.returncode, works.status_code) == (0, 200)


def test_a_redis_that_may_evict_is_refused(
    tmp_path: Path, empty_redis: str, migrated_sqlite: str
) -> None:
    with redis.Redis.from_url(empty_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    arguments = ("--redis-url", empty_redis, "--database-url", migrated_sqlite, "--port", 0)

    ended = run("serve", "--data-dir", tmp_path, *arguments)

    assert ended.returncode == 1
    assert "CONFIG SET maxmemory-policy noeviction" in ended.stderr


def test_another_partition_count_is_refused_and_nothing_is_claimed(
    tmp_path: Path, empty_redis: str, migrated_sqlite: str
) -> None:
    arguments = ("--redis-url", empty_redis, "--database-url", migrated_sqlite)
    with serving("--data-dir", tmp_path, *arguments):
        pass

    with redis.Redis.from_url(empty_redis) as client:
        found = client.hget("tg:installation", "partitions")
        refused = run("serve", *arguments, "--port", 0, TALLYGATE_PARTITIONS="32")
        client.delete("tg:installation")
        by_sql = run("serve", *arguments, "--port", 0, TALLYGATE_PARTITIONS="32")
        claimed = client.exists("tg:installation")

    assert found == b"64"
    assert "Redis was set up with 64 partitions, not 32" in refused.stderr
    assert "SQL was set up with 64 partitions, not 32" in by_sql.stderr
    assert claimed == 0


def test_keys_are_made_listed_and_revoked(migrated_sqlite: str) -> None:
    database = ("--database-url", migrated_sqlite)

    made = run("keys", "create", "--env", "live", "--name", "billing", *database)
    key_id, secret = made.stdout.split()
    listed = run("keys", "list", *database)
    revoked = run("keys", "revoke", key_id, *database)
    again = run("keys", "revoke", key_id, *database)
    relisted = run("keys", "list", *database)

    assert re.fullmatch(r"am_sk_live_\w{40}", secret)
    assert key_id in listed.stdout
    assert "live" in listed.stdout
    assert secret not in listed.stdout
    assert revoked.returncode == 0
    assert again.stderr == f"tallygate: there is no live key {key_id}\n"
    assert "revoked" in relisted.stdout


def test_the_writer_runs_apart(tmp_path: Path, empty_redis: str, migrated_sqlite: str) -> None:
    arguments = ("--redis-url", empty_redis, "--database-url", migrated_sqlite)
    writer = subprocess.Popen(
        _command("writer", *arguments), env=_environ({}), stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing 64 partitions\n"
        with serving("--data-dir", tmp_path, *arguments, "--no-writer") as (_, printed):
            url, key = base_url(printed), re.findall(r"am_sk_test_\w{40}", printed)[0]
            post(url, "customers.get_or_create", key, customer_id="c")
            listed = post(url, "customers.list", key)
            health = httpx.get(f"{url}/health").json()
        writer.send_signal(signal.SIGTERM)
        writer.communicate(timeout=30)
    finally:
        writer.kill()
        writer.communicate()

    assert [each["id"] for each in listed.json()["list"]] == ["c"]
    assert health["writer"] == {"state": "apart", "lag_seconds": 0.0, "partitions_behind": 0}
    assert writer.returncode == 0


def test_the_writer_needs_a_redis_of_its_own() -> None:
    ended = run("writer")

    assert ended.returncode == 1
    assert "the embedded server has its writer inside tallygate serve" in ended.stderr


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("tallygate, version ")


@pytest.fixture
def empty_redis(valkey: str) -> Iterator[str]:
    """The URL of a server that holds nothing and evicts nothing."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
        yield valkey
        client.config_set("maxmemory-policy", "noeviction")
