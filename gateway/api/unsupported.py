"""Operations of the published clients that need a payment provider, or are not there yet: they are
answered with their names rather than as routes nobody knows.
"""

from __future__ import annotations

from gateway.errors import NotSupportedError

_PREFIX = "/v1/"

OPERATIONS = frozenset(
    [
        "balances.track_tokens",
        "billing.create_schedule",
        "billing.import",
        "billing.multi_update",
        "billing.open_customer_portal",
        "billing.preview_multi_update",
        "billing.setup_payment",
        "billing.verify",
        "customers.advance_test_clock",
        "logs.search",
        "plans.create_variant",
        "purchases.list",
        "subscriptions.list",
    ]
)

RESOURCES = frozenset(
    [
        "invoices",
        "licenses",
        "platform",
        "referral_programs",
        "referrals",
        "rewards",
        "sandboxes",
        "webhooks",
    ]
)
"""Those of which no operation is there."""


def refusal(path: str) -> NotSupportedError | None:
    """Return what is answered on a route that is known and not supported; None for any other."""
    name = path.removeprefix(_PREFIX)
    if name == path or (name not in OPERATIONS and name.partition(".")[0] not in RESOURCES):
        return None
    return NotSupportedError(
        f"{name}: is not supported; plans change without a payment provider, and invoices, "
        "licenses, referrals and rewards come later"
    )
