"""What the tests of webhooks share: a clock, alerts in SQL, endpoints."""

from __future__ import annotations

import time

from sqlalchemy import Engine, insert

from gateway.ids import new_id
from gateway.webhooks.deliverer import CONNECTIONS_MAX, Deliverer
from gateway.webhooks.messages import new_secret
from gateway.webhooks.records import Endpoint, EventType
from gateway.webhooks.sender import Sender
from persistence.database import Database, write_transaction
from persistence.models import Alert
from persistence.webhooks import SqlWebhooks


class MovingClock:
    """Time that starts at the machine's and goes on when it is told to."""

    def __init__(self) -> None:
        self.ms = time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        return self.ms


class World:
    """One database with its alerts, and a deliverer for whoever asks."""

    def __init__(self, database: Database, sender: Sender) -> None:
        self.database = database
        self.sender = sender
        self.store = SqlWebhooks(database)
        self.clock = MovingClock()
        self._alerts = 0

    @property
    def engine(self) -> Engine:
        return self.database.engine

    def worker(self) -> Deliverer:
        """Return one more worker, as another process would have."""
        return Deliverer(self.store, self.sender, self.clock)

    async def round(self) -> None:
        """Let a worker find what is due, send it and keep what came of it."""
        worker = self.worker()
        await worker.turn()
        await worker.settled()

    async def endpoint(self, url: str, *events: EventType, env: str = "sandbox") -> Endpoint:
        endpoint = Endpoint(
            id=new_id("whe"),
            env=env,
            url=url,
            secret=new_secret(),
            events=events,
            created_at=self.clock.ms,
        )
        assert await self.store.add_endpoint(endpoint)
        return endpoint

    def alert(
        self,
        kind: str = "limit_reached",
        body: str = '{"limit_type":"included"}',
        *,
        env: str = "sandbox",
        feature: str = "messages",
    ) -> str:
        """Put an alert into SQL, as the writer does; return its id."""
        self._alerts += 1
        values = {
            "id": f"alr_{self._alerts}",
            "env": env,
            "internal_id": "cus_1",
            "customer_id": "acme",
            "feature_id": feature,
            "entity_id": "",
            "kind": kind,
            "body": body,
            "created_at": self.clock.ms,
        }
        with write_transaction(self.engine) as connection:
            connection.execute(insert(Alert).values(values))
        return f"alr_{self._alerts}"

    async def states(self) -> dict[str, str]:
        """Return the state of the delivery of each alert."""
        found = await self.store.list_deliveries(None, 1000)
        return {delivery.alert_id: delivery.state for delivery in found}


def make_sender(seconds: float = 20.0) -> Sender:
    return Sender(connections_max=CONNECTIONS_MAX, timeout_seconds=seconds)
