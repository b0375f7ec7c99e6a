"""A runtime behind its guard, with customers whose balances a test looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import create_engine, text

from gateway.app import Runtime, build_app, started
from gateway.config import Settings
from tests.fixtures.app import KEY, Answer, Api
from tests.waiting import PATIENT, until

PARTITIONS = 4
CUSTOMERS = ("ada", "bob", "eve", "kim", "zoe", "dan")


class Shop:
    """A runtime with some customers who have messages to use."""

    def __init__(self, runtime: Runtime, api: Api) -> None:
        self.runtime = runtime
        self.api = api

    async def fill(self) -> None:
        await self.done(
            "features.create", feature_id="messages", name="m", type="metered", consumable=True
        )
        for customer_id in CUSTOMERS:
            await self.done("customers.get_or_create", customer_id=customer_id)
            await self.done(
                "balances.create",
                customer_id=customer_id,
                feature_id="messages",
                included_grant=100,
            )

    async def call(self, operation: str, **request: object) -> Answer:
        return await self.api.call(operation, **request)

    async def done(self, operation: str, **request: object) -> Any:  # noqa: ANN401 - JSON
        """Call until the answer is not that Redis is fenced."""
        answers: list[Answer] = []

        async def is_answered() -> bool:
            answers.append(await self.call(operation, **request))
            return answers[-1].status != 503

        await until(is_answered)
        assert answers[-1].status == 200, answers[-1].body
        return answers[-1].body

    async def track(self, customer_id: str, value: int, **more: object) -> None:
        body = {"customer_id": customer_id, "feature_id": "messages", "value": value}
        await self.done("balances.track", **body, **more)

    async def left(self, customer_id: str) -> float:
        """Return what a customer has left, as the customer itself is answered."""
        body = await self.done("customers.get", customer_id=customer_id)
        return float(body["balances"]["messages"]["remaining"])

    async def caught_up(self) -> None:
        """Return when SQL has everything."""
        await until(self.runtime.engine.subjects.caught_up)

    async def incidents(self) -> list[tuple[str, int | None]]:
        return [(kind, at) for kind, at, *_ in self.rows("kind, partition")]

    def rows(self, columns: str, table: str = "incidents", order: str = "id") -> list[Any]:
        engine = create_engine(self.runtime.settings.resolved_database_url)
        with engine.connect() as connection:
            statement = f"SELECT {columns} FROM {table} ORDER BY {order}"  # noqa: S608 - ours
            found = connection.execute(text(statement)).all()
        engine.dispose()
        return [tuple(row) for row in found]


@asynccontextmanager
async def shop_on(redis_url: str, database_url: str) -> AsyncIterator[Shop]:
    settings = Settings(
        redis_url=redis_url,
        database_url=database_url,
        partitions=PARTITIONS,
        **PATIENT,
    )
    async with started(Runtime(settings)) as runtime:
        if not await runtime.store.has_keys():
            await runtime.store.create_key("sandbox", "test", KEY)
            await runtime.catalog.refresh()
        api = Api(build_app(runtime))
        try:
            yield Shop(runtime, api)
        finally:
            await api.client.aclose()
