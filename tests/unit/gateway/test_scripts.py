"""Composing scripts, and what a failing connection means for the caller."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway import scripts
from gateway.errors import UnavailableError, UnknownOutcomeError
from gateway.keys import customer_keys
from gateway.scripts import Context, Part, Scripts, Status, compose, entry_names

KEYS = customer_keys("sandbox", "ada", 64)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of scripts of a test's own."""
    (tmp_path / "include").mkdir()
    monkeypatch.setattr(scripts, "_ROOT", tmp_path)
    return tmp_path


def write(tree: Path, **files: str) -> None:
    for name, includes in files.items():
        folder = tree if name.startswith("run") else tree / "include"
        lines = [f"--@include {include}\n" for include in includes.split()]
        (folder / f"{name}.lua").write_text(f"{''.join(lines)}local function {name}() end\n")


def order(text: str) -> list[str]:
    return re.findall(r"function (\w+)", text)


def test_includes_come_before_their_users(tree: Path) -> None:
    write(tree, run="a b", a="c", b="", c="")
    assert order(compose("run")) == ["c", "a", "b", "run"]


def test_an_include_that_several_name_comes_once(tree: Path) -> None:
    write(tree, run="a b c", a="c", b="c a", c="")
    assert order(compose("run")) == ["c", "a", "b", "run"]


def test_includes_that_go_in_a_circle_are_refused(tree: Path) -> None:
    write(tree, run="a", a="b", b="c", c="a")
    with pytest.raises(ValueError, match="in a circle: a > b > c > a"):
        compose("run")


def test_a_missing_include_is_an_error(tree: Path) -> None:
    write(tree, run="a")
    with pytest.raises(FileNotFoundError):
        compose("run")


def test_only_files_beside_the_includes_are_scripts(tree: Path) -> None:
    write(tree, run_b="", run_a="", c="")
    (tree / "README.md").write_text("")
    assert entry_names() == ["run_a", "run_b"]


def test_an_indented_or_other_comment_includes_nothing(tree: Path) -> None:
    (tree / "run.lua").write_text("-- @include a\n  --@include b\n--@included c\n")
    assert compose("run").count("function") == 0


class Broken(Redis):
    """A client whose first commands fail as told; what it is asked is kept."""

    def __init__(self, *failures: RedisError) -> None:
        super().__init__()
        self._failures = list(failures)
        self.asked: list[str] = []

    async def execute_command(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - as inherited
        self.asked.append(words[0])
        if self._failures:
            raise self._failures.pop(0)
        return cast("Any", [int(Status.DONE), 1, 1, 1, [[b""] * 13], []])


async def change(client: Redis) -> Status:
    context = Context(KEYS, "sandbox", "ada", "req_1", 1)
    return await Scripts(client).delete_customer(context)


@pytest.mark.parametrize("failure", [RedisConnectionError("gone"), RedisTimeoutError("late")])
async def test_a_change_whose_connection_is_lost_has_an_unknown_outcome(
    failure: RedisError,
) -> None:
    client = Broken(failure)
    with pytest.raises(UnknownOutcomeError):
        await change(client)
    assert client.asked == ["EVALSHA"]


@pytest.mark.parametrize("failure", [RedisConnectionError("gone"), RedisTimeoutError("late")])
async def test_a_reading_whose_connection_is_lost_is_unavailable(failure: RedisError) -> None:
    with pytest.raises(UnavailableError):
        await Scripts(Broken(failure)).check(KEYS, 1, "", Part("calls", 1))


@pytest.mark.parametrize("text", ["LOADING x", "MASTERDOWN x", "READONLY x"])
async def test_a_server_that_is_not_ready_is_unavailable(text: str) -> None:
    with pytest.raises(UnavailableError):
        await change(Broken(ResponseError(text)))


async def test_a_full_server_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        await change(Broken(OutOfMemoryError("OOM x")))


async def test_a_server_that_forgot_the_scripts_gets_them_again() -> None:
    client = Broken(NoScriptError("NOSCRIPT x"))
    assert await change(client) is Status.DONE
    assert client.asked == ["EVALSHA", *["SCRIPT LOAD"] * len(entry_names()), "EVALSHA"]


async def test_a_fault_of_a_script_is_not_hidden() -> None:
    with pytest.raises(ResponseError, match="a bug"):
        await change(Broken(ResponseError("ERR a bug")))


async def test_reading_uses_the_command_that_cannot_write() -> None:
    client = Broken()
    await Scripts(client).check(KEYS, 1, "", Part("calls", 1))
    await Scripts(client, read_only_commands=False).check(KEYS, 1, "", Part("calls", 1))
    assert client.asked == ["EVALSHA_RO", "EVALSHA"]


async def test_a_change_that_was_never_sent_is_unavailable_and_not_unknown(tmp_path: Path) -> None:
    async with Redis(unix_socket_path=str(tmp_path / "nobody")) as nobody:
        with pytest.raises(UnavailableError) as caught:
            await change(nobody)
    assert not isinstance(caught.value, UnknownOutcomeError)


async def test_a_change_that_found_no_free_connection_is_unavailable() -> None:
    pool: Any = BlockingConnectionPool(max_connections=1, timeout=0)
    pool.get_available_connection()  # the only one is taken
    with pytest.raises(UnavailableError) as caught:
        await change(Redis(connection_pool=pool))
    assert not isinstance(caught.value, UnknownOutcomeError)
