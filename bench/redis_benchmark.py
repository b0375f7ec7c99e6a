"""``redis-benchmark``, where it is installed, as one more way that is measured in turn."""

from __future__ import annotations

import asyncio
import csv
import io
import shutil

from bench.load import QUANTILES, Plan, Tally

NAME = "redis-benchmark"
CALLS_A_SECOND = 5_000
"""What it reaches at least: it is told how many calls to make, not for how long."""


def is_installed() -> bool:
    """Whether there is one."""
    return shutil.which(NAME) is not None


async def put_on(words: list[str], plan: Plan) -> Tally:
    """Let it ask for one command, without pipelining, over as many connections as the plan has."""
    assert isinstance(plan.address, str)
    count = max(plan.connections, int(CALLS_A_SECOND * plan.seconds))
    size = ("-c", str(plan.connections), "-n", str(count))
    process = await asyncio.create_subprocess_exec(
        *(NAME, "-s", plan.address, *size, "--csv", "--precision", "3", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    name, rate, _, least, *times = list(csv.reader(io.StringIO(output.decode())))[-1]
    assert not name.startswith("ERROR"), name
    known = dict(zip((0.0, 0.5, 0.95, 0.99, 1.0), map(float, (least, *times)), strict=True))
    latency_us = [known[max(at for at in known if at <= part)] * 1000 for part in QUANTILES]
    return Tally(count, count / float(rate), latency_us, {200: count}, 0)
