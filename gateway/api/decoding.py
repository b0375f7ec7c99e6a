"""From body bytes to a request struct, with every way a body can be wrong turned into a 400.

msgspec stops at most faults; three it lets through in text it only skips are found here on the raw
bytes, before decoding, so that they cost nothing where they do not occur. Where a text cannot be is
looked for only once it is known that a body has one.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from gateway.api.errors import translate
from gateway.errors import BodyTooLargeError, InvalidInputsError

# An escape counts only behind an even number of backslashes: "\\u0000" is six harmless characters.
_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_NULL_TEXT = re.compile("\0")
_HALF_TEXT = re.compile("[\ud800-\udfff]")

BLANKS = b" \t\r\n"
"""What JSON takes for nothing; Python would strip more."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode

DRAIN_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of a refused body that are still taken, unkept, so that its sender reads the answer."""

_SOUGHT_BYTES_MAX = 64 * 1024
"""Bytes of a body in which a field is looked for: a longer one would keep other calls waiting."""

_PLACE_PARTS_MAX = 8
_PLACE_PART_MAX = 64
"""Of the way to a field that is named, its parts, and the characters of each."""


def body_too_large(limit: int) -> BodyTooLargeError:
    """Return the error for a body of more than ``limit`` bytes."""
    return BodyTooLargeError(f"The request body is larger than {limit} bytes")


def named_customer(body: bytes, customer_id: str) -> bytes:
    """Return a body with its ``customer_id`` set, whatever it was. One that cannot be read does not
    go on as it came: it raises ``InvalidInputsError``.
    """
    fields = decode_body(_FIELDS, body)
    return _encode(fields | {"customer_id": msgspec.Raw(_encode(customer_id))})


def decode_body(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:  # noqa: ANN401 - the decoder's type
    """Return the request of a body; an empty one reads as ``{}``. Raises ``InvalidInputsError``."""
    try:
        if not body.isascii():
            body.decode()
        elif not body.strip(BLANKS):
            body = b"{}"
        if b"\\u0000" in body and _NULL.search(body):
            where = _place(body, _NULL_TEXT) or "input"
            raise InvalidInputsError(f"{where}: a string must not contain the null character")
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise translate(error) or error from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if isinstance(error, msgspec.DecodeError) and (place := _place(body, _HALF_TEXT)):
            raise InvalidInputsError(
                f"{place}: not valid JSON: half of a surrogate pair stands alone in a string"
            ) from error
        raise translate(error) or error from error


def _place(body: bytes, wrong: re.Pattern[str]) -> str | None:
    """Return the field in whose text, or in the name of whose part, something is wrong; ``input``
    for that of the body itself, None where nothing is found.
    """
    if len(body) > _SOUGHT_BYTES_MAX:
        return None
    try:
        left = [("", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while left:
        place, value = left.pop()
        if isinstance(value, str) and wrong.search(value):
            return place or "input"
        if isinstance(value, dict):
            if any(wrong.search(name) for name in value):
                return place or "input"
            left += [(_part(place, name), value[name]) for name in reversed(value)]
        elif isinstance(value, list):
            left += reversed([(_part(place, str(at)), one) for at, one in enumerate(value)])
    return None


def _part(place: str, name: str) -> str:
    """Return the way to a part; one too long to be told ends where it began to be."""
    is_long = len(name) > _PLACE_PART_MAX or place.count(".") >= _PLACE_PARTS_MAX - 1
    if is_long or not name.isprintable():
        return place
    return f"{place}.{name}" if place else name
