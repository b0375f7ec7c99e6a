"""Load on any running gateway: ``python -m bench --url http://host:8080 --key am_sk_...``.

It makes a feature ``tgbench`` and customers ``tgbench-...``, and touches nothing else. In the end,
whatever happens in between, the customers are deleted and the feature, which has been in use, is
archived. First the closed loop, to see how
much there is; then the open loop at half of that, where a latency means something. All of it are
tracks of one unit, and in the end the answers have to add up: for a customer that was tracked n
times they said that 1, 2, ... n were used, each once, in whatever order.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import httpx
import msgspec

from bench.load import Plan, Tally, put_on
from bench.measure import tail
from bench.results import RATE, Figure, Outcome
from bench.stage import Api, CallError, request

FEATURE = "tgbench"
CUSTOMERS = 100
GRANT = 1_000_000_000
AT_ONCE = 8
BAR_SECONDS = 0.2
PORTS = {"http": 80, "https": 443}
T = TypeVar("T")


async def run(url: str, key: str, *, seconds: float, connections: int, rate: float) -> Outcome:
    """Load the gateway; a ``rate`` of 0 is half of what the closed loop reaches."""
    name = f"{FEATURE}-{secrets.token_hex(4)}"
    # More than there are connections would never be asked for.
    customers = [f"{name}-{at}" for at in range(min(CUSTOMERS, connections))]
    async with Api(url, key) as api, _made(api, customers):
        plan = _plan(url, key, customers, connections=connections, seconds=seconds)
        closed = await _with_bar("closed loop", put_on(plan), seconds)
        steady = rate or max(1.0, closed.rate / 2)
        label = f"open loop, {steady:,.0f}/s"
        plan = msgspec.structs.replace(plan, rate=steady)
        runs = {"closed loop": closed, label: await _with_bar(label, put_on(plan), seconds)}
        used = await _in_parts(customers, partial(_usage, api))
    return Outcome(
        about=f"tracks over {connections} connections to {url}, {seconds:g} s each; in the open "
        "loop a request is timed from when it was due",
        answers=_sums(list(runs.values()), used),
        figures=[figure for row, tally in runs.items() for figure in _figures(row, tally)],
        curves=[tail(row, tally) for row, tally in runs.items()],
    )


def _plan(
    url: str,
    key: str,
    customers: Sequence[str],
    *,
    connections: int,
    seconds: float,
) -> Plan:
    parts = urlsplit(url)
    bodies = ({"customer_id": one, "feature_id": FEATURE} for one in customers)
    return Plan(
        address=(parts.hostname or "", parts.port or PORTS[parts.scheme]),
        sequences=[
            [request("balances.track", body, host=parts.netloc, key=key)] for body in bodies
        ],
        connections=connections,
        seconds=seconds,
        tls=parts.scheme == "https",
    )


def _figures(row: str, tally: Tally) -> list[Figure]:
    shares = {"p50 ms": 0.5, "p90 ms": 0.9, "p99 ms": 0.99, "max ms": 1.0}
    failed = [(status, count) for status, count in sorted(tally.statuses.items()) if status != 200]
    names = {status: str(status) if status else "no answer" for status, _ in failed}
    return [
        Figure(row, RATE, [tally.rate]),
        *(Figure(row, name, [tally.quantile_us(part) / 1000]) for name, part in shares.items()),
        Figure(row, "failed", [tally.failures]),
        *(Figure(row, names[status], [count]) for status, count in failed),
    ]


def _sums(tallies: Sequence[Tally], used: Sequence[int]) -> str:
    """Say whether the answers and what was used in the end agree."""
    acknowledged = sum(one.statuses.get(200, 0) for one in tallies)
    unknown = sum(one.failures for one in tallies)
    total = sum(used)
    if unknown:
        verdict = "agree" if acknowledged <= total <= acknowledged + unknown else "DO NOT ADD UP"
        return f"{verdict}: {acknowledged:,} acknowledged, {unknown:,} failed, {total:,} used"
    told = sum(one.usage_sum for one in tallies)
    right = total == acknowledged and told == sum(count * (count + 1) // 2 for count in used)
    verdict = "add up" if right else "DO NOT ADD UP"
    return f"{verdict}: {acknowledged:,} acknowledged, {total:,} used, each number told once"


@contextlib.asynccontextmanager
async def _made(api: Api, customers: Sequence[str]) -> AsyncIterator[None]:
    """Make what is asked for, and remove it."""
    features = (await api.call("features.list"))["list"]
    if FEATURE in {one["id"] for one in features}:
        await api.call("features.update", feature_id=FEATURE, archived=False)
    else:
        await api.feature(FEATURE)
    made: list[str] = []
    try:
        for name in customers:
            made.append(name)
            await api.call("customers.get_or_create", customer_id=name)
            grant = {"feature_id": FEATURE, "included_grant": GRANT}
            await api.call("balances.create", customer_id=name, **grant)
        yield
    finally:
        try:
            await _in_parts(made, partial(_delete, api))
            await api.call("features.update", feature_id=FEATURE, archived=True)
        except (CallError, httpx.HTTPError) as error:
            click.echo(f"left behind, by the name {FEATURE}: {error}", err=True)


async def _delete(api: Api, customer: str) -> None:
    await api.call("customers.delete", customer_id=customer)


async def _usage(api: Api, customer: str) -> int:
    answer = await api.call("balances.check", customer_id=customer, feature_id=FEATURE)
    return int(answer["balance"]["usage"])


async def _in_parts(names: Sequence[str], work: Callable[[str], Awaitable[T]]) -> list[T]:
    """Do something for each name, a few at a time."""
    found: list[T] = []
    for at in range(0, len(names), AT_ONCE):
        found += await asyncio.gather(*map(work, names[at : at + AT_ONCE]))
    return found


async def _with_bar(label: str, load: Coroutine[Any, Any, T], seconds: float) -> T:
    """Show how much of the time is over."""
    running = asyncio.create_task(load)
    with click.progressbar(
        length=round(seconds / BAR_SECONDS), label=label, file=sys.stderr
    ) as bar:
        while True:
            done, _ = await asyncio.wait([running], timeout=BAR_SECONDS)
            bar.update(1)
            if done:
                return await running
