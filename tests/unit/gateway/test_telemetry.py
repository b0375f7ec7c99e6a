"""Which spans there are, what they say and what they must not say."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.api.errors import Reply
from gateway.api.exchange import Headers, ReadBody
from gateway.api.operation import Call, Operation
from gateway.api.operations import OPERATIONS
from gateway.errors import StartError, UnavailableError
from gateway.logs import REQUEST
from gateway.telemetry import Tracing, make_tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACK = next(operation for operation in OPERATIONS if operation.name == "balances.track")


class Scripts:
    """A part with a method that answers, one that fails, and one that is nobody's business."""

    async def track(self, amount: int) -> int:
        return amount

    async def check(self, customer_id: str) -> None:
        raise UnavailableError(f"{customer_id}: Redis does not answer")

    async def _load(self) -> str:
        return "loaded"

    def name(self) -> str:
        return "scripts"


class Exchange:
    """Answers with a status, after one script."""

    def __init__(self, part: Scripts, status: int = 200) -> None:
        self._part = part
        self._status = status

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        REQUEST.set(Call(request_id="req_5", env="live"))
        assert await self._part.track(3) == 3
        return Reply(self._status, b"{}", ())


class Traced(NamedTuple):
    """Tracing into memory, and a part that is watched."""

    tracing: Tracing
    part: Scripts
    exporter: InMemorySpanExporter

    async def ask(self, *headers: tuple[bytes, bytes], status: int = 200) -> Reply:
        """Answer one track."""

        async def read_body() -> bytes:
            return b""

        answers = self.tracing.around(Exchange(self.part, status))
        return await answers.answer(TRACK, "POST", b"", headers, read_body)

    async def spans(self) -> list[ReadableSpan]:
        """Return all there are, the request's first."""
        await self.tracing.close()
        return list(reversed(self.exporter.get_finished_spans()))


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    exporter, part = InMemorySpanExporter(), Scripts()
    tracing = Tracing(exporter)
    tracing.watch(part, "redis")
    yield Traced(tracing, part, exporter)
    await tracing.close()


async def test_a_request_has_a_span_and_its_script_one_inside(traced: Traced) -> None:
    reply = await traced.ask()
    request, script = await traced.spans()

    assert reply.status == 200
    assert (request.name, request.kind) == ("balances.track", SpanKind.SERVER)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/balances.track",
        "http.response.status_code": 200,
        "tallygate.operation": "balances.track",
        "tallygate.env": "live",
        "tallygate.request_id": "req_5",
    }
    assert (script.name, script.kind) == ("redis track", SpanKind.CLIENT)
    assert dict(script.attributes or {}) == {"db.system.name": "redis"}
    assert script.parent is not None
    assert request.context is not None
    assert script.parent.span_id == request.context.span_id
    assert request.parent is None
    assert request.resource.attributes["service.name"] == "tallygate"


async def test_the_callers_trace_is_continued(traced: Traced) -> None:
    await traced.ask((b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()))
    request, script = await traced.spans()

    assert request.context is not None
    assert script.context is not None
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}" == f"{script.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT


async def test_a_caller_that_is_not_sampled_is_obeyed(traced: Traced) -> None:
    await traced.ask((b"traceparent", f"00-{TRACE}-{PARENT}-00".encode()))

    assert await traced.spans() == []


@pytest.mark.parametrize("header", [b"", b"nonsense", b"00-0-0-01", b"\xff" * 500])
async def test_a_broken_traceparent_begins_a_trace_of_its_own(
    traced: Traced, header: bytes
) -> None:
    reply = await traced.ask((b"traceparent", header))
    request, _ = await traced.spans()

    assert reply.status == 200
    assert request.parent is None


async def test_an_answer_5xx_is_an_error_and_4xx_is_none(traced: Traced) -> None:
    await traced.ask(status=503)
    await traced.ask(status=404)
    refused, _, failed, _ = await traced.spans()

    assert failed.status.status_code is StatusCode.ERROR
    assert refused.status.status_code is StatusCode.UNSET


async def test_a_failed_script_tells_its_class_and_no_text(traced: Traced) -> None:
    class Failing(Exchange):
        async def answer(self, *_: object) -> Reply:
            with pytest.raises(UnavailableError):
                await traced.part.check("org_1")
            return Reply(503, b"{}", ())

    answers = traced.tracing.around(Failing(traced.part))
    await answers.answer(TRACK, "POST", b"", (), lambda: None)  # type: ignore[arg-type,return-value]  # no body is read
    _, script = await traced.spans()

    assert script.status.status_code is StatusCode.ERROR
    assert script.attributes is not None
    assert script.attributes["error.type"] == "UnavailableError"
    assert "org_1" not in script.to_json()


async def test_what_works_for_no_request_has_no_span(traced: Traced) -> None:
    assert await traced.part.track(1) == 1
    assert traced.part.name() == "scripts"

    assert await traced.spans() == []


def test_a_collector_without_the_extra_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(StartError, match="pip install opentelemetry-sdk opentelemetry-exporter-"):
        make_tracing("http://collector:4318")
