"""``tallygate webhooks``: who is told of alerts, and what became of it.

The signing secret of an endpoint is printed once, when it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import click

from gateway.commands.console import of_env, where_sql_is, with_database
from gateway.errors import StartError
from gateway.ids import new_id
from gateway.wall import SystemClock
from gateway.webhooks.messages import headers, new_secret, ping
from gateway.webhooks.records import ENDPOINTS_MAX, DeliveryState, Endpoint, EventType
from gateway.webhooks.sender import Sender
from persistence.webhooks import SqlWebhooks

LIST_MAX = 1_000
"""Deliveries one listing shows."""

_NONE = "-"


@click.group()
def webhooks() -> None:
    """Endpoints that are told of alerts."""


@webhooks.command("add")
@click.argument("url")
@of_env
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([event.value for event in EventType]),
    help="Tell of this only; may be given again. Without it, of all.",
)
@where_sql_is
def add_endpoint(url: str, env: str, events: tuple[str, ...], **given: object) -> None:
    """Add an endpoint and print its signing secret; it cannot be shown again."""
    # It brings the HTTP client, which no other of these commands needs to begin.
    from gateway.webhooks.urls import check_url  # noqa: PLC0415

    endpoint = Endpoint(
        id=new_id("whe"),
        env=env,
        url=check_url(url),
        secret=new_secret(),
        events=tuple(map(EventType, dict.fromkeys(events))),
        created_at=SystemClock().now_ms(),
    )

    async def add(store: SqlWebhooks) -> None:
        if not await store.add_endpoint(endpoint):
            raise StartError(f"there are {ENDPOINTS_MAX} webhook endpoints already; remove one")
        click.echo(f"{endpoint.id}  {endpoint.secret}")

    _with_store(given, add)


@webhooks.command("list")
@where_sql_is
def list_endpoints(**given: object) -> None:
    """List endpoints, without their secrets."""

    async def show(store: SqlWebhooks) -> None:
        for endpoint in await store.list_endpoints():
            state = "enabled" if endpoint.disabled_at is None else "disabled"
            events = ",".join(endpoint.events) or "all"
            click.echo(f"{endpoint.id}  {endpoint.env:7}  {state:8}  {events}  {endpoint.url}")

    _with_store(given, show)


@webhooks.command("remove")
@click.argument("endpoint_id")
@where_sql_is
def remove_endpoint(endpoint_id: str, **given: object) -> None:
    """Remove an endpoint with all its deliveries."""

    async def remove(store: SqlWebhooks) -> None:
        if not await store.remove_endpoint(endpoint_id):
            raise _unknown(endpoint_id)
        click.echo(f"{endpoint_id} is removed")

    _with_store(given, remove)


@webhooks.command("deliveries")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]))
@click.option("--limit", type=click.IntRange(1, LIST_MAX), default=20, show_default=True)
@where_sql_is
def list_deliveries(state: str | None, limit: int, **given: object) -> None:
    """List the newest deliveries, and what the endpoint last answered."""

    async def show(store: SqlWebhooks) -> None:
        for found in await store.list_deliveries(DeliveryState(state) if state else None, limit):
            made = datetime.fromtimestamp(found.created_at // 1000, UTC)
            answer = found.last_error or str(found.last_status or _NONE)
            click.echo(
                f"{made:%Y-%m-%dT%H:%M:%SZ}  {found.endpoint_id}  {found.alert_id}  {found.event}  "
                f"{found.state:9}  {found.attempts} attempts  {answer}"
            )

    _with_store(given, show)


@webhooks.command("test")
@click.argument("endpoint_id")
@where_sql_is
def test_endpoint(endpoint_id: str, **given: object) -> None:
    """Send a signed ping, and tell what came back."""

    async def send(store: SqlWebhooks) -> None:
        endpoint = await store.find_endpoint(endpoint_id)
        if endpoint is None:
            raise _unknown(endpoint_id)
        now_ms = SystemClock().now_ms()
        body = ping(endpoint.env, now_ms)
        signed = headers(new_id("ping"), body, endpoint.secret, now_ms)
        async with Sender(connections_max=1) as sender:
            outcome = await sender.send(endpoint.url, body, signed)
        if not outcome.is_delivered:
            raise StartError(f"{endpoint_id}: {outcome.error or f'HTTP {outcome.status}'}")
        click.echo(f"{endpoint_id} answered {outcome.status}")

    _with_store(given, send)


def _unknown(endpoint_id: str) -> StartError:
    return StartError(f"there is no webhook endpoint {endpoint_id}")


def _with_store(
    given: dict[str, object], use: Callable[[SqlWebhooks], Coroutine[Any, Any, None]]
) -> None:
    with_database(given, lambda database: use(SqlWebhooks(database)))
