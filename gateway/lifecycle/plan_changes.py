"""What may change about a plan, and when a change makes a new version of it (cold-path sections 2.4
to 2.6). Pure.

Customers stay on the version they have: a version that is held is edited in place only where
nothing of what it gives depends on it, or when the caller insists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from gateway.errors import (
    HistoricalDefaultError,
    InvalidRequestError,
    NotSupportedError,
    PlanExistsError,
    PlanNotFoundError,
    PropagationError,
    VersionFlagsError,
)
from gateway.lifecycle.catalog import CatalogView, StoredPlan
from gateway.lifecycle.plan_rules import (
    base_price,
    check_plan,
    free_trial,
    is_default_trial,
    plan_config,
    plan_items,
    refuse_licenses,
)
from gateway.lifecycle.prices import is_paid
from gateway.messages.common import integer
from gateway.messages.plan_changes import PlanUpdateRequest
from gateway.messages.plans import PlanDocument, encode_plan_document

_REFUSED = ("base_plan_id", "migration", "variants", "update_license_parents")

_VERSIONED = ("items", "price", "free_trial", "billing_controls")
"""What a customer has of a plan; a change of anything else is one of its label."""


class PlanChange(NamedTuple):
    """What an update writes, and the version that is answered."""

    shown: StoredPlan
    added: tuple[StoredPlan, ...] = ()
    replaced: tuple[StoredPlan, ...] = ()
    deleted: tuple[StoredPlan, ...] = ()
    precisions: Mapping[str, int] = {}


def change_plan(
    request: PlanUpdateRequest,
    catalog: CatalogView,
    *,
    is_held: bool,
    was_held: bool,
    now_ms: int,
) -> PlanChange:
    """Return what an update writes. ``is_held`` says whether a customer has the plan or will get
    it, ``was_held`` whether any ever had it.

    Raises ``PlanNotFoundError``, ``VersionFlagsError`` for flags that contradict each other,
    ``PlanExistsError`` and ``InvalidRequestError`` for another id, and the errors of a new plan.
    """
    _check_flags(request)
    version = integer(request.version, field="version")
    old = catalog.version(request.plan_id, version)
    if old is None:
        named = "" if version is None else f" has no version {version}"
        raise PlanNotFoundError(f"Plan {request.plan_id}{named or ' not found'}")
    latest = catalog.plans[request.plan_id]
    if old is not latest and request.auto_enable:
        raise HistoricalDefaultError
    document = _changed(old.document, request, catalog)
    precisions = check_plan(request.plan_id, document, catalog)
    if request.new_plan_id not in (None, request.plan_id):
        renamed = _renamed(request, catalog, _stored(old, document, request), was_held=was_held)
        return renamed._replace(precisions=precisions)
    differs = any(getattr(document, name) != getattr(old.document, name) for name in _VERSIONED)
    versions = request.force_version or (is_held and differs and old is latest)
    if versions and not request.disable_version and not request.all_versions:
        return _next_version(latest, _stored(latest, document, request), precisions, now_ms)
    shown = _stored(old, document, request)
    replaced = [shown]
    for other in catalog.versions:
        if other.record.id == request.plan_id and other is not old:
            if request.all_versions:
                changed = _changed(other.document, request, catalog)
                changed.auto_enable = False  # the latest alone may be a default
                check_plan(request.plan_id, changed, catalog)  # its own grants fit already
                replaced.append(_stored(other, changed, request))
            elif request.archived not in (None, other.record.archived):
                replaced.append(_stored(other, other.document, request))
    return PlanChange(shown, replaced=tuple(replaced), precisions=precisions)


def _check_flags(request: PlanUpdateRequest) -> None:
    flags = {
        name: bool(getattr(request, name))
        for name in ("force_version", "disable_version", "all_versions")
    }
    if sum(flags.values()) > 1:
        named = " and ".join(name for name, is_set in flags.items() if is_set)
        raise VersionFlagsError(f"{named} exclude each other")
    refuse_licenses(request.licenses)
    if request.update_variant_ids:
        raise PropagationError(
            f"update_variant_ids: plan {request.plan_id} has no variant "
            f"{request.update_variant_ids[0]}"
        )
    for field in _REFUSED:
        if getattr(request, field):
            raise NotSupportedError(f"{field}: changing a plan with it is not supported")
    if request.is_default:
        raise NotSupportedError("is_default: is not supported; auto_enable says who gets the plan")


def _changed(old: PlanDocument, request: PlanUpdateRequest, catalog: CatalogView) -> PlanDocument:
    changes: dict[str, object] = {
        name: value
        for name in ("name", "group", "add_on", "auto_enable", "metadata")
        if (value := getattr(request, name)) is not None
    }
    if request.config is not None:
        changes["config"] = plan_config(request.config)
    if request.description is not UNSET:
        changes["description"] = request.description
    if request.price is not UNSET:
        changes["price"] = None if request.price is None else base_price(request.price)
    if request.items is not None:
        changes["items"] = plan_items(request.items, catalog)
    if request.free_trial is not UNSET:
        trial = request.free_trial
        changes["free_trial"] = None if trial is None else free_trial(trial)
    if request.billing_controls is not None:
        changes["billing_controls"] = old.billing_controls | request.billing_controls
    document = msgspec.structs.replace(old, **changes)
    must_be_asked = is_paid(document) and not is_default_trial(document)
    if document.auto_enable and must_be_asked and not request.auto_enable:
        document.auto_enable = False
    return document


def _stored(old: StoredPlan, document: PlanDocument, request: PlanUpdateRequest) -> StoredPlan:
    record = msgspec.structs.replace(
        old.record,
        group=document.group,
        add_on=document.add_on,
        auto_enable=document.auto_enable,
        archived=old.record.archived if request.archived is None else request.archived,
        document=encode_plan_document(document),
    )
    return StoredPlan(record, document)


def _next_version(
    latest: StoredPlan, changed: StoredPlan, precisions: Mapping[str, int], now_ms: int
) -> PlanChange:
    """Return what a new version writes; the one before is no default any more."""
    record = msgspec.structs.replace(
        changed.record, version=latest.record.version + 1, created_at=now_ms
    )
    added = StoredPlan(record, changed.document)
    replaced: tuple[StoredPlan, ...] = ()
    if latest.record.auto_enable:
        document = msgspec.structs.replace(latest.document, auto_enable=False)
        text = encode_plan_document(document)
        kept = msgspec.structs.replace(latest.record, auto_enable=False, document=text)
        replaced = (StoredPlan(kept, document),)
    return PlanChange(added, added=(added,), replaced=replaced, precisions=precisions)


def _renamed(
    request: PlanUpdateRequest, catalog: CatalogView, shown: StoredPlan, *, was_held: bool
) -> PlanChange:
    new_id = request.new_plan_id or ""
    if new_id in catalog.plans:
        raise PlanExistsError(f"Plan {new_id} already exists")
    if was_held:
        raise InvalidRequestError("new_plan_id: cannot change because customers had the plan")
    deleted = [one for one in catalog.versions if one.record.id == request.plan_id]
    named = [
        StoredPlan(msgspec.structs.replace(record, id=new_id), document)
        for record, document in (
            shown if one.record.version == shown.record.version else one for one in deleted
        )
    ]
    shown = next(one for one in named if one.record.version == shown.record.version)
    return PlanChange(shown, added=tuple(named), deleted=tuple(deleted))
