"""Traces for OpenTelemetry, for who sets a collector: a span for each request, under the caller's
own trace if it names one, and in it a span for each call of a script and each read of SQL.

Without a collector nothing of this is imported and nothing is wrapped. Spans are handed to a thread
that sends them in batches; a collector that is down or slow costs spans, never a request. What the
standard's own variables say of sampling, headers and the service's name is left to its library. A
span shows no customer, no amount and no key.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gateway.api.errors import Reply
from gateway.api.exchange import Answers, Headers, ReadBody
from gateway.api.operation import Operation
from gateway.errors import StartError
from gateway.logs import REQUEST
from gateway.release import package_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_SECONDS = 5.0
"""How long one batch may take to send, and so how long a stop may wait for the last."""

SERVICE = "tallygate"

_CARRIED = (b"traceparent", b"tracestate")


def make_tracing(endpoint: str) -> Tracing:
    """Return tracing to a collector. Raises ``StartError`` when the extra is not installed."""
    try:
        # Here, so that a gateway without traces neither needs nor loads the library.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        return Tracing(exporter)
    except ImportError as error:
        raise StartError(
            "otlp_endpoint is set, and traces need the extra otel: pip install opentelemetry-sdk "
            "opentelemetry-exporter-otlp-proto-http"
        ) from error


class Tracing:
    """Makes spans and sends them to an exporter."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import (  # noqa: PLC0415 - as above
            OTELResourceDetector,
            Resource,
        )
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, StatusCode, get_current_span  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        named = {"service.name": SERVICE, "service.version": package_version()}
        # The standard's variables come last, so that an operator can name the service.
        resource = Resource(named).merge(OTELResourceDetector().detect())
        self._provider: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)
        self._extract = TraceContextTextMapPropagator().extract
        self._server, self._client = SpanKind.SERVER, SpanKind.CLIENT
        self._error = StatusCode.ERROR
        self._current = get_current_span

    def around(self, answers: Answers) -> Answers:
        """Return the same answers, each with a span."""
        return _Traced(answers, self)

    def watch(self, part: object, system: str) -> None:
        """Give every public coroutine of a part a span, where it works for a request."""
        for name, method in inspect.getmembers(part, inspect.iscoroutinefunction):
            if not name.startswith("_"):
                setattr(part, name, self._spanned(f"{system} {name}", system, method))

    async def answer(
        self, ask: Callable[[], Awaitable[Reply]], name: str, headers: Headers
    ) -> Reply:
        """Return the answer to one request, and tell of it."""
        carried = {
            key.decode(): value.decode("latin-1") for key, value in headers if key in _CARRIED
        }
        with self._tracer.start_as_current_span(
            name, self._extract(carried), kind=self._server
        ) as span:
            reply = await ask()
            request = REQUEST.get()
            if span.is_recording() and request is not None:
                span.set_attributes(
                    {
                        "http.request.method": "POST",
                        "http.route": f"/v1/{name}",
                        "http.response.status_code": reply.status,
                        "tallygate.operation": name,
                        "tallygate.env": request.env,
                        "tallygate.request_id": request.request_id,
                    }
                )
                if reply.status >= 500:
                    span.set_status(self._error)
            return reply

    def _spanned(self, name: str, system: str, method: Callable[..., Any]) -> Callable[..., Any]:
        attributes = {"db.system.name": system}

        @functools.wraps(method)
        async def spanned(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the method's
            if not self._current().get_span_context().is_valid:
                return await method(*arguments, **named)
            # An error's text may name a customer, so its class has to do.
            with self._tracer.start_as_current_span(
                name,
                kind=self._client,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await method(*arguments, **named)
                except Exception as error:
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(self._error)
                    raise

        return spanned

    async def close(self) -> None:
        """Send what is left, for a bounded time."""
        # The library would wait for half a minute, and a process for a thread of its loop.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, EXPORT_SECONDS)


class _Traced:
    def __init__(self, answers: Answers, tracing: Tracing) -> None:
        self._answers = answers
        self._tracing = tracing

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request."""

        async def ask() -> Reply:
            return await self._answers.answer(operation, method, query, headers, read_body)

        return await self._tracing.answer(ask, operation.name, headers)
