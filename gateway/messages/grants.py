"""``balances.create``, ``.update``, ``.delete``, ``.list``, ``.batch_track`` and ``usage``
(hot-path sections 1.3, 1.5 and 1.10).

A *grant* is a balance that no plan gave: a row of its own, held by a customer or by one entity.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.balances import Breakdown, LeftoverView, TrackRequest
from gateway.messages.common import NOT_SENT, Integer, Number
from gateway.messages.pages import Listed
from gateway.messages.plans import ItemResetRequest, ResetInterval, RolloverRequest
from gateway.messages.subjects import CustomerData, EntityData

BATCH_MAX = 1_000
"""Tracks of one batch."""


class BalanceCreateRequest(msgspec.Struct, kw_only=True):
    """Give units of a feature, or a boolean feature, to a customer or to one of its entities."""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    included_grant: Number = NOT_SENT
    unlimited: bool | None = None
    reset: ItemResetRequest | None = None
    rollover: RolloverRequest | None = None
    expires_at: Integer | None = None
    next_reset_at: Integer | None = None
    balance_id: str | None = None


class BalanceUpdateRequest(msgspec.Struct, kw_only=True):
    """Set what is left or used of a feature, or change its balances; ``balance_id`` and
    ``interval`` narrow down which. Older clients call ``remaining`` ``current_balance`` and
    ``balance_id`` ``customer_entitlement_id``.
    """

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    remaining: Number = NOT_SENT
    add_to_balance: Number = NOT_SENT
    usage: Number = NOT_SENT
    included_grant: Number = NOT_SENT
    interval: ResetInterval | None = None
    balance_id: str | None = None
    next_reset_at: Integer | None = None
    expires_at: Integer | None = None
    current_balance: Number = NOT_SENT
    customer_entitlement_id: str | None = None


class BalanceDeleteRequest(msgspec.Struct, kw_only=True):
    """End balances; with ``recalculate_balances`` what was used of them is taken from others."""

    customer_id: str
    feature_id: str | None = None
    entity_id: str | None = None
    balance_id: str | None = None
    interval: ResetInterval | None = None
    recalculate_balances: bool | None = None


class BalanceListRequest(msgspec.Struct, kw_only=True):
    """Page through balances: of an entity, of a customer or of all. A ``plan_id`` of null asks for
    those no plan gave.
    """

    customer_id: str | None = None
    entity_id: str | None = None
    feature_id: str | None = None
    plan_id: str | UnsetType | None = UNSET
    statuses: list[str] | None = None
    start_cursor: str | None = None
    limit: Integer | None = None


class ListedBalance(Breakdown, kw_only=True):
    """A balance of a list; without an entity, a per-entity one stands for all its slots."""

    feature_id: str
    status: str
    source: str
    rollovers: list[LeftoverView]
    customer_id: str
    entity_id: str | None
    created_at: int


class BalanceListResponse(Listed[ListedBalance], kw_only=True):
    """One page of balances, newest customers first; it may be shorter than its limit."""

    has_more: bool
    next_cursor: str | None


class UsageSetRequest(msgspec.Struct, kw_only=True):
    """Make what is used of a feature equal ``value``; credit systems are left alone."""

    customer_id: str
    feature_id: str
    value: Number
    entity_id: str | None = None
    customer_data: CustomerData | None = None
    entity_data: EntityData | None = None


BatchTrackRequest = Annotated[list[TrackRequest], Meta(min_length=1, max_length=BATCH_MAX)]
"""Tracks, each as ``balances.track`` takes it."""


class BatchFailure(msgspec.Struct, kw_only=True):
    """Why one track of a batch was refused when its turn came; ``index`` counts from 0."""

    index: int
    code: str
    message: str


class BatchTrackResponse(msgspec.Struct, kw_only=True):
    """The batch was carried out; ``failed`` is there only when the state refused some of it."""

    success: bool = True
    failed: list[BatchFailure] | UnsetType = UNSET
