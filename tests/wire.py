"""HTTP as bytes: what a client library would not send, and would not show."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple

from tests.fake_engine import CUSTOMER_ID
from tests.fixtures.app import KEY


class Reply(NamedTuple):
    """A response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(first.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def is_closed(self) -> bool:
        async with asyncio.timeout(20):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def request(
    body: bytes | None = None,
    *,
    name: str = "balances.check",
    method: str = "POST",
    target: str = "",
    version: str = "1.1",
    key: str = KEY,
    length: bool = True,
    **headers: str,
) -> bytes:
    """Return the bytes of a request."""
    content = check_body() if body is None else body
    lines = [f"{method} {target or f'/v1/{name}'} HTTP/{version}", "Host: gateway"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def check_body(**more: object) -> bytes:
    return json.dumps({"customer_id": CUSTOMER_ID, "feature_id": "calls"} | more).encode()
