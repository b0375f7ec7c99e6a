"""Billing controls on their way in and out: checked and compiled when something they depend on
changes, shown with what they have counted when somebody reads (hot-path sections 1.7 and 1.12).

What is stored stays as it was sent; the entries of plans, their sources and the live usage exist
in answers only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Raw

from gateway.documents import (
    ACTIVE,
    CustomerDocument,
    EntityDocument,
    Subscription,
    decode_customer,
    decode_entity,
    decode_subscription,
    decode_subscriptions,
    held_entity,
)
from gateway.engine.catalog import Catalog
from gateway.lifecycle.controls import (
    ARRAYS,
    ControlScope,
    Decision,
    Source,
    check_amounts,
    compile_rules,
    decide,
    features_of,
    named_features,
)
from gateway.lifecycle.rules import filter_key, window_usage
from gateway.messages.common import JsonObject, number_of
from gateway.messages.controls import filter_text, shown_entry
from gateway.ports import CustomerImage, FeatureRecord
from gateway.rows import Row, decode_row, decode_rows
from gateway.scripts import CustomerReply

RECORD = "\x1e"
COLUMN = "\x1f"
_FIELD = '"billing_controls"'
"""Of the many entities a customer may have, only those whose text has it are looked into."""


def customer_scope(
    document: CustomerDocument,
    subscriptions: Sequence[Subscription],
    rows: Mapping[str, Sequence[Row]],
) -> ControlScope:
    """Return the customer as a scope of controls."""
    controls = document.billing_controls
    alone = bool(document.config.get("disable_pooled_balance"))
    return ControlScope(Source.CUSTOMER, controls, subscriptions, rows, alone=alone)


def entity_scope(document: EntityDocument, rows: Mapping[str, Sequence[Row]]) -> ControlScope:
    """Return an entity as a scope of controls."""
    controls = document.billing_controls
    return ControlScope(Source.ENTITY, controls, document.subscriptions, rows)


def read_customer_scope(
    reply: CustomerReply, document: CustomerDocument, subscriptions: Sequence[Subscription]
) -> ControlScope:
    """Return the customer of a reply as a scope; without controls its rows are left out."""
    rows = shared_rows(reply) if _has_controls(document, subscriptions) else {}
    return customer_scope(document, subscriptions, rows)


def reply_scope(reply: CustomerReply) -> ControlScope:
    """Return what a reply is about, an entity or the customer, as a scope of controls."""
    if reply.entity:
        return entity_scope(held_entity(reply.entity).document, own_rows(reply))
    return owner_scope(reply)


def owner_scope(reply: CustomerReply) -> ControlScope:
    """Return the customer of a reply, whatever that is about, as a scope of controls."""
    subscriptions = decode_subscriptions(reply.subscriptions)
    return customer_scope(decode_customer(reply.document), subscriptions, shared_rows(reply))


def read_entity_scope(reply: CustomerReply, document: EntityDocument) -> ControlScope:
    """Return the entity of a reply as a scope; without controls its rows are left out."""
    rows = own_rows(reply) if _has_controls(document, document.subscriptions) else {}
    return entity_scope(document, rows)


def _has_controls(
    document: CustomerDocument | EntityDocument, subscriptions: Sequence[Subscription]
) -> bool:
    if isinstance(document, CustomerDocument) and document.config:
        return True
    return bool(document.billing_controls or any(one.billing_controls for one in subscriptions))


def shared_rows(reply: CustomerReply) -> dict[str, list[Row]]:
    """Return the customer's rows by feature."""
    return {one.feature: decode_rows(one.rows) for one in reply.descriptions}


def own_rows(reply: CustomerReply) -> dict[str, list[Row]]:
    """Return the rows the entity holds itself by feature."""
    return {one.feature: decode_rows(one.own_rows) for one in reply.descriptions}


async def check_controls(catalog: Catalog, env: str, controls: JsonObject | None) -> None:
    """Refuse controls of unknown features and amounts their features cannot hold.

    Raises ``FeatureNotFoundError`` and ``InvalidInputsError`` naming the place.
    """
    if controls:
        check_amounts(controls, await _features(catalog, env, features_of(controls)))


