"""What a published client can say is heard: each field of its requests is read here, refused by
name, or one of those that change nothing without a payment provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import msgspec
import pytest

from gateway.api.operations import OPERATIONS
from gateway.messages.controls import BillingControls, CustomerConfig
from tests.fixtures.sdks import FOLDER

PASSED_OVER = {
    "additional_currencies",
    "adjustable",
    "billing_behavior",
    "create_in_stripe",
    "currency",
}
"""How somebody pays, in which money, and what a checkout page would let them change."""

OF_AI_CREDITS = {"default_markup", "model_markups", "provider_markups"}
"""Of a type of feature that is refused."""

OF_TIERS = {"tier_behavior", "tiers"}
"""Instead of a ``credit_cost``, which is required."""

OF_ANSWERS = {"source", "usage"}
"""What the answers add to billing controls, and a request may repeat."""

DOCUMENTS = {"billing_controls": BillingControls, "config": CustomerConfig}
"""Fields that are kept as they are sent, and what is read of them."""

NAMES = {
    "balances.create": "CreateBalanceParams",
    "balances.update": "UpdateBalanceParams",
    "balances.delete": "DeleteBalanceParams",
    "balances.finalize": "FinalizeBalanceParams",
    "balances.check": "CheckParams",
    "balances.track": "TrackParams",
    "billing.attach": "AttachParams",
    "billing.preview_attach": "PreviewAttachParams",
    "billing.multi_attach": "MultiAttachParams",
    "billing.update": "UpdateSubscriptionParams",
    "billing.preview_update": "PreviewUpdateParams",
    "customers.get_or_create": "GetOrCreateCustomerParams",
    "customers.update": "UpdateCustomerParams",
    "customers.list": "ListCustomersParams",
    "entities.create": "CreateEntityParams",
    "entities.update": "UpdateEntityParams",
    "events.list": "EventsListParams",
    "events.aggregate": "EventsAggregateParams",
    "features.create": "CreateFeatureParams",
    "features.update": "UpdateFeatureParams",
    "plans.create": "CreatePlanParams",
    "plans.update": "UpdatePlanParams",
    "plans.list": "ListPlansParams",
}
"""Operations, and what the clients call their requests."""

SCHEMA = re.compile(r"var (\w+)\$outboundSchema = (.*?);\n(?=\S)", re.DOTALL)
NAMED = re.compile(r"(\w+)\$outboundSchema")


@cache
def schemas(version: str) -> dict[str, str]:
    """Return the source of what a client makes of each object it sends."""
    folder = FOLDER / "node_modules" / f"autumn-js-{version}" / "dist" / "sdk"
    return dict(SCHEMA.findall((folder / "index.mjs").read_text()))


def fields(source: str) -> Iterator[tuple[str, str]]:
    """Yield the names of an object's fields on the wire, and the source of each."""
    renamed = dict(re.findall(r'(\w+): "(\w+)"', source[source.find("remap(") :]))
    inside = source[source.index("object({") + len("object({") :]
    name, depth, text = "", 0, ""
    for letter in inside:
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or (letter == "," and depth == 0):
            if name:
                yield renamed.get(name, name), text
            name, text = "", ""
        elif letter == ":" and depth == 0:
            name, text = text.strip(" \n"), ""
        else:
            text += letter
        if depth < 0:
            return


def structs(kind: Any) -> list[type[msgspec.Struct]]:  # noqa: ANN401 - any annotation
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [struct for part in get_args(kind) for struct in structs(part)]


def unheard(known: dict[str, str], name: str, kinds: list[type[msgspec.Struct]]) -> Iterator[str]:
    """Yield the fields a request may have and none of these structs has."""
    source = known.get(name, "")
    if "object({" not in source:
        for part in NAMED.findall(source):
            yield from unheard(known, part, kinds)
        return
    heard = {one.encode_name: one.type for kind in kinds for one in msgspec.structs.fields(kind)}
    for field, shape in fields(source):
        if field not in heard:
            yield field
        elif parts := structs(heard[field]) or structs(DOCUMENTS.get(field)):
            for part in NAMED.findall(shape):
                yield from (f"{field}.{one}" for one in unheard(known, part, parts))


@pytest.mark.parametrize("version", ["1.0", "1.3"])
def test_each_field_of_a_request_is_heard(version: str) -> None:
    known = schemas(version)
    requests = {one.name: structs(one.request) for one in OPERATIONS}
    lost = {
        f"{operation}: {field}"
        for operation, name in NAMES.items()
        for field in unheard(known, name, requests[operation])
        if field.rpartition(".")[2] not in PASSED_OVER | OF_AI_CREDITS | OF_TIERS | OF_ANSWERS
    }

    assert lost == set()
    assert sum(name in known for name in NAMES.values()) > 20
