"""How much of a body is read, and that an operation is answered alike with and without Litestar's
routing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from gateway import metrics
from gateway.api import asgi
from gateway.api.decoding import DRAIN_BYTES_MAX
from gateway.api.errors import Reply
from gateway.api.exchange import ClientGoneError, Headers, ReadBody
from gateway.api.operation import Operation
from gateway.api.operations import OPERATIONS
from gateway.errors import BodyTooLargeError
from tests.fixtures.app import FakeProbe

LIMIT = 100


class Sender:
    """A client that sends chunks of a size, and counts how many were taken."""

    def __init__(self, *sizes: int, leaves: bool = False) -> None:
        self.sizes = list(sizes)
        self.leaves = leaves
        self.taken = 0

    async def __call__(self) -> Any:  # noqa: ANN401 - an ASGI message
        if self.taken == len(self.sizes):
            return {"type": "http.disconnect"}
        body = b"x" * self.sizes[self.taken]
        self.taken += 1
        more = self.leaves or self.taken < len(self.sizes)
        return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("sizes", [(0,), (100,), (40, 60), (0, 0, 100)])
async def test_a_body_up_to_the_limit_is_read(sizes: tuple[int, ...]) -> None:
    body = await asgi._read_body(Sender(*sizes), LIMIT)  # noqa: SLF001 - the unit under test

    assert len(body) == sum(sizes)


@pytest.mark.parametrize("sizes", [(101,), (60, 60), (99, 1, 1)])
async def test_a_body_over_the_limit_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(BodyTooLargeError, match="larger than 100 bytes"):
        await asgi._read_body(Sender(*sizes), LIMIT)  # noqa: SLF001 - the unit under test


async def test_an_endless_body_is_not_taken_for_ever() -> None:
    chunk = 1024 * 1024
    sender = Sender(*[chunk] * 100)

    with pytest.raises(BodyTooLargeError):
        await asgi._read_body(sender, LIMIT)  # noqa: SLF001 - the unit under test

    assert sender.taken * chunk <= DRAIN_BYTES_MAX + 2 * chunk


@pytest.mark.parametrize("sizes", [(), (10,), (200,)])
async def test_a_client_that_leaves_gets_no_answer(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ClientGoneError):
        await asgi._read_body(Sender(*sizes, leaves=True), LIMIT)  # noqa: SLF001 - as above


PATH = "/v1/balances.check"


class Told:
    """Answers with what it was asked; to the methods that are named for it, it does worse."""

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        del headers
        if method == "FAIL":
            raise ValueError
        if method == "LEAVE":
            raise ClientGoneError
        words = (operation.name.encode(), method.encode(), query, await read_body())
        return Reply(200, b" ".join(words), ((b"content-type", b"text/plain"),))


@pytest.fixture
def app() -> Litestar:
    return asgi.make_app(Told(), OPERATIONS, FakeProbe(), body_bytes_max=LIMIT)


async def messages(
    app: Litestar,
    path: str,
    method: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    root: str = "",
) -> list[Any]:
    """Return what a server is sent."""
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - of ASGI
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": b"a=b",
        "headers": [(b"x-request-id", b"one"), *headers],
    }
    asked: Any = app
    await asked(scope, Sender(3), send)
    return sent


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "FAIL", "LEAVE"])
async def test_a_path_litestar_need_not_look_for_gives_the_same_bytes(
    app: Litestar, method: str
) -> None:
    straight = await messages(app, PATH, method)

    assert straight == await messages(app, f"{PATH}/", method)
    assert straight == await messages(app, f"/under{PATH}", method, root="/under")
    assert len(straight) == (0 if method == "LEAVE" else 2)


async def test_the_path_of_an_operation_is_not_looked_for(app: Litestar) -> None:
    app.asgi_router = None  # type: ignore[assignment]  # to be asked for a route would fail
    app.asgi_handler = None  # type: ignore[assignment]

    for operation in OPERATIONS:
        start, body = await messages(app, operation.path, "POST")
        assert (start["status"], body["body"].split()[0]) == (200, operation.name.encode())


async def test_a_path_that_only_looks_like_one_of_an_operation_is_none(app: Litestar) -> None:
    start, _ = await messages(app, PATH, "POST", root="/v1")

    assert start["status"] == 404


async def test_a_fault_is_logged_and_counted(
    app: Litestar, caplog: pytest.LogCaptureFixture
) -> None:
    count = metrics.requests.of(asgi.UNROUTED).statuses
    before = count.get(500, 0)

    await messages(app, PATH, "FAIL")

    assert count[500] == before + 1
    assert [record.__dict__["request_id"] for record in caplog.records] == ["one"]


async def test_a_host_is_not_looked_at_where_no_route_is(app: Litestar) -> None:
    start, _ = await messages(app, PATH, "POST", [(b"host", b"not a host")])

    assert start["status"] == 200


@pytest.mark.parametrize("path", ["/health", "/v1/customers", "/nowhere", f"{PATH}/"])
async def test_what_is_no_host_is_refused_by_name(
    app: Litestar, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    start, body = await messages(app, path, "GET", [(b"host", b"not a host")])

    assert start["status"] == 400
    told = msgspec.json.decode(body["body"])
    assert (told["code"], told["env"]) == ("invalid_inputs", "sandbox")
    assert told["message"].startswith("host: ")
    assert not caplog.records
