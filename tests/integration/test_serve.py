"""``tallygate`` as a process: the refusals and keys the acceptance tests do not start it for."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from tests.commands import run, run_process

PRESET = "am_sk_test_" + "p" * 40


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve with a preset key for the block; yields the process and what it printed."""
    process = subprocess.Popen(
        _command("serve", "--port", 0, *arguments),
        env=_environ({"TALLYGATE_BOOTSTRAP_KEY": PRESET}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = ""
        while "API page" not in printed:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            printed += line
        yield process, printed
    finally:
        process.kill()
        process.communicate()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gateway", *map(str, arguments)]


def _environ(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **settings}


def test_a_preset_key_works_at_every_start_and_is_never_printed(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving("--data-dir", tmp_path / "data") as (process, printed):
            found = re.search(r"at (http://\S+)", printed)
            assert found is not None
            headers = {"authorization": f"Bearer {PRESET}"}
            answer = httpx.post(f"{found[1]}/v1/features.list", headers=headers)
            process.send_signal(number)
            output, errors = process.communicate(timeout=30)

        assert (answer.status_code, process.returncode) == (200, 0)
        assert PRESET not in printed + output + errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--database-url", "mysql://pw"], "--database-url='***': must be sqlite:// or"),
        (["serve", "--host", "nowhere.invalid"], "host nowhere.invalid is not an address"),
        (["writer"], "the embedded server has its writer inside tallygate serve"),
    ],
)
def test_what_stops_the_start_is_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    ended = run(*arguments, TALLYGATE_DATA_DIR=str(tmp_path / "data"))

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"tallygate: {message}")
    assert ended.stderr.count("\n") == 1
    assert "pw" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_variable_that_is_no_setting_is_told_by_a_command_that_goes_on(tmp_path: Path) -> None:
    ended = run("migrate", "--data-dir", tmp_path, TALLYGATE_ON_OUTGE="open", TALLYGATE_KEY="k")

    warning = "TALLYGATE_ON_OUTGE is no setting and changes nothing; did you mean"
    assert (ended.returncode, ended.stderr.count("\n")) == (0, 1)
    assert f"{warning} TALLYGATE_ON_OUTAGE?" in ended.stderr


def test_another_partition_count_is_refused_and_nothing_is_claimed(
    tmp_path: Path, empty_redis: str, migrated_sqlite: str
) -> None:
    arguments = ("--redis-url", empty_redis, "--database-url", migrated_sqlite)
    with serving("--data-dir", tmp_path, *arguments):
        pass

    with redis.Redis.from_url(empty_redis) as client:
        found = client.hget("tg:installation", "partitions")
        by_redis = run("serve", *arguments, "--port", 0, TALLYGATE_PARTITIONS="32")
        client.delete("tg:installation")
        by_sql = run("serve", *arguments, "--port", 0, TALLYGATE_PARTITIONS="32")
        claimed = client.exists("tg:installation")

    assert found == b"64"
    assert "Redis was set up with 64 partitions, not 32" in by_redis.stderr
    assert "SQL was set up with 64 partitions, not 32" in by_sql.stderr
    assert claimed == 0


def test_the_greeting_names_no_folder_that_nothing_is_kept_in(
    tmp_path: Path, empty_redis: str, migrated_sqlite: str
) -> None:
    folder = tmp_path / "data"
    arguments = ("--redis-url", empty_redis, "--database-url", migrated_sqlite)
    with serving("--data-dir", folder, *arguments) as (process, printed):
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert "data folder" not in printed + output
    assert not folder.exists()


def test_commands_on_sql_alone_fix_no_partitions_and_need_none(migrated_sqlite: str) -> None:
    for words in (["keys", "create"], ["webhooks", "list"], ["report", "balances"]):
        ended = run(*words, "--database-url", migrated_sqlite)
        assert ended.returncode == 0, ended.stderr
    with closing(sqlite3.connect(migrated_sqlite.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT partitions FROM installation").fetchall() == []


def test_who_may_only_read_gets_reports(migrated_postgres: str) -> None:
    name = migrated_postgres.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(migrated_postgres.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())

    ended = run("report", "balances", "--database-url", migrated_postgres)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("env")


def test_an_output_that_takes_nothing_is_one_line(migrated_sqlite: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            _command("report", "balances", "--database-url", migrated_sqlite),
            env=_environ({}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "tallygate: No space left on device\n")


def test_the_version_is_told() -> None:
    assert run_process("--version").stdout.startswith("tallygate, version ")


@pytest.fixture
def empty_redis(valkey: str) -> Iterator[str]:
    """The URL of a server that holds nothing and evicts nothing."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
        yield valkey
