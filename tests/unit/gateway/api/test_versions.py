"""The ``x-api-version`` header."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.versions import (
    NEWEST,
    OlderVersionError,
    Version,
    known_version,
    parse_version,
)
from gateway.errors import InvalidVersionError


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, NEWEST),
        (b"2.3", Version.V2_3),
        (b"2.4.0", NEWEST),
        (b"2.5.0", NEWEST),
        (b"3", NEWEST),
        (b"3.0", NEWEST),
        (b"9.9.9", NEWEST),
        (b"2026-05-13", Version.V2_3),
        (b"2030-01-01", NEWEST),
    ],
)
def test_a_version_is_known_or_newer(header: bytes | None, expected: Version) -> None:
    assert parse_version(header) is expected


@pytest.mark.parametrize("header", [b"2.0", b"2.0.9", b"2", b"1.1", b"0.1", b"2026-03-16"])
def test_an_older_version_is_named_as_such(header: bytes) -> None:
    with pytest.raises(InvalidVersionError, match=r"1\.2 and 2\.1 or later are"):
        parse_version(header)


@given(st.binary(max_size=64))
def test_garbage_raises_only_the_named_error(header: bytes) -> None:
    with contextlib.suppress(InvalidVersionError):
        assert isinstance(parse_version(header), Version)


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (b"1.2", Version.V1_2),
        (b"1.2.0", Version.V1_2),
        (b"2025-05-05", Version.V1_2),
        (b"2026-03-15", Version.V1_2),
        (b"2.1", Version.V2_1),
        (b"2.1.0", Version.V2_1),
        (b" 2.1.9 ", Version.V2_1),
        (b"2026-03-17", Version.V2_1),
        (b"2.2.0", Version.V2_2),
        (b"2026-03-18", Version.V2_2),
        (b"2026-05-12", Version.V2_2),
    ],
)
def test_a_version_with_shapes_of_its_own_comes_as_an_error(
    header: bytes, version: Version
) -> None:
    with pytest.raises(OlderVersionError) as raised:
        parse_version(header)
    assert raised.value.version is version


def test_lists_are_paged_by_cursor_from_2_3_on() -> None:
    assert [version.cursor_paging for version in Version] == [False, False, False, True]


def test_however_many_versions_were_served_the_next_is_known_then() -> None:
    for number in range(3_000):
        header = b"3.%d" % number
        parse_version(header)
        assert known_version(header) is NEWEST
    assert known_version(b"3.0") is None


def test_a_version_with_shapes_of_its_own_is_known_once_it_was_asked_for() -> None:
    header = b"2.1.77"
    assert known_version(header) is None
    for _ in range(2):
        with pytest.raises(OlderVersionError):
            parse_version(header)
        assert known_version(header) is Version.V2_1
