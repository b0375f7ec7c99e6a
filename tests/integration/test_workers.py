"""Several processes behind one socket: replaced, killed and stopped under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.gateways import KEY, START_SECONDS, Gateway
from tests.waiting import until, wait_until
from tests.wire import Line, request

GRANTED = 1_000_000


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """What ``workers`` starts; to start it for each test would be most of what the tests cost."""
    folder = tmp_path_factory.mktemp("workers") / "data"
    made = Gateway(folder, "--workers", "2", environment={"TALLYGATE_WORKER": "2"})
    try:
        yield made
    finally:
        assert made.stop() == 0


@pytest.fixture
def workers(fleet: Gateway) -> Gateway:
    """Two gateways and a writer that run, with a feature; each test has a customer of its own."""
    if not fleet.url:
        define(fleet.start(), "ada")
        # The process that took the feature may not be the one that shows what all have counted.
        wait_until(lambda: counted(fleet, "features.create", 200) == 1)
    elif not psutil.pid_exists(fleet.pid):
        assert fleet.stop() == 0  # a test before has ended it
        fleet.start()
    return fleet


def define(gateway: Gateway, customer: str) -> None:
    gateway.call("features.create", feature_id="c", name="C", type="metered", consumable=True)
    grant(gateway, customer)
    # Each process learns of a new feature by itself, within half a second.
    body = {"customer_id": customer, "feature_id": "c"}

    def is_known() -> bool:
        asked = [
            gateway.post("balances.check", body, connection="close").status_code for _ in range(20)
        ]
        return set(asked) == {200}

    wait_until(is_known)


def grant(gateway: Gateway, customer: str) -> None:
    gateway.call("customers.get_or_create", customer_id=customer)
    gateway.call("balances.create", customer_id=customer, feature_id="c", included_grant=GRANTED)


def children(gateway: Gateway) -> list[psutil.Process]:
    """Return the workers, oldest first; the embedded server is none."""
    found = []
    for one in psutil.Process(gateway.pid).children():
        # It may end while it is looked at.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "gateway.processes.worker" in one.cmdline():
                found.append((one.create_time(), one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def log_of(gateway: Gateway) -> str:
    return (gateway.folder / "stdout.log").read_text()


def state_of(gateway: Gateway) -> str:
    """Return what a failure needs to be understood: who runs, and what they told."""
    return "\n".join([*map(str, children(gateway)), log_of(gateway)])


def track(number: int) -> bytes:
    body = {"customer_id": "load", "feature_id": "c", "value": 1}
    return request(
        json.dumps(body).encode(), name="balances.track", key=KEY, x_request_id=f"n{number}"
    )


class Load:
    """Tracks, over connections that stay and over one for each; nothing is ever sent again."""

    def __init__(self, port: int) -> None:
        self.answered: Counter[int] = Counter()
        self.faults: list[str] = []
        self.reconnects = 0
        self._port = port
        self._over = False

    @contextlib.asynccontextmanager
    async def running(self, *, staying: int, passing: int) -> AsyncIterator[None]:
        """Send for the block."""
        tasks = [asyncio.create_task(self._stay(at)) for at in range(staying)]
        tasks += [asyncio.create_task(self._pass(at)) for at in range(passing)]
        try:
            yield
        finally:
            self._over = True
            await asyncio.gather(*tasks)

    async def has_answered(self, count: int) -> None:
        """Return once so many were answered well."""
        await until(lambda: self.answered[200] >= count)

    async def _line(self) -> Line:
        return Line(*await asyncio.open_connection("127.0.0.1", self._port))

    async def _stay(self, at: int) -> None:
        line = await self._line()
        while not self._over:
            if not await self._ask(line, at):
                self.reconnects += 1
                await line.close()
                line = await self._line()
        await line.close()

    async def _pass(self, at: int) -> None:
        while not self._over:
            line = await self._line()
            await self._ask(line, at)
            await line.close()

    async def _ask(self, line: Line, at: int) -> bool:
        """Send a track; return whether the connection is kept."""
        try:
            reply = await line.ask(track(at))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.faults.append(repr(error))
            return False
        self.answered[reply.status] += 1
        if reply.status != 200 or reply.headers["x-request-id"] != f"n{at}":
            self.faults.append(f"{reply}")
        return reply.headers.get("connection") != "close"


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition(":")[2])


def test_a_variable_that_is_no_setting_is_told_once(workers: Gateway) -> None:
    told = "TALLYGATE_WORKER is no setting and changes nothing; did you mean TALLYGATE_WORKERS?"
    assert log_of(workers).count(told) == 1


async def test_workers_are_replaced_under_load_without_a_failed_request(workers: Gateway) -> None:
    grant(workers, "load")
    told = counted(workers, "balances.track", 200)
    load = Load(port_of(workers))
    seen = {one.pid for one in children(workers)}
    async with load.running(staying=6, passing=2):
        for _ in range(3):
            before, count = set(children(workers)), load.answered[200]
            os.kill(workers.pid, signal.SIGHUP)

            def is_renewed(before: set[psutil.Process] = before) -> bool:
                now = children(workers)
                return len(now) == 3 and not before & set(now)

            await asyncio.to_thread(
                wait_until, is_renewed, START_SECONDS, lambda: state_of(workers)
            )
            await load.has_answered(count + 50)
            seen |= {one.pid for one in children(workers)}

    assert load.faults == []
    assert set(load.answered) == {200}
    assert load.reconnects > 0
    assert len(seen) == 4 * 3
    shown = workers.call("balances.check", customer_id="load", feature_id="c")
    assert shown["balance"]["usage"] == load.answered[200]
    # What a process has counted is told once a second, and what those that ended had too.
    wait_until(lambda: counted(workers, "balances.track", 200) - told == load.answered[200])
    workers.wait_for_writer()
    assert workers.sql("SELECT count(*), sum(value) FROM events WHERE customer_id = 'load'") == [
        (load.answered[200], load.answered[200] * 10**6)
    ]


def counted(gateway: Gateway, operation: str, status: int) -> float:
    labels = {"operation": operation, "status": str(status)}
    return sum(
        sample.value
        for family in text_string_to_metric_families(gateway.get("metrics").text)
        for sample in family.samples
        if sample.name == "tallygate_requests_total" and sample.labels == labels
    )


def test_a_worker_that_died_is_replaced_with_one_line(workers: Gateway) -> None:
    grant(workers, "dead")
    told = counted(workers, "features.create", 200)
    workers.call("features.create", feature_id="d", name="D", type="metered", consumable=True)
    wait_until(lambda: counted(workers, "features.create", 200) == told + 1)
    for dead in children(workers):
        before = set(children(workers))
        dead.kill()

        def is_whole(before: set[psutil.Process] = before) -> bool:
            return len(set(children(workers)) - before) == 1

        wait_until(is_whole, START_SECONDS, lambda: state_of(workers))
    lines = [line for line in log_of(workers).splitlines() if "another starts" in line]
    assert [re.sub(r".*: the (\w+) in process \d+", r"\1", line) for line in lines] == [
        "gateway ended with -9; another starts in 0.1 s",
        "gateway ended with -9; another starts in 0.1 s",
        "writer ended with -9; another starts in 0.1 s",
    ]
    track_until_told(workers, 20, "dead")
    workers.wait_for_writer()
    # What the dead had told of stays counted.
    assert counted(workers, "features.create", 200) == told + 1


def track_some(gateway: Gateway, count: int, customer: str) -> None:
    for _ in range(count):
        gateway.call("balances.track", customer_id=customer, feature_id="c", value=1)


def track_until_told(gateway: Gateway, count: int, customer: str) -> None:
    """Track, and return once it is counted too, so that the next test does not count it."""
    told = counted(gateway, "balances.track", 200)
    track_some(gateway, count, customer)
    wait_until(lambda: counted(gateway, "balances.track", 200) == told + count)


def test_workers_that_cannot_start_leave_the_old_ones_alone(workers: Gateway) -> None:
    grant(workers, "old")
    before = children(workers)
    path = workers.folder / "tallygate.db"
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as database:
        ((revision,),) = database.execute("SELECT version_num FROM alembic_version").fetchall()
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
        os.kill(workers.pid, signal.SIGHUP)
        wait_until(lambda: "the workers stay" in log_of(workers), START_SECONDS)
        wait_until(lambda: children(workers) == before)
        track_until_told(workers, 5, "old")
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_workers_end_with_their_supervisor(workers: Gateway) -> None:
    grant(workers, "orphan")
    orphans = children(workers)
    workers.kill()
    _, alive = psutil.wait_procs(orphans, START_SECONDS)
    assert alive == []
    # The next one takes over what it left: the embedded server, and the outbox.
    workers.start()
    track_until_told(workers, 5, "orphan")


def test_a_stop_does_not_wait_for_an_old_worker_that_hangs(workers: Gateway) -> None:
    before = children(workers)
    hanging = before[0]
    hanging.suspend()
    told = log_of(workers).count("new workers serve")
    os.kill(workers.pid, signal.SIGHUP)
    wait_until(lambda: log_of(workers).count("new workers serve") > told, START_SECONDS)
    newer = [one for one in children(workers) if one not in before]
    os.kill(workers.pid, signal.SIGTERM)
    try:
        wait_until(lambda: any(not one.is_running() for one in newer))
    finally:
        hanging.resume()
    assert workers.ended() == 0


def test_ctrl_c_stops_all_of_them_after_the_last_answer(workers: Gateway) -> None:
    grant(workers, "last")
    found = children(workers)
    track_some(workers, 50, "last")
    os.kill(workers.pid, signal.SIGINT)
    psutil.wait_procs(found, START_SECONDS)
    assert workers.ended() == 0
    # The writer is the last to end, so that SQL has everything.
    assert workers.sql("SELECT count(*) FROM events WHERE customer_id = 'last'") == [(50,)]


@pytest.mark.parametrize("count", ["0", "1"])
def test_a_unix_socket_serves_like_a_port(tmp_path: Path, count: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    gateway = Gateway(tmp_path / "data", "--workers", count, uds=folder / "s")
    try:
        define(gateway.start(), "ada")
        track_some(gateway, 3, "ada")
        other = Gateway(tmp_path / "other", uds=folder / "s")
        with pytest.raises(AssertionError, match="/s: another process listens there"):
            other.start()
        # Killed, it leaves the socket behind, which is in nobody's way once its worker has ended.
        orphans = children(gateway)
        gateway.kill()
        assert psutil.wait_procs(orphans, START_SECONDS)[1] == []
        assert (folder / "s").exists()
        track_some(gateway.start(), 3, "ada")
        assert gateway.stop() == 0
        assert not (folder / "s").exists()
    finally:
        gateway.stop()
        shutil.rmtree(folder)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("precious")
    refused = Gateway(tmp_path / "data", uds=place)
    with pytest.raises(AssertionError, match="it is there, and no socket"):
        refused.start()
    assert place.read_text() == "precious"
