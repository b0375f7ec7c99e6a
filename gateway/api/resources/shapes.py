"""Shapes of single values: which texts are ids, how long a name, how deep a document may be.

Ids pass through here before they become part of a Redis key or of a tab-separated line, so no id
may hold a control character. Each check raises ``InvalidInputsError`` naming the field; None, what
was not sent, passes all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from gateway.amounts import json_type
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.common import (
    DOCUMENT_BYTES_MAX,
    ID_MAX,
    NAME_MAX,
    JsonObject,
    given,
)
from gateway.messages.controls import take_document

DOCUMENT_DEPTH_MAX = 64
"""Levels in a document; far below what the encoder takes, so that no answer can fail on it."""

LIST_MAX = 100
"""Elements of a list in a request that states no other maximum."""

TIME_MS_MAX = 10**14
"""Latest end of a range of times, in the year 5138."""

CUSTOMER_ID = re.compile(rf"[a-zA-Z0-9_:-]{{1,{ID_MAX}}}")
PLAN_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{ID_MAX}}}")
TEXT_ID = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{ID_MAX}}}")
_STEP = re.compile(r"(?:^|[/\\])(?:\.|%2e){1,2}(?:$|[/\\?#])", re.IGNORECASE)
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_WHITE = re.compile(rb"[\n\r\t]")
_NOTHING = (b"", b"null", b"false", b"[]", b"{}")


class _Switch(msgspec.Struct):
    enabled: bool | None = None


_switch = msgspec.json.Decoder(_Switch).decode


def customer_id(value: str | None, field: str = "customer_id") -> None:
    """Refuse what is no customer id."""
    if value is not None and CUSTOMER_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} letters, digits, underscores, hyphens or colons"
        )


def plan_id(value: str | None, field: str = "plan_id") -> None:
    """Refuse what is no plan id."""
    if value is not None and PLAN_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} letters, digits, underscores or hyphens"
        )


def text_id(value: str | None, field: str) -> None:
    """Refuse what is no id of a feature, an event or an entity."""
    if value is not None and TEXT_ID.fullmatch(value) is None:
        raise InvalidInputsError(
            f"{field}: must be 1 to {ID_MAX} characters, none of them a control character"
        )


def text_ids(**ids: str | None) -> None:
    """Refuse what is no id."""
    for field, value in ids.items():
        text_id(value, field)


def new_entity_id(value: str) -> None:
    """Refuse what is no id of an entity, or would lead elsewhere: clients of 1.2 put it into a path
    as it is, where two dots are a step up, and deleting ``..`` deletes the customer.
    """
    text_id(value, "entity_id")
    if _STEP.search(value):
        raise InvalidInputsError("entity_id: must not have . or .. as a step of a path")


def name(value: str | None, field: str, *, least: int = 0, most: int = NAME_MAX) -> None:
    """Refuse a text that is too short or too long."""
    if value is not None and not least <= len(value) <= most:
        raise InvalidInputsError(f"{field}: must be {least} to {most} characters")


def email(value: str | None, field: str) -> None:
    """Refuse what cannot be an address; whether it exists is nobody's business here."""
    if value and EMAIL.fullmatch(value) is None:
        raise InvalidInputsError(f"{field}: must be an email address")


def number(value: msgspec.Raw, field: str, *, required: bool = False) -> None:
    """Refuse what is no JSON number; its range is the engine's to check."""
    raw = bytes(value)
    if required and not raw:
        raise InvalidInputsError(f"{field}: is required")
    if (required or given(value)) and raw[:1] not in b"-0123456789":
        raise InvalidInputsError(f"{field}: must be a number (received {json_type(raw)})")


def properties(value: msgspec.Raw) -> msgspec.Raw:
    """Return properties without line breaks."""
    if not given(value):
        return value
    raw = bytes(value)
    if raw[:1] != b"{":
        raise InvalidInputsError(f"properties: must be an object (received {json_type(raw)})")
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise InvalidInputsError(f"properties: must be at most {DOCUMENT_BYTES_MAX} bytes")
    try:
        _check_depth(msgspec.json.decode(raw), "properties")
    except RecursionError as error:
        raise InvalidInputsError("properties: nested too deeply") from error
    except msgspec.DecodeError as error:  # a number no client could read back
        raise InvalidInputsError(f"properties: {error}") from error
    if _WHITE.search(raw):
        # They become a column of a tab-separated line; inside strings JSON escapes both anyway.
        return msgspec.Raw(msgspec.json.format(raw, indent=-1))
    return value


def documents(**documents: JsonObject | None) -> None:
    """Bring documents into the form that is kept, and refuse those that are too large or too deep,
    or of another shape.
    """
    for field, document in documents.items():
        if document:
            _check_depth(document, field)
            take_document(document, field)
            if len(msgspec.json.encode(document)) > DOCUMENT_BYTES_MAX:
                raise InvalidInputsError(f"{field}: must be at most {DOCUMENT_BYTES_MAX} bytes")


def refuse_given(
    fields: msgspec.Struct, names: Iterable[str], reason: str, prefix: str = ""
) -> None:
    """Refuse what would be passed over in silence; ``prefix`` is where the fields stand."""
    for name in names:
        if not _is_off(bytes(getattr(fields, name, b""))):
            raise NotSupportedError(f"{prefix}{name}: {reason}")


def _is_off(raw: bytes) -> bool:
    """Whether a parameter asks for nothing: it is empty, or an object that is not enabled."""
    if raw in _NOTHING:
        return True
    try:
        return _switch(raw).enabled is False
    except (msgspec.DecodeError, RecursionError):  # something else, and not nothing
        return False


def length(values: Sequence[object] | None, field: str, most: int = LIST_MAX) -> None:
    """Refuse a list that is too long."""
    if values is not None and len(values) > most:
        raise InvalidInputsError(f"{field}: must have at most {most} elements")


def _check_depth(document: JsonObject, field: str) -> None:
    level: list[object] = [document]
    for _ in range(DOCUMENT_DEPTH_MAX):
        children = (child for value in level for child in _children(value))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise InvalidInputsError(f"{field}: nested too deeply (at most {DOCUMENT_DEPTH_MAX} levels)")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
