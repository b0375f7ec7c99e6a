"""``features.*``: requests, the feature as it is answered, and what of it is stored as a document.

Amounts are raw JSON on the wire and decimal texts in ``FeatureDocument``; neither is ever a float.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.common import NOT_SENT, Anything, Integer, Number, choice
from gateway.messages.pages import Listed

TYPES = ("boolean", "metered", "credit_system")

POLICIES = ("closed", "open", "last_known")
"""What a check of a feature answers when it cannot be decided."""

OutagePolicy = Annotated[str, choice(POLICIES)]

FeatureType = Annotated[str, choice(TYPES)]

LIST_MAX = 100
"""Event names of a feature, and features in a credit schema; each costs time at a refresh."""

EventNames = Annotated[list[str], Meta(max_length=LIST_MAX)]


class CreditCost(msgspec.Struct, kw_only=True):
    """Credits that one unit of a metered feature costs."""

    metered_feature_id: str
    credit_cost: Number


class CreditCostRequest(CreditCost, kw_only=True):
    """The same as it is sent; fields of type anything are refused, and ``billing_units`` is 1."""

    billing_units: Number = NOT_SENT
    dimensions: Anything = NOT_SENT
    multipliers: Anything = NOT_SENT


CreditSchema = Annotated[list[CreditCostRequest], Meta(max_length=LIST_MAX)]


class FeatureDisplay(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a unit of the feature is called."""

    singular: str | None = None
    plural: str | None = None


class FeatureCreateRequest(msgspec.Struct, kw_only=True):
    """Define a feature. ``precision`` is the number of decimal places its amounts keep (0 to 9),
    ``on_outage`` what a check answers that cannot be decided.
    """

    feature_id: str
    name: str
    type: FeatureType
    consumable: bool | None = None
    display: FeatureDisplay | None = None
    credit_schema: CreditSchema | None = None
    event_names: EventNames | None = None
    precision: Integer | None = None
    on_outage: OutagePolicy | None = None


class FeatureGetRequest(msgspec.Struct, kw_only=True):
    """Name a feature."""

    feature_id: str


class FeatureDeleteRequest(msgspec.Struct, kw_only=True):
    """Delete a feature that no plan and no credit system uses."""

    feature_id: str


class FeatureListRequest(msgspec.Struct, kw_only=True):
    """List every feature; nothing to choose."""


class FeatureUpdateRequest(msgspec.Struct, kw_only=True):
    """Change the given fields; what a feature means can change only while nobody uses it."""

    feature_id: str
    new_feature_id: str | None = None
    name: str | None = None
    type: FeatureType | None = None
    consumable: bool | None = None
    display: FeatureDisplay | None = None
    credit_schema: CreditSchema | None = None
    event_names: EventNames | None = None
    precision: Integer | None = None
    on_outage: OutagePolicy | None = None
    archived: bool | None = None


class FeatureView(msgspec.Struct, kw_only=True):
    """A feature."""

    id: str
    name: str
    type: FeatureType
    consumable: bool
    event_names: list[str]
    credit_schema: list[CreditCost] | UnsetType = UNSET
    display: FeatureDisplay | UnsetType = UNSET
    archived: bool
    precision: int
    on_outage: OutagePolicy | UnsetType = UNSET


class FeatureListResponse(Listed[FeatureView], kw_only=True):
    """Every feature, oldest first."""


class StoredCost(msgspec.Struct, kw_only=True):
    """One line of a stored credit schema; ``credit_cost`` is a decimal text."""

    metered_feature_id: str
    credit_cost: str


class FeatureDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What ``FeatureRecord.document`` holds as JSON."""

    display: FeatureDisplay | None = None
    credit_schema: list[StoredCost] = []
    precision_chosen: bool = False
    """Whether the caller chose the precision; then it is never lowered in silence."""
    on_outage: str | None = None
    """One of ``POLICIES``; None is the policy of the deployment."""


_decoder = msgspec.json.Decoder(FeatureDocument)


def decode_feature_document(text: str) -> FeatureDocument:
    """Return the document of a feature record."""
    return _decoder.decode(text)


def encode_feature_document(document: FeatureDocument) -> str:
    """Return the text of a feature document."""
    return msgspec.json.encode(document).decode()
