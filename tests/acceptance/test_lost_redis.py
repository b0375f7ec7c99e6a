"""A Redis that goes back in time under the started gateway: nobody gets a wrong answer, balances
are SQL's afterwards, and the incident says what is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx

from gateway.stream_ids import BEGINNING, place
from tests.commands import run
from tests.fixtures.gateways import KEY, NO_TLS, Gateway
from tests.fixtures.redis_processes import RedisProcess
from tests.fixtures.virtual_address import Forwarder
from tests.waiting import wait_until

UNIT = 10**6
GRANT = 1_000_000
CUSTOMERS = [f"cus_{number}" for number in range(12)]
MESSAGES = "messages"
RECOVERY_SECONDS = 60.0
ACKNOWLEDGED_MIN = 200


def make_gateway(folder: Path, redis_url: str, **environment: str) -> Gateway:
    places = {"TALLYGATE_PARTITIONS": "8"}
    return Gateway(folder / "data", "--redis-url", redis_url, environment=places | environment)


@contextmanager
def running(gateway: Gateway) -> Iterator[Gateway]:
    try:
        yield gateway.start()
    finally:
        gateway.stop()


def fill(gateway: Gateway) -> None:
    gateway.call(
        "features.create", feature_id=MESSAGES, name="Messages", type="metered", consumable=True
    )
    for customer_id in CUSTOMERS:
        gateway.call("customers.get_or_create", customer_id=customer_id)
        gateway.call(
            "balances.create",
            customer_id=customer_id,
            feature_id=MESSAGES,
            included_grant=GRANT,
        )


def track(gateway: Gateway, customer_id: str, value: int) -> None:
    gateway.call("balances.track", customer_id=customer_id, feature_id=MESSAGES, value=value)


def caught_up(gateway: Gateway, server: RedisProcess) -> None:
    """Return when SQL has everything the server has."""
    with server.client() as client:
        ends = {
            int(key[len("tg:{p") :].split(b"}")[0]): client.xinfo_stream(key)["last-generated-id"]
            for key in client.scan_iter("tg:*outbox", count=1000)
        }

    def is_there() -> bool:
        cursors = dict(gateway.sql("SELECT partition, stream_id FROM cursors"))
        return all(
            place(cursors.get(at, BEGINNING)) >= place(end.decode()) for at, end in ends.items()
        )

    wait_until(is_there, RECOVERY_SECONDS)


def used_in_sql(gateway: Gateway) -> dict[str, int]:
    """Return what each customer used, by the events SQL has."""
    rows = gateway.sql("SELECT customer_id, sum(applied) FROM events GROUP BY customer_id")
    return dict.fromkeys(CUSTOMERS, 0) | {customer_id: used // UNIT for customer_id, used in rows}


def balances_in_sql(gateway: Gateway) -> dict[str, int]:
    rows = gateway.sql("SELECT c.id, b.used FROM balances b JOIN customers c USING (internal_id)")
    return {customer_id: used // UNIT for customer_id, used in rows}


def used(gateway: Gateway, customer_id: str) -> int:
    """Return what Redis says a customer used, as soon as it is asked again."""
    answers: list[httpx.Response] = []

    def is_answered() -> bool:
        answers.append(gateway.post("customers.get", {"customer_id": customer_id}))
        return answers[-1].status_code != 503

    wait_until(is_answered, RECOVERY_SECONDS)
    assert answers[-1].is_success, answers[-1].text
    return int(answers[-1].json()["balances"][MESSAGES]["usage"])


def kinds_in_health(gateway: Gateway) -> set[str]:
    """Return the kinds of the newest incidents, of which an SQL that is slow tells nothing."""
    incidents = gateway.get("health").json()["incidents"] or {"newest": []}
    return {one["kind"] for one in incidents["newest"]}


class Watcher:
    """Asks for balances all the time and keeps every answer that is one."""

    def __init__(self, gateway: Gateway) -> None:
        self.seen: list[tuple[str, int]] = []
        self.refused = 0
        self._url = gateway.url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(RECOVERY_SECONDS)

    def _run(self) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(timeout=20, headers=headers, verify=NO_TLS) as client:
            while not self._ended.is_set():
                for customer_id in CUSTOMERS:
                    body = {"customer_id": customer_id, "feature_id": MESSAGES}
                    answer = client.post(f"{self._url}/v1/balances.check", json=body)
                    if answer.status_code != 200 or "x-tallygate-degraded" in answer.headers:
                        self.refused += 1
                    else:
                        usage = answer.json()["balance"]["usage"]
                        self.seen.append((customer_id, int(usage)))


def test_a_file_that_is_older_is_recognised_before_the_first_answer(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    with running(make_gateway(tmp_path, own_redis.url)) as gateway:
        fill(gateway)
        for customer_id in CUSTOMERS:
            track(gateway, customer_id, 5)
        caught_up(gateway, own_redis)
        own_redis.copy_file(tmp_path / "older")
        with own_redis.client() as client:
            older = {
                int(key[len("tg:{p") :].split(b"}")[0]): client.xinfo_stream(key)[
                    "last-generated-id"
                ].decode()
                for key in client.scan_iter("tg:*outbox", count=1000)
            }
        expected = dict.fromkeys(CUSTOMERS, 5)
        for turn, customer_id in enumerate(CUSTOMERS[:8]):
            for _ in range(3):
                track(gateway, customer_id, 10 + turn)
            expected[customer_id] += 3 * (10 + turn)
        caught_up(gateway, own_redis)
        newer = dict(gateway.sql("SELECT partition, stream_id FROM cursors"))

        with Watcher(gateway) as watcher:
            wait_until(lambda: len(watcher.seen) > len(CUSTOMERS), RECOVERY_SECONDS)
            own_redis.kill()
            own_redis.put_back(tmp_path / "older")
            own_redis.start()
            before = len(watcher.seen)
            wait_until(lambda: len(watcher.seen) > before + 3 * len(CUSTOMERS), RECOVERY_SECONDS)
        wrong = [(who, usage) for who, usage in watcher.seen if usage != expected[who]]
        assert wrong == []
        assert {who: used(gateway, who) for who in CUSTOMERS} == expected
        assert used_in_sql(gateway) == balances_in_sql(gateway) == expected

        told = gateway.sql(
            "SELECT partition, from_id, to_id FROM incidents"
            " WHERE kind = 'redis_behind' AND ended_at IS NOT NULL"
        )
        lost = {at: (older[at], newer[at]) for at in older if newer[at] != older[at]}
        assert {at: (from_id, to_id) for at, from_id, to_id in told} == lost
        assert gateway.sql("SELECT sum(reseeded) FROM incidents")[0][0] >= 8
        wait_until(lambda: kinds_in_health(gateway) == {"redis_behind"}, RECOVERY_SECONDS)

        for customer_id in CUSTOMERS:
            track(gateway, customer_id, 1)
        caught_up(gateway, own_redis)
        assert used_in_sql(gateway) == balances_in_sql(gateway)
        assert used_in_sql(gateway) == {who: usage + 1 for who, usage in expected.items()}


def test_what_no_gateway_has_compared_yet_is_told_of_as_that(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    words = "verify", "--redis-url", own_redis.url, "--data-dir", tmp_path / "data"
    with running(make_gateway(tmp_path, own_redis.url)) as gateway:
        fill(gateway)
        caught_up(gateway, own_redis)
        own_redis.copy_file(tmp_path / "older")
        track(gateway, CUSTOMERS[0], 5)
        caught_up(gateway, own_redis)
    assert run(*words, TALLYGATE_PARTITIONS="8").returncode == 0
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()
    found = run(*words, TALLYGATE_PARTITIONS="8")
    assert (found.returncode, "seq: SQL 3, Redis 2" in found.stdout) == (1, True), found.stdout
    assert "no gateway has compared this Redis with SQL yet" in found.stderr


class Load:
    """Tracks one unit after the other, each with a name, and keeps which were acknowledged."""

    def __init__(
        self, gateway: Gateway, threads: int = 4, name: str = "", level: str = "memory"
    ) -> None:
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self._url = gateway.url
        self._headers = {"authorization": f"Bearer {KEY}", "x-durability": level}
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(f"{name}{number}",))
            for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(RECOVERY_SECONDS)

    def _run(self, thread: str) -> None:
        turn = 0
        with (
            suppress(httpx.TransportError),
            httpx.Client(timeout=20, headers=self._headers, verify=NO_TLS) as client,
        ):
            while not self._ended.is_set():
                turn += 1
                name = f"{thread}-{turn}"
                self.sent.add(name)
                answer = client.post(
                    f"{self._url}/v1/balances.track",
                    json={
                        "customer_id": CUSTOMERS[turn % len(CUSTOMERS)],
                        "feature_id": MESSAGES,
                        "value": 1,
                        "properties": {"call": name},
                    },
                )
                if answer.status_code == 200:
                    self.acknowledged.add(name)


def stored(gateway: Gateway) -> list[str]:
    """Return the names of the calls that are in SQL."""
    rows = gateway.sql("SELECT properties FROM events")
    return [text[len('{"call":"') : -2] for (text,) in rows]


def all_stored(gateway: Gateway, load: Load) -> set[str]:
    """Return what was acknowledged, once SQL has all of that."""
    acknowledged = set(load.acknowledged)
    wait_until(lambda: acknowledged <= {*stored(gateway)}, RECOVERY_SECONDS)
    return acknowledged


def fail_over(master: RedisProcess, replica: RedisProcess, forwarder: Forwarder) -> None:
    """Kill the master, promote the replica, lead everybody there."""
    master.kill()
    with replica.client() as client:
        client.replicaof("NO", "ONE")
    forwarder.lead_to(replica.port)


def agrees(gateway: Gateway, server: RedisProcess) -> dict[str, int]:
    """Return what each customer used, once Redis, balances and events say the same."""
    answered = {who: used(gateway, who) for who in CUSTOMERS}
    caught_up(gateway, server)
    assert used_in_sql(gateway) == balances_in_sql(gateway) == answered
    return answered


def test_a_promoted_replica_loses_nothing_that_had_to_be_on_it(
    tmp_path: Path, own_redis: RedisProcess, own_replica: RedisProcess, forwarder: Forwarder
) -> None:
    level = {"TALLYGATE_DURABILITY": "replica", "TALLYGATE_DURABILITY_TIMEOUT_MS": "5000"}
    with running(make_gateway(tmp_path, forwarder.url, **level)) as gateway:
        fill(gateway)
        with Load(gateway) as load:
            wait_until(lambda: len(load.acknowledged) >= ACKNOWLEDGED_MIN, RECOVERY_SECONDS)
            fail_over(own_redis, own_replica, forwarder)
        agrees(gateway, own_replica)
        found = stored(gateway)
        assert len(found) == len(set(found)), "an event is in SQL twice"
        assert load.acknowledged - set(found) == set()
        assert set(found) <= load.sent


def test_what_a_lagging_replica_lost_is_bounded_and_told(
    tmp_path: Path, own_redis: RedisProcess, own_replica: RedisProcess, forwarder: Forwarder
) -> None:
    with running(make_gateway(tmp_path, forwarder.url)) as gateway:
        fill(gateway)
        with Load(gateway) as load:
            wait_until(lambda: len(load.acknowledged) >= ACKNOWLEDGED_MIN, RECOVERY_SECONDS)
            with own_replica.client() as client:
                client.replicaof("127.0.0.1", "1")  # it hears nothing more of its master
            behind = len(load.acknowledged)
            wait_until(
                lambda: len(load.acknowledged) >= behind + ACKNOWLEDGED_MIN, RECOVERY_SECONDS
            )
            kept = all_stored(gateway, load)
            fail_over(own_redis, own_replica, forwarder)
            begun = set(load.sent)
            again = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > again + 20, RECOVERY_SECONDS)
        agrees(gateway, own_replica)
        found = stored(gateway)
        assert len(found) == len(set(found)), "an event is in SQL twice"
        assert set(found) <= load.sent
        # SQL had most of what the replica never got; what neither has was acknowledged just then.
        lost = load.acknowledged - set(found)
        assert lost <= begun - kept
        assert len(lost) < ACKNOWLEDGED_MIN
        incidents: list[Any] = gateway.sql("SELECT kind, from_id, to_id, detail FROM incidents")
        assert {kind for kind, *_ in incidents} == {"redis_behind"}
        assert all(place(from_id) < place(to_id) for _, from_id, to_id, _ in incidents)
        assert all("SQL has everything up to" in detail for *_, detail in incidents)


def test_a_redis_that_is_emptied_while_it_runs_gets_its_customers_back(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    with running(make_gateway(tmp_path, own_redis.url)) as gateway:
        fill(gateway)
        with Load(gateway) as load:
            wait_until(lambda: len(load.acknowledged) >= ACKNOWLEDGED_MIN, RECOVERY_SECONDS)
            kept = all_stored(gateway, load)
            own_redis.ask("FLUSHALL")
            begun = set(load.sent)
            again = len(load.acknowledged)
            wait_until(lambda: len(load.acknowledged) > again + 20, RECOVERY_SECONDS)
        agrees(gateway, own_redis)
        found = stored(gateway)
        assert len(found) == len(set(found)), "an event is in SQL twice"
        assert load.acknowledged - set(found) <= begun - kept
        assert {kind for (kind,) in gateway.sql("SELECT kind FROM incidents")} == {"redis_flushed"}
