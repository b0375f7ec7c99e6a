"""A gateway asked twice: the short way of plain calls, and the longer one of all others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from gateway.api.errors import Reply
from gateway.api.operation import Operation
from gateway.api.operations import OPERATIONS
from gateway.api.plain.calls import PlainCalls, usual
from gateway.api.plain.uses import Asking
from gateway.app import Runtime, make_answers, make_plain
from gateway.stepping import drive
from tests.fixtures.app import KEY

BY_NAME = {operation.name: operation for operation in OPERATIONS}
Header = tuple[bytes, bytes]
AUTHORIZED: Header = (b"authorization", f"Bearer {KEY}".encode())


class Way(NamedTuple):
    """What a call was answered, and whether it went the short way."""

    reply: Reply
    is_plain: bool


class Caller:
    """Takes what comes, whichever way."""

    def __init__(self, came: asyncio.Future[Way], longer: Callable[[], Any]) -> None:
        self._came = came
        self._longer = longer

    def take(self, request_id: bytes, body: bytes) -> None:
        self.end(usual(request_id, body))

    def end(self, reply: Reply) -> None:
        self._came.set_result(Way(reply, is_plain=True))

    def go_longer(self) -> None:
        drive(self._longer(), self._end_longer)

    def _end_longer(self, reply: Reply | None, error: BaseException | None) -> None:
        assert reply is not None, error
        self._came.set_result(Way(reply, is_plain=False))


class Calls:
    """Both ways, on the same parts."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.longer = make_answers(runtime)
        made = make_plain(runtime, self.longer)
        assert made is not None
        self.plain: PlainCalls = made
        self.heads: dict[tuple[str, tuple[Header, ...]], Asking | None] = {}

    async def ask(self, name: str, *headers: Header, body: bytes) -> Way:
        """Ask as the fast lane does, for which a head is the same each time."""
        operation, told = BY_NAME[name], [AUTHORIZED, *headers]
        came: asyncio.Future[Way] = asyncio.get_running_loop().create_future()
        caller = Caller(came, partial(self._longer, operation, told, body))
        asking = self.heads.get((name, headers)) or self.plain.asking(operation, told)
        self.heads[name, headers] = asking
        if asking is None:
            caller.go_longer()
        else:
            self.plain.ask(asking, body, caller)
        async with asyncio.timeout(20):
            return await came

    async def ask_longer(self, name: str, *headers: Header, body: bytes) -> Reply:
        return await self._longer(BY_NAME[name], [AUTHORIZED, *headers], body)

    async def _longer(self, operation: Operation, headers: list[Header], body: bytes) -> Reply:
        async def read_body() -> bytes:
            return body

        return await self.longer.answer(operation, "POST", b"", headers, read_body)

    async def answer(self, name: str, *headers: Header, body: bytes) -> Reply:
        """Ask as ASGI does."""

        async def read_body() -> bytes:
            return body

        told = [AUTHORIZED, *headers]
        return await self.plain.answer(BY_NAME[name], "POST", b"", told, read_body)

    def denials(self, patch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
        """Return what is counted as denied from now on: env, customer, feature and operation.

        The counts themselves are sent once a second, and who looks may be late.
        """
        told: list[tuple[str, ...]] = []
        patch.setattr(self.runtime.engine.denials, "count", lambda *kind: told.append(kind))
        return told

    async def make(self, operation: str, /, **body: object) -> None:
        reply = await self.ask_longer(operation, body=json.dumps(body).encode())
        assert reply.status == 200, reply.body
