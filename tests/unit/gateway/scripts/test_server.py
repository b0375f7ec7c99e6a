"""What a failing connection means for the caller, and how the library comes to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import (
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import RedisUnavailableError, UnavailableError, UnknownOutcomeError
from gateway.keys import customer_keys
from gateway.scripts import Context, Ending, Part, Scripts, Status
from gateway.scripts.asking import Words
from gateway.scripts.breaker import FAULTS_MAX, Breaker
from gateway.scripts.faults import PipeLostError, PipeUnsentError
from gateway.scripts.pipe import Pipe, Receiver
from gateway.scripts.server import STEP

KEYS = customer_keys("sandbox", "ada", 64)

CHECKED = b"\x01".join((b"1", b"1", b"1", b"1", b"\x04" * 12, b""))
"""A reply of ``check``."""


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
        return CHECKED if words[0] == "FCALL_RO" else [int(Status.DONE)]


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
    assert client.asked == ["FCALL"]


@pytest.mark.parametrize("failure", [RedisConnectionError("gone"), RedisTimeoutError("late")])
async def test_a_reading_whose_connection_is_lost_is_unavailable(failure: RedisError) -> None:
    with pytest.raises(UnavailableError):
        await Scripts(Broken(failure)).check(KEYS, 1, "", Part("calls", 1))


@pytest.mark.parametrize("text", ["LOADING x", "MASTERDOWN x", "READONLY x"])
async def test_a_server_that_is_not_ready_is_unavailable(text: str) -> None:
    with pytest.raises(UnavailableError):
        await change(Broken(ResponseError(text)))


@pytest.mark.parametrize("kind", [ReadOnlyError, MasterDownError, BusyLoadingError])
async def test_a_server_that_refuses_before_a_script_runs_is_unavailable(
    kind: type[RedisError],
) -> None:
    # As redis-py hands them over: with a class, without the first word.
    with pytest.raises(UnavailableError) as caught:
        await change(Broken(kind("not now")))
    assert not isinstance(caught.value, UnknownOutcomeError)


async def test_a_full_server_says_what_to_do() -> None:
    with pytest.raises(RedisUnavailableError, match=r"^Redis is full \(maxmemory\)"):
        await change(Broken(OutOfMemoryError("command not allowed")))


@pytest.mark.parametrize(
    "failure",
    [
        RedisConnectionError("Error 111 connecting to 10.0.0.7:6379"),
        NoPermissionError("User tally has no permissions"),
    ],
)
async def test_what_a_fault_says_of_the_server_is_for_the_log_alone(
    failure: RedisError, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RedisUnavailableError) as caught:
        await change(Broken(failure, failure))
    assert str(failure) not in caught.value.message
    assert str(caught.value) == f"Redis does not answer: {failure}"
    assert caplog.messages == [
        f"Redis did not carry out a call: {type(failure).__name__}: {failure}"
    ]


async def test_faults_get_one_line_of_the_log_a_second(caplog: pytest.LogCaptureFixture) -> None:
    scripts = Scripts(Broken(*[RedisTimeoutError("late")] * 3))
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await scripts.check(KEYS, 1, "", Part("calls", 1))
    assert caplog.messages == ["Redis did not carry out a call: TimeoutError: late"]


async def test_after_some_faults_in_a_row_redis_is_not_even_asked() -> None:
    client = Broken(*[RedisTimeoutError("late")] * FAULTS_MAX)
    scripts = Scripts(client)
    for _ in range(FAULTS_MAX):
        with pytest.raises(UnavailableError):
            await scripts.check(KEYS, 1, "", Part("calls", 1))
    assert len(client.asked) == FAULTS_MAX
    with pytest.raises(RedisUnavailableError, match="given a pause") as caught:
        await scripts.delete_customer(Context(KEYS, "sandbox", "ada", "req_1", 1))
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert len(client.asked) == FAULTS_MAX


@pytest.mark.parametrize(
    "failure",
    [ResponseError("ERR a bug"), OutOfMemoryError("full"), RedisConnectionError("Too many calls")],
)
async def test_an_answer_or_a_crowd_of_ours_is_no_reason_not_to_ask(failure: RedisError) -> None:
    client = Broken(*[failure] * (2 * FAULTS_MAX))
    scripts = Scripts(client)
    for _ in range(2 * FAULTS_MAX):
        with pytest.raises((UnavailableError, ResponseError)):
            await scripts.check(KEYS, 1, "", Part("calls", 1))
    assert len(client.asked) == 2 * FAULTS_MAX


class Shared(Pipe):
    """A pipe that answers at once; what it is asked is kept."""

    def __init__(self, reply: object = None, *, is_full: bool = False) -> None:
        super().__init__(cast("Any", None), timeout_seconds=1)
        self.asked: list[object] = []
        self._reply = reply
        self._is_full = is_full

    async def call(self, *words: str | bytes | int) -> Any:  # noqa: ANN401 - as inherited
        self.asked.append(words[0])
        return int(Status.CUSTOMER_MISSING) if self._reply is None else self._reply

    async def call_all(self, commands: Sequence[Words]) -> list[Any]:
        self.asked += [next(iter(words)) for words in commands]
        return [None for _ in commands]

    def send(self, command: bytes, receiver: Receiver) -> None:
        if self._is_full:
            raise PipeUnsentError("Too many calls wait for Redis")
        self.asked.append(command)
        receiver(self._reply)


async def test_check_and_track_take_the_hot_way_and_what_is_rare_does_not() -> None:
    client, pipe = Broken(), Shared()
    scripts = Scripts(client, pipe)
    await scripts.check(KEYS, 1, "", Part("calls", 1))
    await scripts.delete_customer(Context(KEYS, "sandbox", "ada", "req_1", 1))
    assert (pipe.asked, client.asked) == (["FCALL_RO"], ["FCALL"])


async def test_a_lock_is_found_and_ended_on_the_hot_way() -> None:
    client, pipe = Broken(), Shared([int(Status.DONE), b""])
    scripts = Scripts(client, pipe)
    assert await scripts.receipts([KEYS.locks], "sandbox", "job") == []
    context, ending = Context(KEYS, "sandbox", "ada", "req_1", 1), Ending("job", "release", 1)
    assert await scripts.finalize(context, ending, Part("calls", 0)) == (Status.DONE, "")
    assert (pipe.asked, client.asked) == (["HGET", "FCALL"], [])


def test_a_call_may_begin_without_a_coroutine() -> None:
    pipe, heard = Shared(["reply"]), list[object]()
    assert Scripts(Broken(), pipe).begin(b"command", heard.append)
    assert (pipe.asked, heard) == ([b"command"], [["reply"]])


def test_nothing_begins_without_a_pipe_on_a_full_one_or_while_the_breaker_is_open() -> None:
    def heard(_: object) -> None:
        raise AssertionError("nobody was asked")

    breaker = Breaker()
    for _ in range(FAULTS_MAX):
        breaker.failed()
    assert not Scripts(Broken()).begin(b"command", heard)
    assert not Scripts(Broken(), Shared(is_full=True)).begin(b"command", heard)
    assert not Scripts(Broken(), Shared(), breaker).begin(b"command", heard)


@pytest.mark.parametrize(
    ("fault", "of_change", "of_read"),
    [
        (PipeLostError("lost"), UnknownOutcomeError, RedisUnavailableError),
        (RedisTimeoutError("late"), UnknownOutcomeError, RedisUnavailableError),
        (PipeUnsentError("Error connecting"), RedisUnavailableError, RedisUnavailableError),
        (ReadOnlyError("READONLY"), RedisUnavailableError, RedisUnavailableError),
        (NoPermissionError("NOPERM"), RedisUnavailableError, RedisUnavailableError),
        (ResponseError("MISCONF"), RedisUnavailableError, RedisUnavailableError),
    ],
)
def test_a_fault_means_the_same_to_who_began_without_a_coroutine(
    fault: RedisError, of_change: type[Exception], of_read: type[Exception]
) -> None:
    scripts = Scripts(Broken())
    assert type(scripts.outcome(fault, changes=True)) is of_change
    assert type(scripts.outcome(fault, changes=False)) is of_read


def test_what_had_not_begun_may_be_asked_again_and_faults_of_a_script_are_raised() -> None:
    scripts = Scripts(Broken())
    assert scripts.outcome(ResponseError("Function not found"), changes=True) is None
    with pytest.raises(ResponseError):
        scripts.outcome(ResponseError("user_script:1: nil"), changes=True)


async def test_a_server_without_the_library_gets_it() -> None:
    client = Broken(ResponseError("Function not found"))
    assert await change(client) is Status.DONE
    assert client.asked == ["FCALL", "FUNCTION LOAD", "FCALL"]


class Restarted(Redis):
    """A server that has lost its library, asked by so many at once; what it is asked is kept."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._callers = asyncio.Barrier(callers)

    async def execute_command(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - as inherited
        self.asked.append(words[0])
        had_it = "FUNCTION LOAD" in self.asked
        if words[0] == "FCALL_RO" and not had_it:
            await self._callers.wait()
            raise ResponseError("Function not found")
        return int(Status.CUSTOMER_MISSING)


async def test_of_all_calls_that_miss_the_library_one_brings_it() -> None:
    client = Restarted(50)
    scripts = Scripts(client)
    calls = [scripts.check(KEYS, 1, "", Part("calls", 1)) for _ in range(50)]
    replies = await asyncio.gather(*calls)
    assert {reply.status for reply in replies} == {Status.CUSTOMER_MISSING}
    assert client.asked.count("FUNCTION LOAD") == 1
    assert client.asked.count("FCALL_RO") == 100


async def test_a_library_that_is_lost_again_is_brought_again() -> None:
    client = Restarted(1)
    scripts = Scripts(client)
    for _ in range(2):
        await scripts.check(KEYS, 1, "", Part("calls", 1))
        client.asked.clear()
    await scripts.check(KEYS, 1, "", Part("calls", 1))
    assert client.asked == ["FCALL_RO", "FUNCTION LOAD", "FCALL_RO"]


async def test_a_library_another_process_has_loaded_is_taken_as_it_is() -> None:
    client = Broken(
        ResponseError("Function not found"), ResponseError("Library 'tallygate' already exists")
    )
    assert await change(client) is Status.DONE


async def test_a_server_that_refuses_the_library_is_not_hidden() -> None:
    with pytest.raises(ResponseError, match="Error compiling"):
        await Scripts(Broken(ResponseError("Error compiling function"))).load()


async def test_a_fault_of_a_script_is_not_hidden() -> None:
    with pytest.raises(ResponseError, match="a bug"):
        await change(Broken(ResponseError("ERR a bug")))


async def test_reading_uses_the_command_that_cannot_write() -> None:
    client = Broken()
    await Scripts(client).check(KEYS, 1, "", Part("calls", 1))
    assert client.asked == ["FCALL_RO"]


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


class Stepwise(Pipe):
    """A pipe that answers each command with its number; how many came at once is kept."""

    def __init__(self) -> None:
        super().__init__(cast("Any", None), timeout_seconds=1)
        self.together: list[int] = []

    async def call_all(self, commands: Sequence[Words]) -> list[Any]:
        answered = sum(self.together)
        self.together.append(len(commands))
        return list(range(answered, answered + len(commands)))


@pytest.mark.parametrize("places", [0, 1, STEP, 2 * STEP + 3])
async def test_a_look_at_many_places_is_taken_in_steps_and_answered_in_order(places: int) -> None:
    pipe = Stepwise()
    assert await Scripts(Broken(), pipe).outbox_lengths(places) == list(range(places))
    assert sum(pipe.together) == places
    assert max(pipe.together, default=0) <= STEP
