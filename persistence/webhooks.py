"""Webhook endpoints, and the deliveries of alerts to them: who sends what, and when.

``gateway.webhooks`` decides and sends; this only keeps. Workers of any number of processes share
the tables: an alert is dispatched in one transaction, and a delivery is claimed by moving its next
attempt, which only succeeds for one of those who saw it due. It must never log a secret or a URL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from gateway.ids import new_id
from gateway.webhooks.records import (
    ENDPOINTS_MAX,
    Alert,
    Claim,
    DeliveryInfo,
    DeliveryState,
    Endpoint,
    EventType,
    Message,
    Result,
    Work,
)
from persistence import models
from persistence.database import Store, in_thread, read_transaction, write_transaction
from persistence.dialects import INSERTS
from persistence.models import Feature, WebhookDelivery, WebhookEndpoint, table_of
from persistence.questions import Question

_ALERTS = table_of(models.Alert)
_ENDPOINTS = table_of(WebhookEndpoint)
_DELIVERIES = table_of(WebhookDelivery)

# Spelled out, not bound: only then does a planner know that the partial index will do.
_PENDING = WebhookDelivery.state == literal_column("'pending'")
_NEW = _ALERTS.c.dispatched_at.is_(None)
_LIVE = WebhookEndpoint.disabled_at.is_(None)
# For each endpoint the index gives its earliest at once, however many are waiting.
_DUE = (
    select(func.min(WebhookDelivery.next_attempt_at))
    .where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, _PENDING)
    .scalar_subquery()
)
_ANYTHING = Question(
    select(
        exists().where(_NEW),
        select(WebhookEndpoint.id).where(_LIVE, bindparam("now_ms") >= _DUE).exists(),
    )
)
"""Asked once a second: whether there is anything to do, busy endpoints included."""

_DISABLED = "the endpoint is disabled"


class SqlWebhooks(Store):
    """``gateway.webhooks.records.WebhookStore`` on SQL, and the endpoints for the command line."""

    @in_thread
    def find_work(self, now_ms: int, *, busy: Sequence[str], endpoints_max: int) -> Work:
        """Return what is due, the endpoint that has waited longest first, without the busy ones."""
        ((has_alerts, is_due),) = _ANYTHING.rows(self.engine, now_ms=now_ms)
        if not is_due:
            return Work(bool(has_alerts), [])
        endpoints = (
            select(_ENDPOINTS)
            .where(_LIVE, WebhookEndpoint.id.not_in(busy), now_ms >= _DUE)
            .order_by(_DUE, WebhookEndpoint.id)
            .limit(endpoints_max)
        )
        with read_transaction(self.engine) as connection:
            return Work(bool(has_alerts), _endpoints(connection, endpoints))

    @in_thread
    def dispatch(
        self, tell: Callable[[Alert], Message | None], now_ms: int, *, alerts_max: int
    ) -> int:
        """Make the deliveries of the oldest new alerts, one for each endpoint that wants one.

        Returns how many alerts were taken. What ``tell`` has no message for is taken all the same.
        """
        with write_transaction(self.engine) as connection:
            alerts = _new_alerts(connection, alerts_max)
            if not alerts:
                return 0
            # Locked, so that none is removed before its deliveries are there to go with it.
            live = select(_ENDPOINTS).where(_LIVE).with_for_update(read=True)
            endpoints = _endpoints(connection, live)
            told = [(alert, message) for alert in alerts if (message := tell(alert))]
            deliveries = [
                _delivery(alert, endpoint, message, now_ms)
                for alert, message in told
                for endpoint in endpoints
                if endpoint.wants(alert.env, message.event)
            ]
            if deliveries:
                addition = INSERTS[connection.dialect.name](_DELIVERIES).on_conflict_do_nothing()
                connection.execute(addition, deliveries)
            ids = [alert.id for alert in alerts]
            taken = update(_ALERTS).where(_ALERTS.c.id.in_(ids)).values(dispatched_at=now_ms)
            connection.execute(taken)
            return len(alerts)

    @in_thread
    def claim(
        self, endpoint_id: str, now_ms: int, *, lease_ms: int, deliveries_max: int
    ) -> list[Claim]:
        """Take due deliveries of an endpoint; nobody else can until the lease is over."""
        is_due = and_(
            WebhookDelivery.endpoint_id == endpoint_id,
            _PENDING,
            WebhookDelivery.next_attempt_at <= now_ms,
        )
        oldest = (
            select(WebhookDelivery.id)
            .where(is_due)
            .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
            .limit(deliveries_max)
            .with_for_update(skip_locked=True)
        )
        with write_transaction(self.engine) as connection:
            ids = connection.scalars(oldest).all()
            moved = (
                update(WebhookDelivery)
                .where(WebhookDelivery.id.in_(ids), is_due)
                .values(
                    attempts=WebhookDelivery.attempts + 1,
                    next_attempt_at=now_ms + lease_ms,
                    updated_at=now_ms,
                )
                .returning(
                    WebhookDelivery.id,
                    WebhookDelivery.alert_id,
                    WebhookDelivery.body,
                    WebhookDelivery.attempts,
                )
            )
            return [Claim(*row) for row in connection.execute(moved)]

    @in_thread
    def settle(self, results: Sequence[Result], now_ms: int) -> None:
        """Keep results. One whose delivery was claimed again meanwhile changes nothing."""
        if not results:
            return
        statement = (
            update(_DELIVERIES)
            .where(
                _DELIVERIES.c.id == bindparam("delivery_id"),
                _DELIVERIES.c.attempts == bindparam("attempt"),
                _PENDING,
            )
            .values(updated_at=now_ms)
        )
        rows = [
            {
                "delivery_id": result.claim.delivery_id,
                "attempt": result.claim.attempt,
                "state": result.state.value,
                "next_attempt_at": result.next_attempt_at,
                "last_status": result.outcome.status or None,
                "last_error": result.outcome.error or None,
            }
            for result in results
        ]
        with write_transaction(self.engine) as connection:
            connection.execute(statement, rows)

    @in_thread
    def disable(self, endpoint_id: str, now_ms: int) -> None:
        """Stop sending to an endpoint; what it has not got by now has failed."""
        live = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, _LIVE)
        pending = update(WebhookDelivery).where(
            WebhookDelivery.endpoint_id == endpoint_id, _PENDING
        )
        failed = {
            "state": DeliveryState.FAILED.value,
            "last_error": _DISABLED,
            "updated_at": now_ms,
        }
        with write_transaction(self.engine) as connection:
            connection.execute(live.values(disabled_at=now_ms))
            connection.execute(pending.values(failed))

    @in_thread
    def add_endpoint(self, endpoint: Endpoint) -> bool:
        """Keep an endpoint; it gets the alerts that are dispatched from now on.

        Returns False, and keeps nothing, when there are ``ENDPOINTS_MAX`` already.
        """
        values = {name: getattr(endpoint, name) for name in endpoint.__struct_fields__}
        values["events"] = [event.value for event in endpoint.events]
        count = select(func.count()).select_from(_ENDPOINTS)
        with write_transaction(self.engine) as connection:
            if connection.scalars(count).one() >= ENDPOINTS_MAX:
                return False
            connection.execute(insert(WebhookEndpoint).values(values))
            return True

    @in_thread
    def list_endpoints(self) -> list[Endpoint]:
        """Return every endpoint, disabled ones included, oldest first."""
        statement = select(_ENDPOINTS).order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)
        with read_transaction(self.engine) as connection:
            return _endpoints(connection, statement)

    @in_thread
    def find_endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint, if there is one with this id."""
        statement = select(_ENDPOINTS).where(WebhookEndpoint.id == endpoint_id)
        with read_transaction(self.engine) as connection:
            return next(iter(_endpoints(connection, statement)), None)

    @in_thread
    def remove_endpoint(self, endpoint_id: str) -> bool:
        """Forget an endpoint, its secret and its deliveries; False when there is none."""
        statement = delete(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
        with write_transaction(self.engine) as connection:
            return connection.execute(statement).rowcount > 0

    @in_thread
    def list_deliveries(self, state: DeliveryState | None, limit: int) -> list[DeliveryInfo]:
        """Return the newest deliveries, of one state or of all."""
        columns = [getattr(WebhookDelivery, name) for name in DeliveryInfo._fields]
        newest = (WebhookDelivery.created_at.desc(), WebhookDelivery.id.desc())
        statement = select(*columns).order_by(*newest).limit(limit)
        if state is not None:
            statement = statement.where(WebhookDelivery.state == state.value)
        with read_transaction(self.engine) as connection:
            return [DeliveryInfo(*row) for row in connection.execute(statement)]


def _endpoints(connection: Connection, statement: Select[Any]) -> list[Endpoint]:
    return [
        Endpoint(**row | {"events": tuple(map(EventType, row["events"]))})
        for row in map(dict, connection.execute(statement).mappings())
    ]


def _new_alerts(connection: Connection, alerts_max: int) -> list[Alert]:
    same = and_(Feature.env == _ALERTS.c.env, Feature.id == _ALERTS.c.feature_id)
    kept = [_ALERTS.c[name] for name in Alert._fields if name != "precision"]
    statement = (
        select(*kept, Feature.precision)
        .select_from(_ALERTS.outerjoin(table_of(Feature), same))
        .where(_NEW)
        .order_by(_ALERTS.c.created_at, _ALERTS.c.id)
        .limit(alerts_max)
        .with_for_update(of=_ALERTS, skip_locked=True)
    )
    return [Alert(**row) for row in connection.execute(statement).mappings()]


def _delivery(
    alert: Alert, endpoint: Endpoint, message: Message, now_ms: int
) -> dict[str, str | int]:
    return {
        "id": new_id("whd"),
        "endpoint_id": endpoint.id,
        "alert_id": alert.id,
        "event": message.event.value,
        "body": message.body,
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "next_attempt_at": now_ms,
        "created_at": now_ms,
        "updated_at": now_ms,
    }
