"""``wrk``, where it is installed, for the closed loop over HTTP: it shares the cores with what it
measures, and costs a third of a load in Python.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile

import msgspec

from bench.load import NO_ANSWER, NUMBER, QUANTILES, Plan, Tally

NAME = "wrk"

_SCRIPT = """\
local asked, turn = {%s}, 0
function request()
  turn = turn %% #asked + 1
  return asked[turn]
end
function done(summary, latency)
  local lost, times = summary.errors, {}
  for at, part in ipairs({%s}) do
    times[at] = part < 100 and latency:percentile(part) or latency.max
  end
  local failures = lost.connect + lost.read + lost.write + lost.timeout
  io.write(string.format('\\n{"answers":%%d,"refused":%%d,"lost":%%d,"us":%%d,"times":[%%s]}\\n',
    summary.requests, lost.status, failures, summary.duration, table.concat(times, ',')))
end
"""


class _Summary(msgspec.Struct, frozen=True):
    answers: int
    refused: int
    lost: int
    us: int
    times: list[float]


def is_installed() -> bool:
    """Whether there is one."""
    return shutil.which(NAME) is not None


async def put_on(plan: Plan) -> Tally:
    """Ask everything of all sequences in turn, in a closed loop of whole seconds, none to warm up.

    No request may hold a ``NUMBER``.
    """
    assert not plan.rate
    assert not isinstance(plan.address, str)
    host, port = plan.address
    requests = [request for sequence in plan.sequences for request in sequence]
    assert not any(NUMBER in request for request in requests)
    parts = ",".join(f"{part * 100:g}" for part in QUANTILES)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (",".join(map(_quoted, requests)), parts))
        script.flush()
        size = ("-t", "1", "-c", str(plan.connections), "-d", f"{math.ceil(plan.seconds)}s")
        process = await asyncio.create_subprocess_exec(
            *(NAME, *size, "-s", script.name, f"http://{host}:{port}"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    found = msgspec.json.decode(output.splitlines()[-1], type=_Summary)
    counts = {200: found.answers - found.refused, 500: found.refused, NO_ANSWER: found.lost}
    statuses = {status: count for status, count in counts.items() if count}
    return Tally(found.answers, found.us / 1e6, found.times, statuses, usage_sum=0)


def _quoted(request: bytes) -> str:
    """Return a Lua string of these bytes."""
    return '"' + "".join(f"\\{byte:03d}" for byte in request) + '"'
