"""The SQL tables, and for each of them the one writer that may change it.

Rows that begin in Redis arrive only through the outbox, so ``persistence.sync.store`` is their
writer; the catalog and the API keys begin here, so ``persistence.catalog`` is theirs. Nothing else
may write. Amounts are units of 10^-precision of their feature, as ``gateway.rows`` defines them,
and times are Unix milliseconds: both are BIGINT, never a float.

There are no foreign keys between the tables the outbox fills: an entry that went to the dead
letters must not take every later entry of its customer along.
"""

from persistence.models.balances import Balance, Lock, Reset, Slot, UsageWindow, of_balance
from persistence.models.base import Base, table_of
from persistence.models.catalog import ApiKey, CatalogRevision, Feature, Plan
from persistence.models.events import Alert, Deduction, Event
from persistence.models.fleet import Cursor, DeadLetter, Incident, Installation, WriterProcess
from persistence.models.reports import DailyDenials, DailyTotal, DailyUsage
from persistence.models.subjects import Customer, Entity, Subscription
from persistence.models.tokens import TokenEpoch, TokenFamily, TokenSigning
from persistence.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "Alert",
    "ApiKey",
    "Balance",
    "Base",
    "CatalogRevision",
    "Cursor",
    "Customer",
    "DailyDenials",
    "DailyTotal",
    "DailyUsage",
    "DeadLetter",
    "Deduction",
    "Entity",
    "Event",
    "Feature",
    "Incident",
    "Installation",
    "Lock",
    "Plan",
    "Reset",
    "Slot",
    "Subscription",
    "TokenEpoch",
    "TokenFamily",
    "TokenSigning",
    "UsageWindow",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WriterProcess",
    "of_balance",
    "table_of",
]
