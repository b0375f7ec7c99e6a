"""The REST routes: each is another way to say what ``POST /v1/<name>`` says.

Path, query and body are joined to the body of the operation, whatever the version; what that says
decides the shapes. A body that is no object goes on as it is, for the decoder to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Raw

from gateway.api.decoding import BLANKS
from gateway.api.legacy import operations as own
from gateway.api.operation import Operation
from gateway.api.operations import OPERATIONS

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Raw]).decode

PREFIX = "/v1"
"""What every path begins with."""

Fields = dict[str, Raw]


def _text(values: list[str]) -> object:
    return values[-1]


def _texts(values: list[str]) -> object:
    return [part for value in values for part in value.split(",") if part]


def _number(values: list[str]) -> object:
    text = values[-1]
    # What is no number goes on as a text, which the decoder refuses with the name of the field.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text


def _switch(values: list[str]) -> object:
    return {"true": True, "false": False}.get(values[-1], values[-1])


QUERY: dict[str, Callable[[list[str]], object]] = {
    "expand": _texts,
    "limit": _number,
    "offset": _number,
    "version": _number,
    "customer_id": _text,
    "entity_id": _text,
    "search": _text,
    "start_cursor": _text,
    "delete_in_stripe": _switch,
    "include_archived": _switch,
    "all_versions": _switch,
}
"""What a query may say, and how its texts are read; anything else is ignored."""


class Route(NamedTuple):
    """A method and a path, and the operation they name."""

    method: str
    path: str
    operation: Operation
    renamed: Mapping[str, str] = {}
    """Fields of the body, and what the operation calls them."""
    many: str = ""
    """What the operation calls a body that is an array."""
    nulls: tuple[str, ...] = ()
    """Fields that may be left out here, as the operation calls them; it takes them as null."""

    def body_of(self, named: Mapping[str, str], query: bytes, body: bytes) -> bytes:
        """Return the body of the operation; ``named`` are the parts of the path."""
        try:
            fields = self._sent(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return body
        fields = dict.fromkeys(self.nulls, _NULL) | fields | _query_fields(query)
        fields |= {name: Raw(_encode(value)) for name, value in named.items()}
        return _encode(fields)

    def _sent(self, body: bytes) -> Fields:
        if not body.strip(BLANKS):
            return {}
        if self.many and body.lstrip(BLANKS)[:1] == b"[":
            return {self.many: Raw(body)}
        sent = _decode(body)
        return {self.renamed.get(name, name): value for name, value in sent.items()}


def _query_fields(query: bytes) -> Fields:
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in QUERY:
            values.setdefault(name, []).append(value)
    return {name: Raw(_encode(QUERY[name](sent))) for name, sent in values.items()}


_NULL = Raw(b"null")
_TODAY = {operation.name: operation for operation in OPERATIONS}
_CUSTOMER = "/v1/customers/{customer_id}"
_ENTITY = _CUSTOMER + "/entities/{entity_id}"
_PRODUCT = "/v1/products/{plan_id}"


def _today(
    method: str,
    path: str,
    name: str,
    *,
    many: str = "",
    nulls: tuple[str, ...] = (),
    **renamed: str,
) -> Route:
    """Return the route of an operation, whose errors name fields as the route does."""
    sent_as = {ours: theirs for theirs, ours in renamed.items()}
    operation = _TODAY[name]._replace(sent_as=sent_as)
    return Route(method, path, operation, renamed, many, nulls)


ROUTES: tuple[Route, ...] = (
    _today("POST", "/v1/check", "balances.check"),
    _today("POST", "/v1/entitled", "balances.check"),
    _today("POST", "/v1/track", "balances.track"),
    _today("POST", "/v1/events", "balances.track"),
    _today("POST", "/v1/balances/create", "balances.create"),
    _today("POST", "/v1/balances/update", "balances.update"),
    _today("POST", "/v1/balances/list", "balances.list"),
    _today(
        "POST",
        "/v1/customers",
        "customers.get_or_create",
        nulls=("customer_id",),
        id="customer_id",
    ),
    _today("GET", "/v1/customers", "customers.list"),
    _today("GET", _CUSTOMER, "customers.get"),
    _today("POST", _CUSTOMER, "customers.update", id="new_customer_id"),
    _today("DELETE", _CUSTOMER, "customers.delete"),
    Route("POST", _CUSTOMER + "/balances", own.SET_BALANCES),
    Route("POST", _CUSTOMER + "/billing_portal", own.PORTAL),
    Route("POST", _CUSTOMER + "/transfer", own.TRANSFER),
    _today("POST", _CUSTOMER + "/entities", "entities.create", many="entities", id="entity_id"),
    _today("GET", _CUSTOMER + "/entities", "entities.list"),
    _today("GET", _ENTITY, "entities.get"),
    _today("DELETE", _ENTITY, "entities.delete"),
    _today("POST", "/v1/attach", "billing.attach"),
    Route("POST", "/v1/checkout", own.CHECKOUT),
    Route("POST", "/v1/cancel", own.CANCEL),
    Route("POST", "/v1/setup_payment", own.SETUP_PAYMENT),
    _today("GET", "/v1/products", "plans.list"),
    _today("GET", "/v1/products_beta", "plans.list"),
    _today("POST", "/v1/products", "plans.create", id="plan_id"),
    _today("GET", _PRODUCT, "plans.get"),
    _today("POST", _PRODUCT, "plans.update", id="new_plan_id"),
    _today("DELETE", _PRODUCT, "plans.delete"),
    Route("GET", "/v1/components/pricing_table", own.PRICING_TABLE),
    _today("GET", "/v1/features", "features.list"),
    _today("GET", "/v1/features/{feature_id}", "features.get"),
    _today("POST", "/v1/query", "events.aggregate"),
    _today("POST", "/v1/events/list", "events.list"),
    _today("POST", "/v1/events/aggregate", "events.aggregate"),
    Route("POST", "/v1/referrals/code", own.REFERRALS),
    Route("POST", "/v1/referrals/redeem", own.REFERRALS),
)

Methods = dict[str, Route]

_plain: dict[str, Methods] = {}
_patterns: dict[str, Methods] = {}
for _route in ROUTES:
    _paths = _patterns if "{" in _route.path else _plain
    _paths.setdefault(_route.path, {})[_route.method] = _route
_compiled = [
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), methods)
    for path, methods in _patterns.items()
]


def find(path: bytes) -> tuple[Methods, dict[str, str]]:
    """Return the routes of a path as it was sent, by method, and what its parts name; none when
    there is no such path.
    """
    text = path.decode("latin-1").rstrip("/")
    if methods := _plain.get(text):
        return methods, {}
    for pattern, methods in _compiled:
        if match := pattern.fullmatch(text):
            return methods, {name: unquote(part) for name, part in match.groupdict().items()}
    return {}, {}
