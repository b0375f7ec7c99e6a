"""``python -m tests.torture``: kill everything under load, and prove that nothing was lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys

import click

from tests.torture.run import CLIENTS, Plan, report, run


@click.command()
@click.option("--seed", type=int, help="Chooses kills and calls; without it, a random one.")
@click.option("--minutes", type=float, default=1.0, help="How long there are kills.")
@click.option("--gateways", type=click.IntRange(1), default=2)
@click.option("--writers", type=click.IntRange(1), default=2)
@click.option("--clients", type=click.IntRange(1), default=CLIENTS)
@click.option("--keep", is_flag=True, help="Keep data and logs even if all went well.")
def main(
    *, seed: int | None, minutes: float, gateways: int, writers: int, clients: int, keep: bool
) -> None:
    """Kill gateways, writers, Redis and PostgreSQL under load; exit with 1 if anything differs."""
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    plan = Plan(chosen, minutes * 60, gateways, writers, clients, keep)
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(asyncio.run(_run(plan)))
    sys.exit(130)


async def _run(plan: Plan) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    result = await run(plan, click.echo)
    report(result, click.echo)
    return 1 if result.faults else 0


if __name__ == "__main__":
    main()
