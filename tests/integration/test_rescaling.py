"""Everything SQL keeps of a feature at another precision, on each engine: just that, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, func, insert, select, update

from gateway.cycles import HOUR_MS
from gateway.errors import StartError, UnavailableError
from gateway.ports import CatalogChange, FeatureRecord
from gateway.rescaling import Rescaling
from gateway.rows import Kind
from gateway.stream_ids import BEGINNING, following
from gateway.stream_ids import place as stream_place
from persistence.catalog import apply_within
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.models import (
    Base,
    CatalogRevision,
    Cursor,
    Customer,
    DailyTotal,
    Feature,
    table_of,
)
from persistence.models.base import AMOUNTS, Amounts
from persistence.models.reports import PART
from persistence.rescaling import rescale
from persistence.sync import store
from persistence.sync.fold import fold
from persistence.sync.leases import Tenure
from persistence.sync.store import CursorMovedError
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    alert,
    contents,
    customer,
    deduct,
    entity,
    event,
    lock,
    row,
    window,
)

PARTITION = 7
PARTITIONS = 64
RECEIPT = f"acme\tmessages\t\t3000\t{BASE_MS}\t2\tcus_1\t{{}}\nmessages\tbal_1\t\t1\t3000\t3000"


def lives() -> History:
    """A customer of each environment, who did the same with two features."""
    history = History(PARTITION)
    for env, internal_id in (("sandbox", "cus_1"), ("live", "cus_2")):
        for feature in ("messages", "other"):
            balance = f"bal_{feature}_{env}"
            history.add(
                customer("Acme"),
                row(balance, grant=100_000, feature=feature),
                row(f"{balance}_p", kind=Kind.PER_ENTITY, grant=7_000, feature=feature),
                entity("seat_1", 1),
                env=env,
                internal_id=internal_id,
            )
            history.add(
                event(feature, 5_000),
                deduct(balance, 5_000, 5_000, feature=feature),
                window(5_000, feature=feature),
                alert(
                    "usage_alert_triggered",
                    '{"name":null,"threshold":4000,"threshold_type":"usage"}',
                    feature=feature,
                ),
                env=env,
                internal_id=internal_id,
            )
            history.add(
                event(feature, -2_000),
                deduct(f"{balance}_p", -2_000, -2_000, feature=feature, entity="seat_1"),
                lock(
                    f"lock_{feature}_{env}",
                    units=3_000,
                    feature=feature,
                    receipt=RECEIPT.replace("messages", feature),
                ),
                deduct(balance, 3_000, 8_000, feature=feature),
                env=env,
                internal_id=internal_id,
            )
    return history


def feature_of(env: str, feature_id: str, precision: int = 6) -> FeatureRecord:
    return FeatureRecord(
        env=env,
        id=feature_id,
        name=feature_id,
        type="metered",
        consumable=True,
        precision=precision,
        in_use=True,
        archived=False,
    )


def features() -> list[FeatureRecord]:
    return [feature_of(env, one) for env in ("sandbox", "live") for one in ("messages", "other")]


class Cleared:
    """A Redis whose streams end as told."""

    def __init__(self, ends: Callable[[], Mapping[int, str]]) -> None:
        self.ends = ends
        self.is_cleared = False

    def clear(self) -> None:
        self.is_cleared = True


class Place:
    """What SQL has, and where the streams end."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.end = BEGINNING
        self.is_cleared = False
        self.raised: Mapping[int, str] = {}

    def fill(self) -> None:
        history = lives()
        store.open_cursors(self.engine, [PARTITION])
        batch = fold(history.entries)
        store.apply(self.engine, batch, expected={PARTITION: BEGINNING}, now_ms=BASE_MS)
        self.end = batch.cursors[0].stream_id
        added = tuple((None, one) for one in features())
        with write_transaction(self.engine) as connection:
            assert apply_within(connection, CatalogChange(self.revision(), features=added))

    def revision(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalars(select(CatalogRevision.revision)).one())

    def rescale(
        self,
        new: int,
        *,
        old: int = 6,
        revision: int | None = None,
        ends: Callable[[], Mapping[int, str]] | None = None,
    ) -> list[str]:
        told: list[str] = []
        record = feature_of("sandbox", "messages", new)
        at = self.revision() if revision is None else revision
        change = CatalogChange(at, features=(("messages", record),))
        rescaling = Rescaling("messages", old, new)
        redis = Cleared(ends or (lambda: {PARTITION: self.end}))
        try:
            self.raised = rescale(self.engine, change, rescaling, redis, told.append)
        finally:
            self.is_cleared = redis.is_cleared
        return told

    def amounts(self) -> dict[str, list[Any]]:
        """Return the amounts of each table, with whose and of which feature they are."""
        found = {}
        for table in Base.metadata.sorted_tables:
            numbers = [one for one in table.c if one.info.get(AMOUNTS) is Amounts.ONE]
            if numbers:
                named = (table.c.internal_id, table.c.feature_id)
                with self.engine.connect() as connection:
                    rows = connection.execute(select(*named, *numbers).order_by(*table.primary_key))
                    found[table.name] = [tuple(one) for one in rows]
        return found


