"""What attaching a plan would be for a customer (cold-path section 2.1). Pure."""

from __future__ import annotations

from collections.abc import Collection

from gateway.documents import ACTIVE, PAUSED
from gateway.lifecycle.catalog import StoredPlan
from gateway.lifecycle.prices import is_one_off, is_upgrade
from gateway.lifecycle.scope import Scope
from gateway.lifecycle.trials import is_trialing
from gateway.messages.plans import Eligibility


def eligibility(
    scope: Scope, plan: StoredPlan, now_ms: int, tried: Collection[str] = ()
) -> Eligibility:
    """Return what attaching a plan would be in a scope, of whose plans some were ``tried``."""
    record, document = plan
    held = [one for one in scope.subscriptions if one.plan_id == record.id]
    found = Eligibility(attach_action="activate", canceling=False)
    found.trialing = any(is_trialing(one, now_ms) for one in held if one.status != PAUSED)
    found.trial_available = document.free_trial is not None and record.id not in tried
    listed = [one for one in held if one.status != PAUSED]
    if listed:
        one = min(listed, key=lambda each: each.status != ACTIVE)
        found.status = one.status
        found.canceling = one.canceled_at is not None
    current = scope.current(record.group)
    if is_one_off(document):
        found.attach_action = "purchase"
    elif held:
        found.attach_action = "none"
    elif not record.add_on and current is not None:
        before = scope.documents.get(current.id)
        steps_up = before is None or is_upgrade(before, document)
        found.attach_action = "upgrade" if steps_up else "downgrade"
    return found
