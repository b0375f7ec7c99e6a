"""From body bytes to a request struct, with every way a body can be wrong turned into a 400.

msgspec stops at most faults; three it lets through in text it only skips are found here on the raw
bytes, before decoding, so that they cost nothing where they do not occur.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.api.errors import translate
from gateway.errors import BodyTooLargeError, InvalidInputsError

# An escape counts only behind an even number of backslashes: "\\u0000" is six harmless characters.
_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

BLANKS = b" \t\r\n"
"""What JSON takes for nothing; Python would strip more."""

DRAIN_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of a refused body that are still taken, unkept, so that its sender reads the answer."""


def body_too_large(limit: int) -> BodyTooLargeError:
    """Return the error for a body of more than ``limit`` bytes."""
    return BodyTooLargeError(f"The request body is larger than {limit} bytes")


def decode_body(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:  # noqa: ANN401 - the decoder's type
    """Return the request of a body; an empty one reads as ``{}``. Raises ``InvalidInputsError``."""
    try:
        if not body.isascii():
            body.decode()
        elif not body.strip(BLANKS):
            body = b"{}"
        if b"\\u0000" in body and _NULL.search(body):
            raise InvalidInputsError("input: a string must not contain the null character")
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translate(error) or error from error
