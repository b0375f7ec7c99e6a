"""From body bytes to a request: a named error, or the request."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.decoding import decode_body
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
