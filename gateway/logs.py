"""How log lines look, and what must never be in one.

Every line that belongs to a request names it, whichever module wrote it: the request is a context
variable, which tasks and threads that work for it inherit. Secrets are kept out where lines are
made; what still comes by, in the text of an error of a library, is blotted out here. What libraries
tell below a warning is not written at all, for nobody vouches for it: SQLAlchemy would print rows.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from typing import Literal, Protocol

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.msgspec import MsgspecFormatter

Style = Literal["text", "json"]

OURS = ("gateway", "persistence")
"""The packages whose lines the level of the settings is for."""

UNKNOWN_ID = "-"

_TEXT = "%(asctime)s %(levelname)s %(name)s%(place)s: %(message)s"

# API keys, tokens of customers, signing secrets of webhooks, the user and password of a URL, and a
# password among its options.
_SECRET = re.compile(
    r"(?P<kept>am_sk_|am_jwt_|whsec_)[A-Za-z0-9_+/=-]+(?:\.[\w-]+)*|(?<=://)[^\s/@'\"]*:[^\s/'\"]*(?=@)"
    r"|(?<=password=)[^\s&'\"]+"
)


class Request(Protocol):
    """What a line tells of the request it belongs to."""

    request_id: str
    env: str


REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)
"""The request this task or thread works for."""


def redact(text: str) -> str:
    """Return a text without the secrets whose form is known."""
    return _SECRET.sub(lambda found: f"{found['kept'] or ''}***", text)


def make_handler(style: Style) -> logging.Handler:
    """Return what writes lines of a style to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(_name_request)
    handler.setFormatter(_JsonLines() if style == "json" else _TextLines())
    return handler


def set_up(level: str, style: Style) -> None:
    """Begin to write lines: our own from ``level`` on, others' warnings."""
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[make_handler(style)])
    for name in OURS:
        logging.getLogger(name).setLevel(least)


def _name_request(record: logging.LogRecord) -> bool:
    request = REQUEST.get()
    if request is not None and not hasattr(record, "request_id"):
        record.request_id = request.request_id or UNKNOWN_ID
        record.env = request.env
    return True


class _TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(_TEXT, defaults={"place": ""})

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", None)
        record.place = f" [{request_id}]" if request_id else ""
        return redact(super().format(record))


class _JsonLines(MsgspecFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
            # Newer Pythons add it to every record; it tells an operator nothing.
            reserved_attrs=[*RESERVED_ATTRS, "taskName"],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
