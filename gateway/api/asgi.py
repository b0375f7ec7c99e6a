"""Routes: each operation as a raw ASGI handler of Litestar, with health, metrics and pages beside.

Litestar finds the route and nothing more: no Request, no Response, no dependency is made for a
call. Even that costs as much as uvicorn does, so a call for exactly the path of an operation is
handed to the same handler before Litestar looks. The body is read here, and only up to its limit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import msgspec
from litestar import Litestar, MediaType, Request, Response, asgi
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.plugins import PluginProtocol
from litestar.types import Receive, Send

from gateway import metrics
from gateway.api import docs, openapi
from gateway.api.decoding import DRAIN_BYTES_MAX, body_too_large
from gateway.api.errors import ENV_UNKNOWN, JSON, Reply, error_reply
from gateway.api.exchange import Answers, ClientGoneError, request_id_of
from gateway.api.health import Health, Probe
from gateway.api.legacy.rest import PREFIX, find
from gateway.api.operation import Operation
from gateway.api.permits import is_public, preflight
from gateway.api.unsupported import refusal
from gateway.errors import (
    GatewayError,
    InvalidInputsError,
    MethodNotAllowedError,
    RouteNotFoundError,
)
from gateway.release import package_version

log = logging.getLogger(__name__)

Handler = Callable[[Any, Receive, Send], Awaitable[None]]

UNROUTED = "none"
"""Under this name requests are counted that name no operation."""


class _Application(Litestar):
    """Litestar without plugins for other libraries' models, which no handler here is given.

    It would load Pydantic wherever that is installed, a tenth of what a gateway costs to start.
    """

    straight: Mapping[str, Handler] = {}
    """Handlers by the path Litestar need not look for; they answer their own faults."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - any of ASGI
        """Answer a request, or live as long as the server does."""
        if scope["type"] == "http" and not scope.get("root_path"):
            handle = self.straight.get(scope["path"])
            if handle is not None:
                await handle(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins


def make_app(
    answers: Answers,
    operations: Iterable[Operation],
    probe: Probe,
    *,
    body_bytes_max: int,
    page: Callable[[], Awaitable[bytes]] | None = None,
    lifespan: list[Any] | None = None,
) -> Litestar:
    """Return the application; ``page`` makes that of the metrics, where several processes count."""
    operations = tuple(operations)
    files = docs.Files(lambda: openapi.document(operations))
    metrics.build.labels(package_version()).set(1)
    paths = [operation.path for operation in operations]
    handle = _operation_handler(answers, operations, body_bytes_max)
    application = _Application(
        route_handlers=[
            _route(paths, handle),
            _rest_handler(answers, body_bytes_max),
            _page_handler(
                _health_pages(probe)
                | {"/metrics": _metrics_answer(page or _own_page)}
                | {path: _file_answer(files, path) for path in docs.PATHS}
            ),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _http_error},
        lifespan=lifespan,
        openapi_config=None,
        logging_config=None,
    )
    application.straight = dict.fromkeys(paths, handle)
    return application


def _operation_handler(
    answers: Answers, operations: Iterable[Operation], body_bytes_max: int
) -> Handler:
    by_path = {operation.path: operation for operation in operations}

    async def handle(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401 - HTTP only
        operation, method, headers = by_path[scope["path"]], scope["method"], scope["headers"]
        if method == "OPTIONS" and is_public(operation):
            await _write(send, preflight(("POST",)))
            return
        read_body = partial(_read_body, receive, body_bytes_max)
        try:
            reply = await answers.answer(
                operation, method, scope["query_string"], headers, read_body
            )
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 - there is nobody else to answer it
            request_id = request_id_of(dict(headers).get(b"x-request-id"))
            reply = _unrouted(_fault(error, request_id), request_id)
        await _write(send, reply)

    return handle


def _rest_handler(answers: Answers, body_bytes_max: int) -> ASGIRouteHandler:
    async def handle(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401 - HTTP only
        methods, named = find(scope["raw_path"])
        if not methods:
            raise NotFoundException
        route = methods.get(scope["method"])
        public = [name for name, each in methods.items() if is_public(each.operation)]
        if public and scope["method"] == "OPTIONS":
            await _write(send, preflight(public))
            return
        if route is None:
            await _write(send, _wrong_method(methods, scope["headers"]))
            return

        async def read_body() -> bytes:
            body = await _read_body(receive, body_bytes_max)
            return route.body_of(named, scope["query_string"], body)

        try:
            reply = await answers.answer(
                route.operation, "POST", scope["query_string"], scope["headers"], read_body
            )
        except ClientGoneError:
            return
        await _write(send, reply)

    # Litestar loses the parameters of a path on the way to an ASGI handler, so it gets only the
    # beginning to match.
    return asgi(PREFIX, is_mount=True, copy_scope=False)(handle)


def _wrong_method(allowed: Iterable[str], headers: Iterable[tuple[bytes, bytes]]) -> Reply:
    names = ", ".join(allowed)
    request_id = request_id_of(dict(headers).get(b"x-request-id"))
    refused = _unrouted(MethodNotAllowedError(f"This route answers {names} only"), request_id)
    others = tuple(header for header in refused.headers if header[0] != b"allow")
    return refused._replace(headers=(*others, (b"allow", names.encode())))


def _route(paths: list[str], handle: Handler) -> ASGIRouteHandler:
    # One handler for many paths: Litestar looks into each, and a start waits for that. None changes
    # the scope, so none needs a copy of it.
    return asgi(paths, copy_scope=False)(handle)


async def _read_body(receive: Receive, limit: int) -> bytes:
    message: Any = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    body = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit:
        return cast("bytes", body)
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + DRAIN_BYTES_MAX:
            break
        else:
            chunks.clear()
    if size > limit:
        raise body_too_large(limit)
    return b"".join(chunks)


async def _write(send: Send, reply: Reply) -> None:
    length = (b"content-length", str(len(reply.body)).encode())
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [*reply.headers, length],
        }
    )
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def _page_handler(pages: dict[str, Callable[[], Any]]) -> ASGIRouteHandler:
    async def handle(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401, ARG001 - the names Litestar asks for
        if scope["method"] not in ("GET", "HEAD"):
            await _write(send, _wrong_method(("GET",), scope["headers"]))
            return
        await _write(send, await pages[scope["path"]]())

    return _route(list(pages), handle)


def _health_pages(probe: Probe) -> dict[str, Callable[[], Any]]:
    async def health() -> Reply:
        return _health_reply(await probe.health(), 200)

    async def ready() -> Reply:
        state = await probe.health()
        return _health_reply(state, 200 if state.is_ready else 503)

    return {"/health": health, "/ready": ready}


def _metrics_answer(page: Callable[[], Awaitable[bytes]]) -> Callable[[], Any]:
    async def answer() -> Reply:
        return Reply(200, await page(), ((b"content-type", metrics.MEDIA_TYPE),))

    return answer


async def _own_page() -> bytes:
    return metrics.page()


def _health_reply(state: Health, status: int) -> Reply:
    return Reply(status, msgspec.json.encode(state), (JSON, (b"cache-control", b"no-store")))


def _file_answer(files: docs.Files, path: str) -> Callable[[], Any]:
    async def answer() -> Reply:
        file = await files.at(path)
        return Reply(200, file.body, ((b"content-type", file.media_type),))

    return answer


def _http_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what never reached a handler: an unknown route, or a fault on the way to one."""
    request_id = request_id_of(request.headers.get("x-request-id", "").encode("latin-1"))
    if isinstance(error, HTTPException) and error.status_code == 404:
        # Not the path of the URL: that of a mounted handler begins after its prefix.
        path = request.scope["raw_path"].decode("latin-1")
        failure: GatewayError = refusal(path) or RouteNotFoundError()
    elif isinstance(error, HTTPException) and error.status_code == 405:
        failure = MethodNotAllowedError()
    elif isinstance(error, HTTPException) and error.status_code == 400:
        # The one thing Litestar reads of a request besides its path and method.
        failure = InvalidInputsError("host: must be the name or the address of a host")
    else:
        failure = _fault(error, request_id)
    reply = _unrouted(failure, request_id)
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=MediaType.JSON,
        headers={"x-request-id": request_id},
    )


def _fault(error: Exception, request_id: str) -> GatewayError:
    told = {"request_id": request_id}
    log.error("a request failed before it was answered", exc_info=error, extra=told)
    return GatewayError()


def _unrouted(failure: GatewayError, request_id: str) -> Reply:
    """Return the answer to what no operation has answered, and count it."""
    reply = error_reply(failure, ENV_UNKNOWN)
    metrics.requests.of(UNROUTED).add_untimed(reply.status)
    return reply._replace(headers=((b"x-request-id", request_id.encode()), *reply.headers))
