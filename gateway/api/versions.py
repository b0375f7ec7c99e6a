"""The ``x-api-version`` header: which shapes an answer has.

Published clients send versions this gateway has never heard of, so a newer one means the newest
known. Versions before 2.3 have shapes of their own (``gateway.api.legacy``); they arrive as an
exception, so that newer callers pay nothing for them. Whatever is older still, or in between, must
be refused rather than answered in the wrong shape.
"""

from __future__ import annotations

import re
from datetime import date
from enum import IntEnum

from gateway.errors import InvalidVersionError


class Version(IntEnum):
    """Versions with a shape of their own."""

    V1_2 = 0
    V2_1 = 1
    V2_2 = 2
    V2_3 = 3

    @property
    def cursor_paging(self) -> bool:
        """Whether lists are paged by cursor; by offset before."""
        return self >= Version.V2_3

    @property
    def plan_controls(self) -> bool:
        """Whether a customer shows the billing controls of its plans beside its own."""
        return self >= Version.V2_3


NEWEST = Version.V2_3


class OlderVersionError(InvalidVersionError):
    """The operation is not served in this version."""

    def __init__(self, version: Version, text: str) -> None:
        super().__init__(f"This operation is not served in API version {text}; 2.1 or later is")
        self.version = version


_RELEASES = (
    (date(2026, 5, 13), Version.V2_3),
    (date(2026, 3, 18), Version.V2_2),
    (date(2026, 3, 17), Version.V2_1),
)
_NUMBERS = re.compile(r"(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?")
_UNCHANGED = Version.V2_3
"""The oldest version whose shapes are those of today."""

_OLDEST = (2, 1)
_LEGACY = 1, 2
_LEGACY_DAYS = (date(2025, 5, 5), date(2026, 3, 16))
"""When 1.2 was released, and when the version after it was."""
_SHOWN_CHARACTERS = 32
_KNOWN_MAX = 1_000
"""Headers remembered; beyond it the memory starts anew, so that nobody can fill it for good."""

_known: dict[bytes, Version] = {}


def parse_version(header: bytes | None) -> Version:
    """Return the version a header asks for. Raises ``InvalidVersionError``, and
    ``OlderVersionError`` for one that has shapes of its own.
    """
    if header is None:
        return NEWEST
    known = _known.get(header)
    if known is None:
        known = _parse(_text(header))
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[header] = known
    if known < _UNCHANGED:
        raise OlderVersionError(known, _text(header))
    return known


def known_version(header: bytes | None) -> Version | None:
    """Return the version a header asks for, None for a header that was not read before."""
    return NEWEST if header is None else _known.get(header)


def _text(header: bytes) -> str:
    return header.decode("latin-1").strip()


def _parse(text: str) -> Version:
    if numbers := _NUMBERS.fullmatch(text):
        return _from_numbers(text, int(numbers[1]), int(numbers[2] or 0))
    try:
        day = date.fromisoformat(text)
    except ValueError:
        shown = ascii(text[:_SHOWN_CHARACTERS])
        raise InvalidVersionError(f"{shown} is not a valid API version") from None
    for released, version in _RELEASES:
        if day >= released:
            return version
    if _LEGACY_DAYS[0] <= day < _LEGACY_DAYS[1]:
        return Version.V1_2
    raise _too_old(text)


def _from_numbers(text: str, major: int, minor: int) -> Version:
    if (major, minor) == _LEGACY:
        return Version.V1_2
    if (major, minor) < _OLDEST:
        raise _too_old(text)
    if major > _OLDEST[0]:
        return NEWEST
    return Version(min(minor, NEWEST))


def _too_old(text: str) -> InvalidVersionError:
    return InvalidVersionError(f"API version {text} is not served; 1.2 and 2.1 or later are")