async def rules_of(
    catalog: Catalog, env: str, after: ControlScope, before: ControlScope | None = None
) -> str:
    """Return the rules texts of a scope as ``store_rules`` takes them: every feature the scope has
    a rule of now, and those it may have had one of ``before`` with an empty text.

    The precision of the features is fixed from now on: the texts depend on it.
    """
    named = named_features(after)
    features = await _features(catalog, env, named)
    for feature_id, feature in features.items():
        if feature.type != "boolean":
            features[feature_id] = await catalog.use_feature(feature)
    texts = compile_rules(after, features)
    if before is not None:
        named |= named_features(before)
    return RECORD.join(f"{name}{COLUMN}{texts.get(name, '')}" for name in sorted(named))


async def rules_of_image(
    catalog: Catalog, image: CustomerImage
) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Return the rules texts of a customer as SQL knows it, by feature, and those of its entities,
    by feature and entity. Under the empty feature are the names ``store_rules`` keeps of an entity.
    """
    document = decode_customer(image.document)
    subscriptions = list(map(decode_subscription, image.subscriptions))
    rows: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in image.rows:
        rows[row.entity_id][row.feature_id].append(decode_row(row.line))
    texts = await _compiled(catalog, image.env, customer_scope(document, subscriptions, rows[""]))
    own: dict[tuple[str, str], str] = {}
    counted: dict[str, set[str]] = defaultdict(set)
    for window in image.windows:
        counted[window.entity_id].add(window.feature_id)
    for entity in image.entities:
        if _FIELD not in entity.document and entity.entity_id not in counted:
            continue
        scope = entity_scope(decode_entity(entity.document), rows[entity.entity_id])
        found = await _compiled(catalog, image.env, scope)
        own |= {(name, entity.entity_id): text for name, text in found.items()}
        names = sorted(counted[entity.entity_id] | found.keys())
        if names:
            own["", entity.entity_id] = "".join(f"{name}{RECORD}" for name in names)
    return texts, own


async def _compiled(catalog: Catalog, env: str, scope: ControlScope) -> dict[str, str]:
    return compile_rules(scope, await _features(catalog, env, named_features(scope)))


async def _features(catalog: Catalog, env: str, names: Iterable[str]) -> dict[str, FeatureRecord]:
    found = {name: await catalog.feature_if_any(env, name) for name in sorted(names)}
    return {name: feature for name, feature in found.items() if feature is not None}


class _Texts(NamedTuple):
    """Rules and extras of a feature at one level."""

    rules: str
    extras: str
    followed: Sequence[Row] = ()
    """Rows of its customer that an entity sees."""


class _Shown:
    """The arrays of an answer as they grow; an entry of a plan decides for many features but is
    shown once.
    """

    def __init__(self, catalog: Catalog, env: str, now_ms: int) -> None:
        self.arrays: dict[str, list[JsonObject]] = {}
        self.catalog = catalog
        self.env = env
        self.now_ms = now_ms
        self._seen: set[int] = set()

    def own(self, scope: ControlScope, texts: Mapping[str, _Texts]) -> None:
        """Add the stored entries of the scope itself, in their order; what is no array of controls
        comes back as it was sent.
        """
        for array, entries in scope.controls.items():
            if array not in ARRAYS:
                self.arrays[array] = entries
                continue
            self.arrays[array] = []
            for entry in entries or ():
                self.add(scope.source, array, entry, texts)

    def decided(self, decisions: Iterable[Decision], texts: Mapping[str, _Texts]) -> None:
        """Add the entries that decide for a feature."""
        for decision in decisions:
            self.add(decision.source, decision.array, decision.entry, texts)

    def add(
        self, source: Source, array: str, entry: JsonObject, texts: Mapping[str, _Texts]
    ) -> None:
        if id(entry) in self._seen:
            return
        self._seen.add(id(entry))
        shown = {**shown_entry(entry), "source": source.value}
        if array == "usage_limits":
            shown["usage"] = self._usage(entry, texts)
        self.arrays.setdefault(array, []).append(shown)

    def _usage(self, entry: JsonObject, texts: Mapping[str, _Texts]) -> Raw:
        feature = self.catalog.find_feature(self.env, entry["feature_id"])
        found = texts.get(entry["feature_id"])
        if feature is None or found is None:
            return Raw(b"0")
        key = filter_key(filter_text(entry))
        units = window_usage(found.rules, found.extras, key, self.now_ms, found.followed)
        return number_of(units, feature.precision)


def shown_customer_controls(
    catalog: Catalog, env: str, scope: ControlScope, reply: CustomerReply, *, now_ms: int
) -> JsonObject:
    """Return the controls of a customer as they are answered: its own, then those its plans bring
    along and nothing of its own hides.
    """
    texts = {one.feature: _Texts(one.rules, one.extras) for one in reply.descriptions}
    shown = _Shown(catalog, env, now_ms)
    shown.own(scope, texts)
    for decisions in _decisions(catalog, env, scope).values():
        shown.decided(decisions, texts)
    taken = {entry["feature_id"] for entry in scope.controls.get("auto_topups") or ()}
    newest_first = sorted(scope.subscriptions, key=lambda one: one.started_at, reverse=True)
    for subscription in newest_first:
        if subscription.status != ACTIVE:
            continue
        for entry in subscription.billing_controls.get("auto_topups") or ():
            if entry["feature_id"] not in taken:
                taken.add(entry["feature_id"])
                shown.add(Source.PLAN, "auto_topups", entry, texts)
    return shown.arrays


def own_controls(shown: JsonObject) -> JsonObject:
    """Return shown controls without those of plans, and without saying whose each is, as they were
    before version 2.3.
    """
    own: JsonObject = {}
    for array, entries in shown.items():
        if array not in ARRAYS:
            own[array] = entries
            continue
        kept = [dict(entry) for entry in entries if entry["source"] != Source.PLAN]
        for entry in kept:
            del entry["source"]
        if kept or not entries:
            own[array] = kept
    return own


def shown_entity_controls(
    catalog: Catalog,
    env: str,
    scope: ControlScope,
    reply: CustomerReply,
    *,
    customer: ControlScope,
    now_ms: int,
) -> JsonObject:
    """Return the controls of an entity as they are answered: its own, those of its plans, then
    what holds for it because it holds for the customer and is counted there.
    """
    entity_feature = held_entity(reply.entity).feature_id
    own_texts = {
        one.feature: _Texts(
            one.own_rules,
            one.own_extras,
            [row for row in decode_rows(one.rows) if row.entity_feature in ("", entity_feature)],
        )
        for one in reply.descriptions
        if one.own_rules
    }
    texts = {one.feature: _Texts(one.rules, one.extras) for one in reply.descriptions}
    shown = _Shown(catalog, env, now_ms)
    shown.own(scope, own_texts)
    own = _decisions(catalog, env, scope)
    for decisions in own.values():
        shown.decided(decisions, own_texts)
    for feature_id, decisions in _decisions(catalog, env, customer).items():
        hidden = {_identity(one) for one in own.get(feature_id, ()) if one.line}
        inherited = [
            one
            for one in decisions
            if one.line and one.array != "usage_alerts" and _identity(one) not in hidden
        ]
        shown.decided(inherited, texts)
    return shown.arrays


def _decisions(catalog: Catalog, env: str, scope: ControlScope) -> dict[str, list[Decision]]:
    found = {}
    for feature_id in sorted(named_features(scope)):
        feature = catalog.find_feature(env, feature_id)
        if feature is not None:
            found[feature_id] = decide(scope, feature)
    return found


def _identity(decision: Decision) -> tuple[str, str]:
    """Return what a rule of the entity replaces of the customer's rules of the same feature."""
    is_window = decision.array == "usage_limits"
    return decision.array, filter_text(decision.entry) if is_window else ""
