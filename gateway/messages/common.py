"""Types shared by the resources: exact numbers, ids, and the acknowledgement."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.amounts import UNITS_MAX, format_units
from gateway.errors import InvalidInputsError

Number = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "number"})]
"""A JSON number kept as text, so that it is exact in both directions."""

Json = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": True})
]
"""Any JSON object, kept as text."""

Anything = Annotated[msgspec.Raw, Meta(extra_json_schema={})]
"""A value that is only ever refused."""

ABSENT = msgspec.Raw()
"""A raw field that was not sent (msgspec allows no union with raw text, so null arrives as the
text ``null``).
"""

NOT_SENT: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
"""The default of raw fields in requests; ``ABSENT`` itself could not stand in a schema."""

JsonObject = dict[str, Any]

Integer = Annotated[int | float, Meta(extra_json_schema={"type": "integer"})]
"""An integer that some clients send as ``2.0``; ``integer`` gives the int."""


ID_MAX = 255
"""Characters of an id; longer ones are refused."""

DOCUMENT_BYTES_MAX = 16 * 1024
"""Properties, metadata, controls and configuration, each; they travel with every outbox entry."""

NAME_MAX = 1_024
"""Characters of a name."""


class Acknowledged(msgspec.Struct, kw_only=True):
    """The change is done."""

    success: bool = True


ACKNOWLEDGED = Acknowledged()


class ErrorBody(msgspec.Struct, kw_only=True):
    """Every error answer."""

    message: str
    code: str
    env: str


def choice(values: tuple[str, ...]) -> Meta:
    """Return what the API page says of a text that is one of some."""
    return Meta(extra_json_schema={"enum": list(values)})


def given(raw: msgspec.Raw) -> bool:
    """Whether a raw field was sent and is not null."""
    return bytes(raw) not in (b"", b"null")


def number_of(units: int, precision: int) -> msgspec.Raw:
    """Return an amount in units as the JSON number it is."""
    return msgspec.Raw(format_units(units, precision).encode())


def integer(value: float | None, *, field: str) -> int | None:
    """Return an integer that may have arrived as ``2.0``. Raises ``InvalidInputsError`` for a
    fraction.
    """
    if value is None or isinstance(value, int):
        return value
    if not value.is_integer() or abs(value) > UNITS_MAX:
        raise InvalidInputsError(f"{field}: must be an integer")
    return int(value)


def whole(value: float | None, field: str, least: int, most: int) -> int | None:
    """Return an integer between two bounds, or None when none was sent."""
    found = integer(value, field=field)
    if found is not None and not least <= found <= most:
        raise InvalidInputsError(f"{field}: must be {least} to {most}")
    return found


def one_of(value: str | None, allowed: Collection[str], field: str) -> None:
    """Refuse a text that is none of those allowed; None was not sent."""
    if value is not None and value not in allowed:
        raise InvalidInputsError(f"{field}: must be one of {', '.join(allowed)}")
