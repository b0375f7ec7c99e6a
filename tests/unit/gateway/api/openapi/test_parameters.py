"""Versions the document allows are those that are served, and so are those who may call."""

from __future__ import annotations

import re

import pytest

from gateway.api.openapi import document
from gateway.api.openapi.parameters import PARAMETERS, security
from gateway.api.operations import OPERATIONS
from gateway.api.versions import OlderVersionError, Version, parse_version
from gateway.errors import InvalidVersionError

TODAY = re.compile(PARAMETERS["ApiVersion"]["schema"]["pattern"])
ANY = re.compile(PARAMETERS["AnyVersion"]["schema"]["pattern"])


def version_of(text: str) -> Version:
    """Return the version, or that of which the operations have shapes of their own."""
    try:
        return parse_version(text.encode())
    except OlderVersionError as error:
        return error.version


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2.1",
            "2.1.0",
            "2.2",
            "2.3",
            "2.3.0",
            "2.5.0",
            "2.10",
            "2.9999.9999",
            "3",
            "3.0",
            "10.1.1",
            "9999",
        ),
        *(
            "2026-03-17",
            "2026-03-18",
            "2026-03-31",
            "2026-04-01",
            "2026-12-28",
            "2027-01-01",
            "2099-10-10",
        ),
    ],
)
def test_what_it_allows_has_the_shapes_of_today(text: str) -> None:
    assert TODAY.search(text)
    assert ANY.search(text)
    assert version_of(text) >= Version.V2_1


@pytest.mark.parametrize("text", ["1.2", "1.2.3", "2026-03-15", "2025-06-01"])
def test_older_shapes_are_shown_elsewhere(text: str) -> None:
    assert not TODAY.search(text)
    assert version_of(text) is Version.V1_2


@pytest.mark.parametrize("text", ["", "2", "2.0", "1.3", "v2.3", "2.3.0.0", "2024-01-01", "12345"])
def test_what_is_served_nowhere_is_not_allowed(text: str) -> None:
    assert not ANY.search(text)
    with pytest.raises(InvalidVersionError):
        parse_version(text.encode())


def test_1_2_is_allowed_where_its_shapes_are_shown() -> None:
    assert ANY.search("1.2")


def test_the_document_says_whose_tokens_an_operation_takes() -> None:
    kinds = {each.name: {kind for one in security(each) for kind in one} for each in OPERATIONS}

    assert kinds["keys.refresh"] == {"refreshToken"}
    assert {name for name, takes in kinds.items() if "accessToken" in takes} == {
        "balances.check",
        "balances.track",
        "customers.get",
        "entities.get",
        "events.aggregate",
        "events.list",
    }
    assert {name for name, takes in kinds.items() if "secretKey" not in takes} == {"keys.refresh"}
    schemes = document(OPERATIONS)["components"]["securitySchemes"]
    assert {kind for takes in kinds.values() for kind in takes} == set(schemes)
