"""Deliver alerts: a loop that finds what is due and a task for each endpoint that has some.

Any number of processes may run one. What is sent is claimed first, by moving its next attempt
beyond a lease, so two never send the same delivery at once. An endpoint that does not answer holds
up its own deliveries only: it has one batch in hand at a time, and endpoints take turns.

Failure: a process that ends between sending and keeping the result leaves its claim to run out, and
the delivery is sent again with the same ``webhook-id``: at least once. SQL gone, the loop waits,
longer each time up to a bound. Without a deliverer nothing is lost: alerts wait in SQL.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from gateway import metrics
from gateway.alarm import Alarm
from gateway.errors import UnavailableError
from gateway.ports import WallClock
from gateway.webhooks.messages import GONE, headers, judge, tell
from gateway.webhooks.records import (
    Alert,
    Claim,
    DeliveryState,
    Endpoint,
    Message,
    Result,
    WebhookStore,
    Work,
)
from gateway.webhooks.sender import Sender

_log = logging.getLogger(__name__)

ENDPOINTS_AT_ONCE = 8
BATCH = 8
"""Deliveries to one endpoint at once; with ENDPOINTS_AT_ONCE it bounds the open connections."""

CONNECTIONS_MAX = ENDPOINTS_AT_ONCE * BATCH

ALERTS_MAX = 200
"""Alerts whose deliveries are made in one transaction."""

LEASE_MS = 30_000
"""How long a claim holds. An attempt and keeping its result take at most a third of it."""

POLL_SECONDS = 1.0
"""How long an alert may wait for somebody to look."""

PAUSE_MAX_SECONDS = 30.0
"""How long, when SQL is gone."""

_OUTCOMES = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.PENDING: "retry",
    DeliveryState.FAILED: "failed",
}


class Deliverer:
    """One worker; the store and the sender are handed in and stay open."""

    def __init__(self, store: WebhookStore, sender: Sender, clock: WallClock) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._pause_seconds = POLL_SECONDS
        self._sending: dict[str, asyncio.Task[bool]] = {}
        self._stopping = False
        self._more = Alarm()

    async def run(self) -> None:
        """Deliver until ``stop``; what is being sent then is finished first."""
        try:
            while not self._stopping:
                await self._guarded_turn()
                await self._pause()
        finally:
            await self.settled()

    def stop(self) -> None:
        """Take nothing more; ``run`` returns within the time of an attempt."""
        self._stopping = True
        self._more.set()

    async def turn(self) -> None:
        """Make the deliveries of new alerts, and begin to send what is due."""
        work = await self._find_work()
        if work.has_alerts:
            now_ms = self._clock.now_ms()
            taken = await self._store.dispatch(_tell, now_ms, alerts_max=ALERTS_MAX)
            if taken == ALERTS_MAX:
                self._more.set()
            work = await self._find_work()
        for endpoint in work.endpoints:
            task = asyncio.create_task(self._send_batch(endpoint), name=f"webhooks {endpoint.id}")
            self._sending[endpoint.id] = task
            task.add_done_callback(partial(self._end, endpoint.id))

    async def settled(self) -> None:
        """Return when everything that was begun has ended."""
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def _guarded_turn(self) -> None:
        pause_seconds = min(self._pause_seconds * 2, PAUSE_MAX_SECONDS)
        try:
            await self.turn()
        except UnavailableError as error:
            self._pause_seconds = pause_seconds
            _log.warning("webhooks wait %.0f s: %s", pause_seconds, error)
        except Exception:  # noqa: BLE001 - it would end them for as long as the process runs
            self._pause_seconds = pause_seconds
            _log.exception("webhooks wait %.0f s", pause_seconds)
        else:
            self._pause_seconds = POLL_SECONDS

    async def _pause(self) -> None:
        """Wait until it is time to look again, or there is more to do, or ``stop`` is called."""
        await self._more.rest(self._pause_seconds)
        self._more.clear()

    async def _find_work(self) -> Work:
        busy = tuple(self._sending)
        free = ENDPOINTS_AT_ONCE - len(busy)
        return await self._store.find_work(self._clock.now_ms(), busy=busy, endpoints_max=free)

    async def _send_batch(self, endpoint: Endpoint) -> bool:
        """Send what is due; return whether there was anything, for then there may be more."""
        claims = await self._store.claim(
            endpoint.id, self._clock.now_ms(), lease_ms=LEASE_MS, deliveries_max=BATCH
        )
        results = await asyncio.gather(*(self._attempt(endpoint, claim) for claim in claims))
        now_ms = self._clock.now_ms()
        await self._store.settle(results, now_ms)
        if any(result.outcome.status == GONE for result in results):
            _log.warning("webhook endpoint %s answered %d: disabled", endpoint.id, GONE)
            await self._store.disable(endpoint.id, now_ms)
        return bool(claims)

    async def _attempt(self, endpoint: Endpoint, claim: Claim) -> Result:
        now_ms = self._clock.now_ms()
        signed = headers(claim.alert_id, claim.body, endpoint.secret, now_ms)
        outcome = await self._sender.send(endpoint.url, claim.body, signed)
        result = judge(claim, outcome, self._clock.now_ms())
        metrics.webhook_deliveries.labels(_OUTCOMES[result.state]).inc()
        if result.state is DeliveryState.FAILED:
            _log.warning("webhook %s to %s has failed", claim.alert_id, endpoint.id)
        return result

    def _end(self, endpoint_id: str, task: asyncio.Task[bool]) -> None:
        del self._sending[endpoint_id]
        if task.cancelled():
            return
        if error := task.exception():
            # The claims run out and are sent again.
            _log.error("webhooks to %s were interrupted", endpoint_id, exc_info=error)
        elif task.result():
            # Not before: who looks while the endpoint is busy leaves it out, and waits.
            self._more.set()


def _tell(alert: Alert) -> Message | None:
    message = tell(alert)
    if message is None:
        _log.error("alert %s cannot be told: %s %s", alert.id, alert.kind, alert.body)
    return message
