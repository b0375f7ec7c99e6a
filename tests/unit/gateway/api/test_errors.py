"""Statuses, bodies and the words of decoder errors."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import errors
from gateway.api.errors import STATUSES, error_reply, status_of, translate
from gateway.errors import GatewayError, InvalidInputsError


class Inner(msgspec.Struct):
    number: int | float
    words: list[str] = []


class Outer(msgspec.Struct):
    inner: list[Inner]
    any: dict[str, Any] = {}
    flag: bool | None = None


def explain(body: bytes) -> str:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=Outer)
    translated = translate(caught.value)
    assert translated is not None
    return translated.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "input: must be an object (received array)"),
        (b"{}", "inner: is required"),
        (b'{"inner": [{}]}', "inner.0.number: is required"),
        (b'{"inner": [1]}', "inner.0: must be an object (received number)"),
        (b'{"inner": [{"number": "1"}]}', "inner.0.number: must be a number (received string)"),
        (b'{"inner": [{"number": 1e999}]}', "inner.0.number: number out of range"),
        (
            b'{"inner": [{"number": 1, "words": [true]}]}',
            "inner.0.words.0: must be a string (received boolean)",
        ),
        (b'{"inner": [], "flag": 1}', "flag: must be a boolean (received number)"),
        (b'{"inner": [], "any": {"a": 1e999}}', "any: number out of range"),
        (b'{"inner": [', "The request body is not valid JSON: it ends too early"),
        (b'{"inner": x}', "The request body is not valid JSON: invalid character (byte 10)"),
    ],
)
def test_a_decoder_error_names_the_field(body: bytes, message: str) -> None:
    assert explain(body) == message


def test_an_error_that_is_no_decoders_is_not_translated() -> None:
    assert translate(ValueError("x")) is None


def test_deep_nesting_and_bad_encoding_are_named() -> None:
    deep = translate(RecursionError())
    assert deep is not None
    assert "nested too deeply" in deep.message
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    assert isinstance(translate(caught.value), InvalidInputsError)


def test_every_error_a_request_can_meet_has_a_status() -> None:
    apart = {errors.SettingError, errors.StartError}
    every = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, GatewayError)
    }

    assert every - apart == set(STATUSES)


def test_an_unknown_kind_of_error_gets_the_status_of_its_parent() -> None:
    class NewError(errors.InvalidRequestError):
        """A rule of tomorrow."""

    assert status_of(NewError) == 400


def test_an_answer_holds_message_code_and_environment() -> None:
    reply = error_reply(errors.PlanNotFoundError("Plan x not found"), "live")

    assert reply.status == 404
    assert msgspec.json.decode(reply.body) == {
        "message": "Plan x not found",
        "code": "product_not_found",
        "env": "live",
    }


def test_a_fault_tells_nothing_of_the_inside() -> None:
    reply = error_reply(errors.StartError("redis://:password@host"), "sandbox")

    assert reply.status == 500
    assert b"password" not in reply.body
    assert b"internal_error" in reply.body
