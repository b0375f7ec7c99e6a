"""Run a coroutine without a task for as long as it only waits for replies of Redis.

A call that finds everything it needs asks Redis once and is done: what asyncio does for a task,
its futures and their turns of the loop, costs more than such a call itself. ``drive`` therefore
steps the coroutine by hand. An ``Ask`` it awaits is answered straight from the connection; at the
first thing of asyncio it awaits, the rest of it becomes a task like any other. Code that asks
asyncio for the task it runs in, before it awaits anything, calls ``in_task`` first.

Inside a task an ``Ask`` is an ordinary future. The coroutine has a context of its own either way.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Begin = Callable[[Callable[[Any], None]], None]
"""Starts what is asked for; it is given what to call, once and later, with the answer or fault."""

Done = Callable[[Any, BaseException | None], None]
"""Takes the result of a coroutine, or what it raised."""

_SAID = object()


class Ask:
    """Something to await whose answer comes by a call."""

    __slots__ = ("begin",)

    def __init__(self, begin: Begin) -> None:
        self.begin = begin

    def __await__(self) -> Generator[Any, Any, Any]:
        if _Run.stepping:
            return (yield self)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def receive(answer: object) -> None:
            if future.done():
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.begin(receive)
        return (yield from future)


def drive(
    coroutine: Coroutine[Any, Any, Any], done: Done, tasks: set[asyncio.Task[Any]] | None = None
) -> None:
    """Run a coroutine; ``done`` is called with what came of it, now or later.

    ``tasks`` holds the task it may become for as long as that lasts.
    """
    _Run(coroutine, done, set() if tasks is None else tasks).step(None)


async def in_task() -> None:
    """Return inside a task: what uses timeouts of asyncio, as clients of servers do, needs one."""
    if _Run.stepping:
        await asyncio.sleep(0)


class _Run:
    """A coroutine on its way."""

    __slots__ = ("_context", "_coroutine", "_done", "_tasks")

    stepping = False
    """Whether the code that runs now is being stepped; nothing else runs meanwhile."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], done: Done, tasks: set[asyncio.Task[Any]]
    ) -> None:
        self._coroutine = coroutine
        self._done = done
        self._tasks = tasks
        self._context = contextvars.copy_context()

    def step(self, answer: object) -> None:
        """Go on with an answer, up to the next thing to wait for."""
        outer, _Run.stepping = _Run.stepping, True
        try:
            if isinstance(answer, Exception):
                waits_for = self._context.run(self._coroutine.throw, answer)
            else:
                waits_for = self._context.run(self._coroutine.send, answer)
        except StopIteration as end:
            _Run.stepping = outer
            self._done(end.value, None)
            return
        except BaseException as error:  # noqa: BLE001 - handed on
            _Run.stepping = outer
            self._done(None, error)
            return
        _Run.stepping = outer
        if isinstance(waits_for, Ask):
            try:
                waits_for.begin(self.step)
            except Exception as error:  # noqa: BLE001 - the coroutine's own
                self.step(error)
        else:
            self._become_task(waits_for)

    def _become_task(self, waits_for: object) -> None:
        rest = _Rest(self._coroutine, waits_for)
        task = asyncio.get_running_loop().create_task(rest, context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._done(None, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._done(None, error)
        else:
            self._done(task.result(), None)


class _Rest(Coroutine[Any, Any, Any]):
    """What is left of a coroutine that waits for something of asyncio already."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def send(self, value: Any) -> Any:  # noqa: ANN401 - what asyncio sends
        """Say what is waited for already, then go on."""
        if self._waits_for is _SAID:
            return self._coroutine.send(value)
        waits_for, self._waits_for = self._waits_for, _SAID
        return waits_for

    def throw(self, *fault: Any) -> Any:  # noqa: ANN401 - a fault in any of its forms
        """Let the coroutine know, also before anything was said."""
        self._waits_for = _SAID
        return self._coroutine.throw(*fault)

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()
