"""SQL against its deductions, and Redis against SQL: nothing is told without a cause, and nothing
that was changed by hand goes untold.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, select, update

from gateway.audit.auditor import Auditor
from gateway.audit.findings import plan
from gateway.audit.records import Kind, Scope
from gateway.background.evictor import Evictor
from gateway.errors import UnavailableError
from gateway.installation import Incident, IncidentKind
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.scripts import Status
from gateway.scripts.residents import Name, Residents
from persistence.incidents import SqlInstallation
from persistence.models import Balance, Deduction, Slot
from persistence.sync.batch import DeadLetterRow
from persistence.sync.fold import fold
from tests.fixtures.auditing import ACME, EVERYTHING, PARTITION, PARTITIONS, RECEIPT, Site
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    StillClock,
    customer,
    deduct,
    payload,
    row,
)

pytestmark = pytest.mark.redis_kinds("embedded")


async def test_what_agrees_has_no_drift(site: Site) -> None:
    assert await site.in_sql() == []
    assert await site.in_redis() == []
    (page,) = [step async for step in site.auditor.audit_ledger(EVERYTHING)]
    assert (page.customers, page.balances) == (1, 3)
    (step,) = [step async for step in site.auditor.audit_redis(EVERYTHING)]
    assert (step.customers, step.unsettled) == (1, [])


async def test_a_number_that_is_not_the_sum_of_its_deductions_is_told_with_them(
    site: Site,
) -> None:
    site.change(update(Balance).where(Balance.id == "bal_1").values(used=99))
    (drift,) = await site.in_sql()
    assert (drift.kind, drift.customer_id, drift.balance_id) == (Kind.EVENTS, "acme", "bal_1")
    assert (drift.what, drift.sql, drift.events, drift.feature_id) == ("used", 99, 2, "messages")
    assert drift.trail is not None
    assert [(move.delta, move.left) for move in drift.trail.moves] == [(2, 2)]
    assert drift.trail.broken_at is None
    assert await site.differing() == [("used", "bal_1", "", 99, 2)]
    assert await site.ledger.mend(drift)
    assert not await site.ledger.mend(drift)
    assert await site.in_sql() + await site.in_redis() == []


async def test_a_slot_is_checked_alone_and_with_its_balance(site: Site) -> None:
    site.change(update(Slot).where(Slot.entity_id == "seat_1").values(used=17))
    slot, top = await site.in_sql()
    assert (slot.kind, slot.balance_id, slot.entity_id) == (Kind.EVENTS, "bal_2", "seat_1")
    assert (slot.sql, slot.events) == (17, 7)
    assert (top.kind, top.balance_id, top.sql, top.events) == (Kind.SUM, "bal_2", 8, 18)
    assert await site.ledger.mend(slot)
    assert await site.in_sql() == []


async def test_a_slot_that_is_missing_is_told_and_comes_back(site: Site) -> None:
    site.change(delete(Slot).where(Slot.entity_id == "seat_2"))
    slot, _ = await site.in_sql()
    assert (slot.entity_id, slot.sql, slot.events) == ("seat_2", 0, 1)
    assert await site.ledger.mend(slot)
    assert await site.in_sql() + await site.in_redis() == []


async def test_a_row_an_entity_owns_is_told_with_its_owner(site: Site) -> None:
    site.change(update(Balance).where(Balance.id == "bal_3").values(used=0))
    (drift,) = await site.in_sql()
    assert (drift.balance_id, drift.entity_id, drift.events) == ("bal_3", "seat_2", 3)
    assert await site.ledger.mend(drift)
    assert await site.in_sql() == []


async def test_the_deduction_that_was_changed_is_named(site: Site) -> None:
    changed = Deduction.delta == 7
    site.change(update(Deduction).where(changed).values(delta=6))
    top, slot = await site.in_sql()
    for drift in (top, slot):
        assert drift.trail is not None
        assert drift.trail.broken_at is not None
        assert (drift.trail.broken_at.delta, drift.trail.broken_at.left) == (6, 7)
        assert drift.trail.broken_at.event_id.startswith(f"evt_p{PARTITION:02d}_")


async def test_pages_leave_nobody_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(PARTITION)
    for number in range(7):
        history.add(
            customer(),
            row(f"bal_{number}"),
            deduct(f"bal_{number}", 1, 1),
            customer_id=f"c{number}",
            internal_id=f"cus_x{number}",
        )
    moved = [
        one._replace(stream_id=f"{BASE_MS + 500}-{at}") for at, one in enumerate(history.entries)
    ]
    cursor = (await site.reader.cursors([PARTITION]))[PARTITION]
    await site.apply(fold(moved), cursor)
    site.change(update(Balance).where(Balance.id == "bal_6").values(used=5))
    monkeypatch.setattr("gateway.audit.auditor.PAGE_CUSTOMERS", 2)
    steps = [step async for step in site.auditor.audit_ledger(EVERYTHING)]
    assert [step.customers for step in steps] == [2, 2, 2, 2, 0]
    assert [drift.customer_id for step in steps for drift in step.drifts] == ["c6"]
    assert await site.in_sql(Scope("sandbox", "c5")) == []
    assert len(await site.in_sql(Scope("sandbox", "c6"))) == 1
    assert await site.in_sql(Scope("live")) == []
    assert await site.ledger.count(EVERYTHING) == 8


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ("HSET", "customer", "v:messages", "41 0 0 3 0 0 8 0 0 1 0 0"),
            ("used", "bal_1", "", 2, 41),
        ),
        (("HSET", "entities", "p:messages\tseat_1", "1 6"), ("used", "bal_2", "seat_1", 7, 6)),
        (
            ("HSET", "entities", "v:messages\tseat_2", "3 0 0 9 0 0"),
            ("period", "bal_3", "seat_2", 2, 9),
        ),
        (("HDEL", "entity_index", "n:0"), ("place in creation order", "", "seat_2", "2", None)),
        (("DEL", "entity_index"), None),
        (("HSET", "entity_index", "99:0", "001"), None),  # counts a member that is not there
        (("HDEL", "customer", "x:messages"), None),
        (("ZADD", "due", "5", "messages\tseat_2"), ("due next", "", "seat_2", None, 5)),
        (
            ("HDEL", "locks", "sandbox\tlock_1"),
            ("receipt of the lock", "lock_1", "", RECEIPT, None),
        ),
        (
            ("ZADD", "holds", "7", "sandbox\tacme\tlock_1"),
            ("expiry of the lock", "lock_1", "", BASE_MS + 9, 7),
        ),
    ],
)
async def test_what_was_changed_in_redis_is_told_and_comes_back_from_sql(
    site: Site, command: tuple[str, ...], expected: tuple[Any, ...] | None
) -> None:
    name, key, *values = command
    client: Any = site.client
    await client.execute_command(name, getattr(site.keys, key), *values)
    found = await site.differing()
    assert found
    assert expected is None or expected in found
    assert await site.auditor.evict(ACME, whatever_it_holds=True) is Status.DONE
    assert await site.restore() is Status.DONE
    assert await site.in_redis() == []


async def test_a_text_that_cannot_be_read_is_a_drift_and_no_fault(site: Site) -> None:
    await site.client.hset(site.keys.customer, "v:messages", "not numbers")
    await site.client.hset(site.keys.customer, "x:messages", "w\t")
    await site.client.hset(site.keys.customer, "doc", "{")
    assert any(str(redis).startswith("unreadable") for *_, redis in await site.differing())


async def test_a_customer_redis_knows_more_of_is_told_once_the_writer_has_caught_up(
    site: Site,
) -> None:
    await site.client.hset(site.keys.customer, "seq", 12)
    (drift,) = await site.in_redis()
    assert (drift.what, drift.sql, drift.redis) == ("seq", "9", "12")
    assert drift.note == "SQL lacks changes that no dead letter has"
    text = payload(seq=10)
    letter = DeadLetterRow(PARTITION, f"{BASE_MS + 600}-1", text, "", BASE_MS)
    await site.apply(fold([], [letter]), (await site.reader.cursors([PARTITION]))[PARTITION])
    (drift,) = await site.in_redis()
    assert drift.note == f"set aside by the writer: {letter.stream_id} of partition {PARTITION}"


async def test_a_customer_of_which_sql_has_lost_changes_is_left_alone(site: Site) -> None:
    lost = Incident(IncidentKind.SQL_BEHIND, PARTITION, "1-0", "9-0", None, 0, "run", "")
    assert await SqlInstallation(site.database, StillClock()).report([lost], {}) == 1
    assert await site.in_redis() == await site.in_sql() == []
    site.change(update(Balance).where(Balance.id == "bal_1").values(used=1))
    drifts = [*await site.in_redis(), *await site.in_sql()]
    assert {drift.kind for drift in drifts} == {Kind.REDIS, Kind.EVENTS}
    made = plan(drifts)
    assert made.is_empty
    assert made.left_alone == [(ACME, "SQL has lost changes of its partition")]


async def test_a_customer_of_which_sql_has_lost_changes_is_not_evicted(site: Site) -> None:
    lost = Incident(IncidentKind.SQL_BEHIND, PARTITION, "1-0", "9-0", None, 0, "run", "")
    await SqlInstallation(site.database, StillClock()).report([lost], {})
    ((used,),) = site.read(select(Balance.used).where(Balance.id == "bal_1"))
    change = update(Balance).where(Balance.id == "bal_1")
    site.change(change.values(used=1))
    evictor = Evictor(site.scripts, site.residents, site.ledger, site.auditor, idle_seconds=0)
    assert await evictor.walk() == 0
    site.change(change.values(used=used))
    assert await evictor.walk() == 1


async def test_a_customer_only_redis_knows_is_told(site: Site) -> None:
    bob = Name("live", "bob")
    await site.client.hset(site.residents.keys_of(bob).customer, "id", "cus_2")
    (drift,) = (await site.auditor.compare(bob)).drifts
    assert (drift.what, drift.sql, drift.redis) == ("customer", None, "cus_2")
    names = [
        drift.customer_id
        async for step in site.auditor.audit_redis(EVERYTHING)
        for drift in step.drifts
    ]
    assert names == ["bob"]


async def test_a_customer_that_is_not_in_redis_is_no_drift(site: Site) -> None:
    await site.client.delete(*site.keys[:4])
    found = await site.auditor.compare(ACME)
    assert (found.drifts, found.is_here, found.is_settled) == ([], False, True)


async def test_a_writer_that_does_not_catch_up_is_an_error_and_no_drift(site: Site) -> None:
    await site.client.xadd(outbox_key(PARTITION), {FIELD: payload(seq=10)})
    await site.client.hset(site.keys.customer, "seq", 10)
    with pytest.raises(UnavailableError, match="is one running"):
        await site.auditor.compare(ACME)


async def test_a_customer_that_never_stands_still_is_unsettled(site: Site) -> None:
    class Restless(Residents):
        async def place(self, name: Name) -> tuple[str, str] | None:
            key = self.keys_of(name).customer
            await site.client.hincrby(key, "seq", 1)
            return await super().place(name)

    residents = Restless(site.client, PARTITIONS)
    auditor = Auditor(
        site.scripts,
        residents,
        site.reader,
        site.ledger,
        StillClock(),
        partitions=PARTITIONS,
        wait_ms=200,
    )
    found = await auditor.compare(ACME)
    assert (found.is_settled, found.drifts) == (False, [])
    (step,) = [step async for step in auditor.audit_redis(Scope("sandbox", "acme"))]
    assert step.unsettled == [ACME]
