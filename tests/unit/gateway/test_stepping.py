"""A coroutine is stepped while it only asks, and is a task from the first thing else on."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from gateway.stepping import Ask, drive, in_task
from tests.waiting import one_turn, until

Receiver = Callable[[Any], None]
NAME = contextvars.ContextVar("NAME", default="none")


class Server:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Receiver] = []

    def ask(self) -> Ask:
        return Ask(self.asked.append)

    def answer(self, answer: object) -> None:
        self.asked.pop(0)(answer)


class Ends:
    """What coroutines came to."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def done(self, result: object, error: BaseException | None) -> None:
        if error is None:
            self.results.append(result)
        else:
            self.errors.append(error)


async def test_a_coroutine_that_only_asks_is_no_task() -> None:
    server, ends = Server(), Ends()

    async def work() -> list[Any]:
        assert asyncio.current_task() is outer
        return [await server.ask(), await server.ask()]

    outer = asyncio.current_task()
    drive(work(), ends.done, ends.tasks)
    server.answer(1)
    assert not ends.results
    server.answer(2)
    assert ends.results == [[1, 2]]
    assert not ends.tasks


async def test_a_coroutine_that_waits_for_asyncio_becomes_a_task() -> None:
    server, ends = Server(), Ends()
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> list[Any]:
        first = await server.ask()
        second = await future
        await one_turn()
        async with asyncio.timeout(30):
            third = await server.ask()
        return [first, second, third]

    drive(work(), ends.done, ends.tasks)
    server.answer("a")
    (task,) = ends.tasks
    future.set_result("b")
    await until(lambda: bool(server.asked))
    server.answer("c")
    await task
    assert ends.results == [["a", "b", "c"]]
    await one_turn()
    assert not ends.tasks


@pytest.mark.parametrize("waits", [False, True])
async def test_a_fault_is_raised_where_it_was_awaited(waits: bool) -> None:
    server, ends = Server(), Ends()

    async def work() -> str:
        if waits:
            await one_turn()
        try:
            await server.ask()
        except ConnectionError as error:
            return f"caught {error}"
        raise AssertionError

    drive(work(), ends.done, ends.tasks)
    await until(lambda: bool(server.asked))
    server.answer(ConnectionError("lost"))
    await asyncio.gather(*ends.tasks)
    assert ends.results == ["caught lost"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_coroutine_raises_is_handed_on(waits: bool) -> None:
    ends = Ends()

    async def work() -> None:
        if waits:
            await one_turn()
        raise ValueError("no")

    drive(work(), ends.done, ends.tasks)
    await asyncio.gather(*ends.tasks, return_exceptions=True)
    assert [str(error) for error in ends.errors] == ["no"]


async def test_a_question_that_cannot_be_asked_is_a_fault_of_the_coroutine() -> None:
    ends = Ends()

    def refuse(_: Receiver) -> None:
        raise ConnectionError("full")

    async def work() -> None:
        await Ask(refuse)

    drive(work(), ends.done)
    assert [str(error) for error in ends.errors] == ["full"]


async def test_a_task_that_is_cancelled_cancels_the_coroutine() -> None:
    ends = Ends()
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    drive(work(), ends.done, ends.tasks)
    (task,) = ends.tasks
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert cleaned == [True]
    assert isinstance(ends.errors[0], asyncio.CancelledError)


async def test_each_coroutine_has_a_context_of_its_own() -> None:
    server, ends = Server(), Ends()

    async def work(name: str) -> str:
        NAME.set(name)
        await server.ask()
        return NAME.get()

    for name in ("one", "two"):
        drive(work(name), ends.done)
    server.answer(None)
    server.answer(None)
    assert ends.results == ["one", "two"]
    assert NAME.get() == "none"


def answer_at_once(answer: int, receive: Receiver) -> None:
    receive(answer)


async def test_an_answer_that_comes_at_once_is_no_trouble() -> None:
    ends = Ends()

    async def work() -> list[Any]:
        return [await Ask(partial(answer_at_once, at)) for at in range(3)]

    drive(work(), ends.done)
    assert ends.results == [[0, 1, 2]]
    assert await asyncio.create_task(work()) == [0, 1, 2]


async def test_a_task_made_while_stepping_awaits_as_a_task() -> None:
    server, ends = Server(), Ends()

    async def inner() -> Any:  # noqa: ANN401 - what the server answers
        return await server.ask()

    async def work() -> Any:  # noqa: ANN401 - as above
        return await asyncio.create_task(inner())

    drive(work(), ends.done, ends.tasks)
    await until(lambda: bool(server.asked))
    server.answer(7)
    await asyncio.gather(*ends.tasks)
    assert ends.results == [7]


async def test_who_needs_a_task_gets_one() -> None:
    ends = Ends()

    async def work() -> bool:
        await in_task()
        return asyncio.current_task() in ends.tasks

    drive(work(), ends.done, ends.tasks)
    assert not ends.results
    await asyncio.gather(*ends.tasks)
    assert ends.results == [True]
    await in_task()
