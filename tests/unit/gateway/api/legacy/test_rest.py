"""REST paths, queries and bodies become the body of an operation."""

from __future__ import annotations

import json

import pytest

from gateway.api.legacy.rest import ROUTES, find


def _body(method: str, path: str, query: bytes = b"", body: bytes = b"") -> object:
    methods, named = find(path.encode())
    return json.loads(methods[method].body_of(named, query, body))


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "expected"),
    [
        ("POST", "/v1/check", b"", b'{"customer_id": "a"}', {"customer_id": "a"}),
        ("GET", "/v1/customers/a", b"", b"", {"customer_id": "a"}),
        ("GET", "/v1/customers/a/", b"expand=", b"", {"customer_id": "a", "expand": []}),
        (
            "GET",
            "/v1/customers/a",
            b"expand=x,y&expand=z&w=1",
            b"",
            {"customer_id": "a", "expand": ["x", "y", "z"]},
        ),
        ("GET", "/v1/customers", b"limit=5&offset=ten", b"", {"limit": 5, "offset": "ten"}),
        (
            "DELETE",
            "/v1/customers/a",
            b"delete_in_stripe=true",
            b"",
            {"customer_id": "a", "delete_in_stripe": True},
        ),
        (
            "POST",
            "/v1/customers/a",
            b"",
            b'{"id": "b", "customer_id": "c"}',
            {"customer_id": "a", "new_customer_id": "b"},
        ),
        (
            "POST",
            "/v1/customers/a/entities",
            b"",
            b' [{"id": "e"}]',
            {"customer_id": "a", "entities": [{"id": "e"}]},
        ),
        (
            "GET",
            "/v1/customers/a/entities/x%2Fy%20z",
            b"",
            b"",
            {"customer_id": "a", "entity_id": "x/y z"},
        ),
    ],
)
def test_path_query_and_body_are_one(
    method: str, path: str, query: bytes, body: bytes, expected: object
) -> None:
    assert _body(method, path, query, body) == expected


def test_a_query_that_says_nothing_is_not_passed_over() -> None:
    assert _body("GET", "/v1/products", b"entity_id=&expand=") == {"entity_id": "", "expand": []}


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff", b"[" * 5_000])
def test_what_is_no_object_goes_on_as_it_is(body: bytes) -> None:
    methods, named = find(b"/v1/check")

    assert methods["POST"].body_of(named, b"limit=1", body) == body


def test_amounts_pass_digit_by_digit() -> None:
    methods, named = find(b"/v1/track")
    sent = b'{"value":0.30000000000000004123}'

    assert methods["POST"].body_of(named, b"", sent) == sent


@pytest.mark.parametrize("path", [b"/v1", b"/v1/none", b"/v1/customers/a/b", b"/v1/\xff"])
def test_an_unknown_path_has_no_route(path: bytes) -> None:
    assert find(path) == ({}, {})


def test_each_route_is_there_once() -> None:
    named = [(route.method, route.path) for route in ROUTES]

    assert len(set(named)) == len(named)
