"""One revision of the catalog, arranged for look-ups; replaced as a whole, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.engine.principals import Principal, principal_of
from gateway.lifecycle.catalog import CatalogView, StoredPlan, credit_ratio
from gateway.lifecycle.prices import is_paid
from gateway.messages.features import FeatureDocument, decode_feature_document
from gateway.messages.plans import decode_plan_document
from gateway.ports import CatalogImage, FeatureRecord
from gateway.scripts import Pool


class Snapshot(NamedTuple):
    """One revision of the catalog, by what it is looked up with."""

    revision: int
    views: dict[str, CatalogView]
    documents: dict[tuple[str, str], FeatureDocument]
    events: dict[tuple[str, str], tuple[FeatureRecord, ...]]
    credit_systems: dict[tuple[str, str], tuple[FeatureRecord, ...]]
    pools: dict[tuple[str, str], tuple[Pool, ...]]
    """Of each feature the credit systems that pay for it, oldest first, with their ratios."""
    defaults: dict[str, tuple[StoredPlan, ...]]
    principals: dict[str, Principal]
    """By the digest of the secret."""
    keys: dict[str, Principal]
    """The same by id, which outlives the secret of a key that was rotated."""
    clock_offset_ms: int


def take_snapshot(image: CatalogImage) -> Snapshot:
    """Return the catalog as SQL has it, by what it is looked up with."""
    views = {env: _env_view(image, env) for env in _environments(image)}
    documents = {
        (feature.env, feature.id): decode_feature_document(feature.document)
        for feature in image.features
    }
    events: dict[tuple[str, str], tuple[FeatureRecord, ...]] = {}
    systems: dict[tuple[str, str], tuple[FeatureRecord, ...]] = {}
    pools: dict[tuple[str, str], tuple[Pool, ...]] = {}
    precisions = {(feature.env, feature.id): feature.precision for feature in image.features}
    for feature in image.features:
        for name in feature.event_names:
            key = (feature.env, name)
            events[key] = (*events.get(key, ()), feature)
        for cost in documents[feature.env, feature.id].credit_schema:
            if cost.metered_feature_id == feature.id:
                continue  # its own units are spent as they are
            key = (feature.env, cost.metered_feature_id)
            systems[key] = (*systems.get(key, ()), feature)
            if key in precisions:
                num, den = credit_ratio(cost.credit_cost, precisions[key], feature.precision)
                pools[key] = (*pools.get(key, ()), Pool(feature.id, num, den))
    principals = {key.digest: principal_of(key) for key in image.keys}
    return Snapshot(
        revision=image.revision,
        views=views,
        documents=documents,
        events=events,
        credit_systems=systems,
        pools=pools,
        defaults={env: _defaults(view.plans.values()) for env, view in views.items()},
        principals=principals,
        keys={each.key_id: each for each in principals.values()},
        clock_offset_ms=image.clock_offset_ms,
    )


def _environments(image: CatalogImage) -> set[str]:
    return {feature.env for feature in image.features} | {plan.env for plan in image.plans}


def _env_view(image: CatalogImage, env: str) -> CatalogView:
    features = [feature for feature in image.features if feature.env == env]
    features.sort(key=lambda feature: (feature.created_at, feature.id))
    versions: dict[str, list[StoredPlan]] = {}
    for plan in sorted(image.plans, key=lambda plan: plan.version):
        if plan.env == env:
            stored = StoredPlan(plan, decode_plan_document(plan.document))
            versions.setdefault(plan.id, []).append(stored)
    # A plan keeps its place when it gets another version.
    places = {plan_id: (held[0].record.created_at, plan_id) for plan_id, held in versions.items()}
    return CatalogView(
        {feature.id: feature for feature in features},
        {plan_id: versions[plan_id][-1] for plan_id in sorted(versions, key=places.__getitem__)},
        tuple(plan for held in versions.values() for plan in held[:-1]),
    )


def _defaults(plans: Iterable[StoredPlan]) -> tuple[StoredPlan, ...]:
    chosen: dict[str, StoredPlan] = {}
    for plan in plans:
        record = plan.record
        if not record.auto_enable or record.archived:
            continue
        slot = f"add-on {record.id}" if record.add_on else f"group {record.group}"
        if slot not in chosen or not is_paid(chosen[slot].document):
            chosen[slot] = plan
    return tuple(chosen.values())