@pytest.fixture
def place(engine: Engine) -> Place:
    filled = Place(engine)
    filled.fill()
    return filled


def test_all_of_the_feature_and_nothing_else_gets_the_precision(place: Place) -> None:
    before, revision = place.amounts(), place.revision()
    assert place.rescale(3)
    assert place.is_cleared
    assert place.revision() > revision
    after = place.amounts()
    for name, rows in before.items():
        assert rows, name
        scaled = [
            (owner, of, *(one // 1000 for one in units))
            if (owner, of) == ("cus_1", "messages")
            else (owner, of, *units)
            for owner, of, *units in rows
        ]
        assert after[name] == scaled
        assert after[name] != rows
    with place.engine.connect() as connection:
        kept = connection.execute(select(Feature.env, Feature.id, Feature.precision, Feature.scale))
        assert {(env, one): (places, scale) for env, one, places, scale in kept} == {
            ("sandbox", "messages"): (3, 1000),
            **{(env, "other"): (6, 10**6) for env in ("sandbox", "live")},
            ("live", "messages"): (6, 10**6),
        }


def customers(engine: Engine) -> list[Any]:
    """Return them but for when they were heard of last, which a rescale moves."""
    table = table_of(Customer)
    columns = [one for one in table.c if one.name not in {"applied_ms", "applied_hour"}]
    with engine.connect() as connection:
        return list(connection.execute(select(*columns).order_by(table.c.internal_id)))


def test_a_redis_from_before_is_older_than_sql_in_each_customer(place: Place) -> None:
    place.rescale(3)
    with place.engine.connect() as connection:
        cursor = connection.scalars(select(Cursor.stream_id)).one()
        heard = select(Customer.applied_ms, Customer.applied_hour).where(Customer.env == "sandbox")
        times = connection.execute(heard).all()
    assert cursor == place.raised[PARTITION] == following(place.end)
    now_ms = stream_place(place.end)[0]
    assert times
    assert set(times) == {(now_ms, now_ms // HOUR_MS)}


def test_there_and_back_leaves_every_row_as_it_was(place: Place) -> None:
    before, whole = contents(place.engine), customers(place.engine)
    place.rescale(3)
    assert contents(place.engine)["locks"] != before["locks"]
    place.rescale(9, old=3)
    place.rescale(6, old=9)
    after = contents(place.engine)
    # The two parts of a sum are brought in order on the way.
    moved = {"catalog_revision", "cursors", "usage_daily", "usage_daily_totals", "customers"}
    assert {name for name in before if before[name] != after[name]} == moved
    assert customers(place.engine) == whole


def test_a_place_too_many_is_told_and_nothing_is_changed(place: Place) -> None:
    before = contents(place.engine)
    with pytest.raises(StartError, match=r"precision 2 does not hold .*, 3 does") as refused:
        place.rescale(2)
    assert "of customer acme; nothing was changed" in refused.value.message
    assert not place.is_cleared
    assert contents(place.engine) == before


@pytest.mark.parametrize("changed", ["grant", "sum"])
def test_what_leaves_the_range_is_told_and_nothing_is_changed(place: Place, changed: str) -> None:
    """A per-entity grant counts a thousand times, as it does when it is given."""
    balances = Base.metadata.tables["balances"]
    mine = balances.c.internal_id == "cus_1", balances.c.feature_id == "messages"
    kind, told = ("c", "balances") if changed == "grant" else ("p", "the sum of the balances")
    grant = 9_100_000_000_000 if changed == "grant" else 9_100_000_000
    with write_transaction(place.engine) as connection:
        connection.execute(
            update(balances).where(*mine, balances.c.kind == kind).values(granted=grant)
        )
    before = contents(place.engine)
    with pytest.raises(StartError, match=f"precision 9 leaves the exact range in {told} of"):
        place.rescale(9)
    assert contents(place.engine) == before


def test_entities_count_in_what_a_customer_holds_together(place: Place) -> None:
    balances, entities = Base.metadata.tables["balances"], Base.metadata.tables["entities"]
    mine = balances.c.internal_id == "cus_1", balances.c.feature_id == "messages"
    with write_transaction(place.engine) as connection:
        each = update(balances).where(*mine, balances.c.kind == "p")
        connection.execute(each.values(granted=6_100_000_000))
        (first,) = connection.execute(
            select(entities).where(entities.c.internal_id == "cus_1").limit(1)
        ).mappings()
        more = [dict(first) | {"number": at, "entity_id": f"s{at}"} for at in range(10, 1_510)]
        connection.execute(insert(entities), more)
    with pytest.raises(StartError, match="the sum of the balances of customer acme"):
        place.rescale(9)
    with write_transaction(place.engine) as connection:
        gone = update(entities).where(entities.c.number >= 1_000)
        connection.execute(gone.values(deleted_at=BASE_MS))
    place.rescale(9)


def test_it_is_refused_while_something_is_on_its_way_or_has_moved(place: Place) -> None:
    before = contents(place.engine)

    def somebody() -> Mapping[int, str]:
        raise StartError("Redis is in use")

    later = f"{BASE_MS + 99}-0"
    for fault, options in (
        ("holds changes SQL has not got", {"ends": lambda: {PARTITION: later}}),
        ("the catalog is being changed", {"revision": place.revision() - 1}),
        ("Redis is in use", {"ends": somebody}),
    ):
        with pytest.raises(StartError, match=fault):
            place.rescale(3, **options)
        assert contents(place.engine) == before


def test_no_process_can_begin_meanwhile(place: Place) -> None:
    """Each claims the installation before it reads the catalog."""
    url = place.engine.url.render_as_string(hide_password=False)
    other = make_engine(url, EngineOptions(lock_timeout_ms=100))
    store.claim_installation(other, PARTITIONS)

    def begin() -> Mapping[int, str]:
        with pytest.raises(UnavailableError):
            store.claim_installation(other, PARTITIONS)
        return {PARTITION: place.end}

    place.rescale(3, ends=begin)
    store.claim_installation(other, PARTITIONS)
    other.dispose()


def test_a_batch_that_was_on_its_way_is_refused_afterwards(place: Place) -> None:
    with place.engine.connect() as connection:
        owner, epoch = connection.execute(select(Cursor.owner, Cursor.epoch)).one()
    place.rescale(3)
    late = History(PARTITION)
    late.add(event(value=1_000), deduct("bal_messages_sandbox", 1_000, 9_000), seq=9, at_ms=BASE_MS)
    entry = late.entries[0]._replace(stream_id=f"{BASE_MS + 99}-0")
    tenure = Tenure(owner, {PARTITION: epoch})
    with pytest.raises(CursorMovedError):
        store.apply(
            place.engine,
            fold([entry]),
            expected={PARTITION: place.end},
            now_ms=BASE_MS,
            tenure=tenure,
        )


def test_sums_of_any_size_and_sign_stay_what_they_are(place: Place) -> None:
    dice = Random(3)
    table = table_of(DailyTotal)
    rows: list[dict[str, Any]] = []
    totals: dict[str, int] = {}
    with place.engine.connect() as connection:
        first = connection.execute(select(table).limit(1)).mappings().one()
    for number in range(300):
        total = dice.choice([0, 1, -1, PART, -PART, dice.randrange(-(10**20), 10**20)]) * 1000
        high, low = divmod(total, PART)
        carried = dice.choice([0, 0, 1, 5]) if number else 5
        parts = {"high": high - carried, "low": low + carried * PART}
        named = {"customer_id": f"c{number}", "env": "sandbox", "internal_id": "cus_1"}
        sums = {f"{of}_{part}": parts[part] for of in ("requested", "applied") for part in parts}
        rows.append(dict(first) | named | sums | {"feature_id": "messages"})
        totals[f"c{number}"] = total
    with write_transaction(place.engine) as connection:
        connection.execute(insert(table), rows)
    place.rescale(3)
    place.rescale(5, old=3)
    place.rescale(4, old=5)
    columns = (table.c.applied_high, table.c.applied_low, table.c.requested_low)
    with place.engine.connect() as connection:
        for name, high, low, other in connection.execute(select(table.c.customer_id, *columns)):
            if name in totals:
                assert high * PART + low == totals[name] // 100
                assert (other, low >= 0) == (low, True)


def test_texts_are_rewritten_in_pages(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.rescaling.PAGE", 1)
    place.rescale(3)
    locks, customers = Base.metadata.tables["locks"], table_of(Customer)
    with place.engine.connect() as connection:
        found = connection.execute(
            select(customers.c.env, locks.c.feature_id, locks.c.receipt).join(
                customers, customers.c.internal_id == locks.c.internal_id
            )
        )
        units = {(env, of): int(text.split("\t")[3]) for env, of, text in found}
        assert units.pop(("sandbox", "messages")) == 3
        assert set(units.values()) == {3_000}
        alerts = Base.metadata.tables["alerts"]
        bodies = connection.scalars(select(alerts.c.body).order_by(alerts.c.id)).all()
        assert sorted(msgspec.json.decode(one)["threshold"] for one in bodies) == [4, *[4_000] * 3]
        assert connection.scalars(select(func.count()).select_from(alerts)).one() == 4
