"""From body bytes to a request: a named error, or the request."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.decoding import decode_body, named_customer
from gateway.errors import InvalidInputsError
from gateway.messages.balances import TrackRequest

decoder = msgspec.json.Decoder(TrackRequest)
BODY = b'{"customer_id": "c", "properties": %s}'


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_the_named_error(body: bytes) -> None:
    with pytest.raises(InvalidInputsError):
        decode_body(decoder, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*TrackRequest.__struct_encode_fields__]), json_values))
def test_any_json_raises_only_the_named_error(fields: dict[str, object]) -> None:
    with contextlib.suppress(InvalidInputsError):
        decode_body(decoder, json.dumps(fields).encode())


@given(st.text())
def test_the_null_character_is_found_wherever_it_is(text: str) -> None:
    body = BODY % json.dumps({"key": text}).encode()

    if "\0" in text:
        with pytest.raises(InvalidInputsError):
            decode_body(decoder, body)
    else:
        assert decode_body(decoder, body).customer_id == "c"


@pytest.mark.parametrize("body", [b"\x0b", b" \x0c\n"])
def test_blanks_that_json_has_not_are_no_empty_body(body: bytes) -> None:
    with pytest.raises(InvalidInputsError, match="JSON"):
        decode_body(decoder, body)


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_reads_as_an_empty_object(body: bytes) -> None:
    with pytest.raises(InvalidInputsError, match="customer_id: is required"):
        decode_body(decoder, body)


def test_text_beyond_ascii_is_kept() -> None:
    request = decode_body(decoder, BODY % '"héllo 😀"'.encode())

    assert bytes(request.properties).decode() == '"héllo 😀"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"a\u0000b", "a string must not contain the null character"),
        (r"\ud800", "half of a surrogate pair"),
        (r"x\ud800 and more", "half of a surrogate pair"),
        (r"\ud800\u0041", "half of a surrogate pair"),
        (r"\udc00", "half of a surrogate pair"),
        (r"\ud800\ud800", "half of a surrogate pair"),
    ],
)
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"customer_id": "%s"}', "customer_id"),
        ('{"customer_id": "c", "unknown": [1, {"name": "%s"}]}', "unknown.1.name"),
        ('{"customer_id": "c", "properties": {"%s": 1}}', "properties"),
        ('{"customer_id": "c", "properties": {"a b": "%s", "c": "%s"}}', "properties.a b"),
        ('{"a": "fine", "properties": {"a\\n": "%s"}}', "properties"),
        ('{"%s": 1}', "input"),
        ('"%s"', "input"),
        ('{"a": ' + "[" * 20 + '"%s"' + "]" * 20 + "}", "a.0.0.0.0.0.0.0"),
    ],
)
def test_a_text_that_cannot_be_is_told_with_its_field(
    body: str, place: str, text: str, reason: str
) -> None:
    with pytest.raises(InvalidInputsError) as refusal:
        decode_body(decoder, body.replace("%s", text).encode())
    message = refusal.value.message
    assert message.startswith(f"{place}: ")
    assert reason in message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (rb'{"customer_id": "\ud800"', "it ends too early"),
        (rb'{"customer_id": "\u0000", "customer_id": "c"}', "input: a string must not contain"),
        (rb'{"customer_id": "\u0000", "a": "' + b"a" * 65_536 + b'"}', "input: a string must not"),
        (b'{"a": "\\u0000", "b": ' + b"9" * 5_000 + b"}", "input: a string must not contain"),
        (b'{"a": "\\u0000", "b": ' + b"[" * 9_999 + b"]" * 9_999 + b"}", "input: a string must"),
    ],
)
def test_what_cannot_be_found_is_told_without_a_field(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInputsError, match=message):
        decode_body(decoder, body)


def test_both_halves_of_a_pair_are_one_character() -> None:
    assert decode_body(decoder, BODY % rb'"\ud83d\ude00"').customer_id == "c"


@given(st.binary(max_size=200))
def test_no_bytes_go_on_without_the_customer_of_the_token(body: bytes) -> None:
    with contextlib.suppress(InvalidInputsError):
        assert json.loads(named_customer(body, "ada"))["customer_id"] == "ada"


@given(st.dictionaries(st.text(), json_values))
def test_the_customer_of_a_token_is_all_that_changes_in_a_body(fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode()
    with contextlib.suppress(InvalidInputsError):
        expected = json.dumps(fields | {"customer_id": "ada"})
        assert json.dumps(json.loads(named_customer(body, "ada"))) == expected
