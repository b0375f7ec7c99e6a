"""Load on any running gateway: ``python -m bench --url http://host:8080 --key am_sk_...``.

It makes a feature ``tgbench`` and customers ``tgbench-...``, and touches nothing else. In the end,
whatever happens in between, the customers are deleted and the feature, which has been in use, is
archived. First the closed loop, to see how much there is; then the open loop at half of that, where
a latency means something. All of it are tracks of one unit, and in the end the answers have to add
up: for a customer that was tracked n times they said that 1, 2, ... n were used, each once, in
whatever order. Ctrl-C ends the load, and what was measured until then is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import click
import httpx
import msgspec

from bench.load import Plan, Tally, put_on
from bench.measure import tail
from bench.results import RATE, Figure, Outcome, grid
from bench.stage import Api, CallError, request

FEATURE = "tgbench"
CUSTOMERS = 100
GRANT = 1_000_000_000
AT_ONCE = 8
BAR_SECONDS = 0.2
KEPT_UP = 1.1
"""Of its time: an open loop that took longer was more than the gateway could carry."""

PORTS = {"http": 80, "https": 443}
T = TypeVar("T")


async def run(url: str, key: str, *, seconds: float, connections: int, rate: float) -> Outcome:
    """Load the gateway; a ``rate`` of 0 is half of what the closed loop reaches."""
    name = f"{FEATURE}-{secrets.token_hex(4)}"
    # More than there are connections would never be asked for.
    customers = [f"{name}-{at}" for at in range(min(CUSTOMERS, connections))]
    async with Api(url, key) as api, _made(api, customers):
        plan = _plan(url, key, customers, connections=connections, seconds=seconds)
        with _ctrl_c() as ended:
            runs = {"closed loop": await _with_bar("closed loop", plan, ended)}
            steady = rate or max(1 / seconds, runs["closed loop"].rate / 2)
            if not ended.is_set():
                plan = msgspec.structs.replace(plan, rate=steady)
                runs["open loop"] = await _with_bar(f"open loop, {steady:,.6g}/s", plan, ended)
            is_whole = not ended.is_set()
        verdict, counts = await _sums(api, list(runs.values()), customers)
    figures = [figure for row, tally in runs.items() for figure in _figures(row, tally)]
    if "open loop" in runs:
        figures.append(Figure("open loop", "due a second", [steady]))
    remarks = [] if is_whole else ["Ended early: what follows is of the time until then."]
    return Outcome(
        about=f"tracks over {connections} connections to {url}, {seconds:g} s each; in the open "
        "loop a request is timed from when it was due",
        answers=verdict,
        figures=figures,
        curves=[tail(row, tally) for row, tally in runs.items()],
        text="\n".join([*remarks, grid(figures), *_late(runs.get("open loop")), counts]),
    )


def _late(tally: Tally | None) -> Iterator[str]:
    if tally and tally.lasted > max(tally.seconds * KEPT_UP, tally.seconds + 0.1):
        yield (
            f"it did not keep up: what was due in {tally.seconds:.3g} s took {tally.lasted:.3g} s, "
            "and every latency of the open loop tells of the queue"
        )


@contextlib.contextmanager
def _ctrl_c() -> Iterator[asyncio.Event]:
    """Have Ctrl-C set an event for the block, instead of ending everything."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, ended.set)
    try:
        yield ended
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


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
            [request("balances.track", body, host=parts.netloc, path=parts.path, key=key)]
            for body in bodies
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
        Figure(row, RATE, [tally.reached]),
        *(Figure(row, name, [tally.quantile_us(part) / 1000]) for name, part in shares.items()),
        Figure(row, "failed", [tally.failures]),
        *(Figure(row, names[status], [count]) for status, count in failed),
    ]


async def _sums(api: Api, tallies: Sequence[Tally], customers: Sequence[str]) -> tuple[str, str]:
    """Say whether the answers and what was used in the end agree, and how much that was."""
    acknowledged = sum(one.statuses.get(200, 0) for one in tallies)
    unknown = sum(one.failures for one in tallies)
    counts = f"{acknowledged:,} acknowledged, {unknown:,} failed"
    try:
        used = await _in_parts(customers, partial(_usage, api))
    except (CallError, httpx.HTTPError) as error:
        return f"NOT ADDED UP, the gateway does not say what was used: {error}", counts
    total = sum(used)
    counts += f", {total:,} used"
    if unknown:
        agree = acknowledged <= total <= acknowledged + unknown
        return "agree with what was used" if agree else "DO NOT ADD UP", counts
    told = sum(one.usage_sum for one in tallies)
    right = total == acknowledged and told == sum(count * (count + 1) // 2 for count in used)
    return "add up: each number was told once" if right else "DO NOT ADD UP", counts


@contextlib.asynccontextmanager
async def _made(api: Api, customers: Sequence[str]) -> AsyncIterator[None]:
    """Make what is asked for, and remove it."""
    features = (await api.call("features.list")).get("list", [])
    if FEATURE in {one["id"] for one in features}:
        await api.call("features.update", feature_id=FEATURE, archived=False)
    else:
        await api.feature(FEATURE)
    made: list[str] = []
    try:
        for name in customers:
            made.append(name)
            try:
                await api.call("customers.get_or_create", customer_id=name)
            except CallError as error:
                if error.status < 500:  # else it may be there all the same
                    made.pop()
                raise
            grant = {"feature_id": FEATURE, "included_grant": GRANT}
            await api.call("balances.create", customer_id=name, **grant)
        yield
    finally:
        await _left(_in_parts(made, partial(_delete, api)))
        await _left(api.call("features.update", feature_id=FEATURE, archived=True))


async def _left(removal: Awaitable[object]) -> None:
    """Remove something, or say that it is still there."""
    try:
        await removal
    except (CallError, httpx.HTTPError) as error:
        click.echo(f"left behind, by the name {FEATURE}: {error}", err=True)


async def _delete(api: Api, customer: str) -> None:
    await api.call("customers.delete", customer_id=customer)


async def _usage(api: Api, customer: str) -> int:
    answer = await api.call("balances.check", customer_id=customer, feature_id=FEATURE)
    if not answer.get("balance"):
        raise CallError("balances.check", 200, "tells of no balance")
    return int(answer["balance"]["usage"])


async def _in_parts(names: Sequence[str], work: Callable[[str], Awaitable[T]]) -> list[T]:
    """Do something for each name, a few at a time."""
    found: list[T] = []
    for at in range(0, len(names), AT_ONCE):
        found += await asyncio.gather(*map(work, names[at : at + AT_ONCE]))
    return found


async def _with_bar(label: str, plan: Plan, ended: asyncio.Event) -> Tally:
    """Put the load on and show how much of the time is over."""
    running = asyncio.create_task(put_on(plan, ended))
    length = round(plan.seconds / BAR_SECONDS)
    try:
        with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
            while True:
                done, _ = await asyncio.wait([running], timeout=BAR_SECONDS)
                bar.update(1)
                if done:
                    return await running
    finally:
        running.cancel()
        await asyncio.wait([running])  # what it loads is about to be removed
