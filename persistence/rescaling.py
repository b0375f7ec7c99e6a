"""Bring everything SQL keeps of a feature to another precision, in one transaction.

Which columns hold amounts is said by the models. Numbers are reckoned with by SQL, a statement for
each table; texts are read and written back in pages. All of it is looked at before anything can be
committed, and what does not fit rolls back. While the transaction lasts no process can begin (each
claims the installation first), and no writer can apply a batch: its lease is gone.

Failure: a crash or SQL gone leaves everything as it was. A Redis from before, as of a machine that
went down just afterwards, is older than SQL then, and is brought up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Row,
    Table,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from gateway.amounts import ENTITIES_SURE, UNITS_MAX
from gateway.cycles import HOUR_MS
from gateway.errors import StartError
from gateway.ports import CatalogChange
from gateway.rescaling import Place, Rescaling
from gateway.rows import Kind
from gateway.stream_ids import BEGINNING, place
from persistence.catalog import apply_within
from persistence.cursors import raise_cursors, read_cursors
from persistence.database import write_transaction
from persistence.models import (
    Alert,
    Balance,
    Base,
    Customer,
    Entity,
    Installation,
    Lock,
    Subscription,
    table_of,
)
from persistence.models.base import AMOUNTS, Amounts
from persistence.models.reports import PART
from persistence.sync import leases

PAGE = 1_000
"""Texts that are in memory at once."""

_Condition = ColumnElement[bool]


class _Text(NamedTuple):
    """A column of texts: which rows may have amounts of the feature inside, and what they become.

    Documents that only have decimals are looked at too.
    """

    column: Column[Any]
    change: Callable[[Rescaling, str], str]
    where: Callable[[str], _Condition]

    @property
    def table(self) -> Table:
        """The table of the column."""
        return self.column.table


class Redis(Protocol):
    """What is asked of Redis on the way."""

    def ends(self) -> Mapping[int, str]:
        """Return where the streams end, once nobody can begin any more. Raises unless this process
        alone uses Redis and the customers have left.
        """

    def clear(self) -> None:
        """Remove what else is there in units, now that nothing but a crash can keep them as they
        are.
        """


def _of_feature(table: Table) -> Callable[[str], _Condition]:
    return lambda feature_id: table.c.feature_id == feature_id


def _with_any(column: Column[Any], *words: str) -> Callable[[str], _Condition]:
    return lambda _: or_(*(column.contains(word, autoescape=True) for word in words))


_BALANCES, _LOCKS, _ALERTS = table_of(Balance), table_of(Lock), table_of(Alert)
_CUSTOMERS, _ENTITIES = table_of(Customer), table_of(Entity)
_SUBSCRIPTIONS = table_of(Subscription)

TEXTS: tuple[_Text, ...] = (
    _Text(_BALANCES.c.line, Rescaling.row, _of_feature(_BALANCES)),
    _Text(
        _LOCKS.c.receipt,
        Rescaling.receipt,
        lambda feature_id: _LOCKS.c.receipt.contains(feature_id, autoescape=True),
    ),
    _Text(_ALERTS.c.body, Rescaling.alert, _of_feature(_ALERTS)),
    _Text(
        _CUSTOMERS.c.document,
        Rescaling.customer,
        _with_any(_CUSTOMERS.c.document, "billing_controls"),
    ),
    _Text(
        _ENTITIES.c.document,
        Rescaling.entity,
        _with_any(_ENTITIES.c.document, "billing_controls", "subscriptions"),
    ),
    _Text(
        _SUBSCRIPTIONS.c.document,
        Rescaling.subscription,
        _with_any(
            _SUBSCRIPTIONS.c.document,
            "billing_controls",
            *("custom", "quantities", "pend", "pooled", "resting"),
        ),
    ),
)
"""Every column that is marked as ``Amounts.INSIDE``."""


def rescale(
    engine: Engine,
    change: CatalogChange,
    rescaling: Rescaling,
    redis: Redis,
    tell: Callable[[str], None],
) -> Mapping[int, str]:
    """Carry out a change of the catalog by which a feature gets another precision; return where the
    streams have to end from now on.

    Raises ``StartError``; nothing was changed then.
    """
    ((env, feature_id),) = {(one.env, one.id) for _, one in change.features}
    with write_transaction(engine) as connection:
        _keep_others_out(connection)
        _check_carried(connection, redis.ends())
        if not apply_within(connection, change):
            raise StartError("the catalog is being changed; try again")
        if rescaling.factor > 1:
            work = _Work(connection, rescaling, env, feature_id)
            for table in Base.metadata.sorted_tables:
                work.look_at(table)
            for text in TEXTS:
                tell(f"{text.table.name} ...")
                work.rewrite(text)
            work.look_at_sums()
            rescaling.check(work.name_of)
            redis.clear()
            for table in Base.metadata.sorted_tables:
                work.multiply(table)
        return _outdate(connection, env)


def _keep_others_out(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        name = table_of(Installation).name
        connection.exec_driver_sql(f"LOCK TABLE {name} IN EXCLUSIVE MODE")


def _check_carried(connection: Connection, ends: Mapping[int, str]) -> None:
    """Take every partition from whoever might write it, and see that nothing is on its way."""
    leases.fence(connection, ends)
    cursors = read_cursors(connection, list(ends))
    for at, end in ends.items():
        if place(cursors.get(at, BEGINNING)) < place(end):
            raise StartError(f"the outbox of partition {at} holds changes SQL has not got")


def _outdate(connection: Connection, env: str) -> Mapping[int, str]:
    """Have SQL be newer than any Redis from before, which has units of the old precision though
    nobody has used anything since; return the cursors.
    """
    ends = raise_cursors(connection)
    newest_ms = max((place(end)[0] for end in ends.values()), default=0)
    applied = _CUSTOMERS.c.applied_ms
    older = update(_CUSTOMERS).where(_CUSTOMERS.c.env == env, applied < newest_ms)
    connection.execute(older.values(applied_ms=newest_ms, applied_hour=newest_ms // HOUR_MS))
    return ends


class _Work:
    """The steps of one transaction, on the rows of one feature."""

    def __init__(
        self, connection: Connection, rescaling: Rescaling, env: str, feature_id: str
    ) -> None:
        self._connection = connection
        self._rescaling = rescaling
        self._env = env
        self._feature_id = feature_id

    def look_at(self, table: Table) -> None:
        """Note what the amounts of a table ask for."""
        old = self._rescaling.old
        found = _amounts(table)
        if not found:
            return
        # Of a sum the lower part alone tells, for the other counts whole billions.
        places = [func.max(_places(column, old)) for column in found if not _is_high(column)]
        most = [func.max(func.abs(column)) for column in found if not _is_part(column)]
        where = self._rows_of(table)
        row = self._connection.execute(select(*places, *most).where(*where)).one()
        needed = max((value or 0 for value in row[: len(places)]), default=0)
        largest = max((value or 0 for value in row[len(places) :]), default=0)
        owner = ""
        if not self._rescaling.fits(needed, largest):
            owner = self._first(table, found)
        self._rescaling.place = Place(table.name, owner)
        self._rescaling.note(needed, largest)

    def _first(self, table: Table, found: Sequence[Column[Any]]) -> str:
        """Return the first who has an amount that does not fit."""
        factor = self._rescaling.factor
        if self._rescaling.raises:
            wrong = [func.abs(column) > UNITS_MAX // factor for column in found]
        else:
            wrong = [column % factor != 0 for column in found if not _is_high(column)]
        one = select(table.c.internal_id).where(*self._rows_of(table), or_(*wrong))
        found_one = self._connection.scalars(one.order_by(table.c.internal_id).limit(1)).first()
        return str(found_one or "")

    def rewrite(self, text: _Text) -> None:
        """Rescale the texts of a column."""
        column, table = text.column, text.table
        keys = list(table.primary_key)
        matched = [bindparam(f"key_{at}") == key for at, key in enumerate(keys)]
        write = update(table).where(*matched).values({column: bindparam("changed")})
        page = (
            select(*keys, column)
            .where(self._of_environment(table), text.where(self._feature_id))
            .order_by(*keys)
            .limit(PAGE)
        )
        rows = self._connection.execute(page).all()
        while rows:
            changes = [self._changed(text, keys, row) for row in rows]
            if news := [one for one in changes if one]:
                self._connection.execute(write, news)
            after = tuple_(*keys) > tuple(rows[-1][:-1])
            rows = self._connection.execute(page.where(after)).all()

    def _changed(
        self, text: _Text, keys: Sequence[Column[Any]], row: Row[*tuple[Any, ...]]
    ) -> dict[str, Any]:
        *values, before = row
        of = dict(zip((key.name for key in keys), values, strict=True))
        self._rescaling.place = Place(text.table.name, of.get("internal_id", ""))
        after = text.change(self._rescaling, before)
        if after == before:
            return {}
        return {f"key_{at}": value for at, value in enumerate(values)} | {"changed": after}

    def look_at_sums(self) -> None:
        """Note a customer that holds too much together: scripts add up what its entities have."""
        if not self._rescaling.raises:
            return
        entities = (
            select(Entity.internal_id, Entity.feature_id, func.count().label("number"))
            .where(Entity.env == self._env, Entity.deleted_at.is_(None))
            .group_by(Entity.internal_id, Entity.feature_id)
            .subquery()
        )
        its_own = (entities.c.internal_id == Balance.internal_id) & (
            entities.c.feature_id == Balance.entity_feature
        )
        is_each = Balance.kind == Kind.PER_ENTITY.value
        copies = case(
            (is_each & (entities.c.number > ENTITIES_SURE), entities.c.number),
            (is_each, ENTITIES_SURE),
            else_=1,
        )
        # Floats count exactly as far as this range goes, and no further is asked.
        granted = func.sum(cast(Balance.granted, Double) * copies)
        used = func.sum(cast(func.abs(Balance.used), Double))
        most = UNITS_MAX // self._rescaling.factor
        beyond = (
            select(Balance.internal_id)
            .outerjoin(entities, its_own)
            .where(*self._rows_of(_BALANCES), Balance.ended_at.is_(None))
            .group_by(Balance.internal_id)
            .having(or_(granted > most, used > most))
            .order_by(Balance.internal_id)
            .limit(1)
        )
        for internal_id in self._connection.scalars(beyond):
            self._rescaling.place = Place("the sum of the balances", internal_id)
            self._rescaling.note(0, UNITS_MAX)

    def multiply(self, table: Table) -> None:
        """Rescale the numbers of a table."""
        values: dict[Column[Any], ColumnElement[Any]] = {}
        for column in _amounts(table):
            if not _is_part(column):
                values[column] = self._scaled(column)
            elif _is_high(column):
                low = table.c[f"{column.name.removesuffix('_high')}_low"]
                values[column], values[low] = self._scaled_sum(column, low)
        if values:
            self._connection.execute(update(table).where(*self._rows_of(table)).values(values))

    def _scaled(self, number: ColumnElement[Any]) -> ColumnElement[Any]:
        rescaling = self._rescaling
        scaled: ColumnElement[Any]
        scaled = number * rescaling.factor if rescaling.raises else number // rescaling.factor
        return scaled

    def _scaled_sum(
        self, high: Column[Any], low: Column[Any]
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return both parts of a sum; the lower one may have passed ``PART``."""
        factor = self._rescaling.factor
        whole, rest = high + low // PART, low % PART
        if self._rescaling.raises:
            return whole * factor + rest * factor // PART, rest * factor % PART
        left = (whole % factor + factor) % factor  # that of a negative number is negative
        return (whole - left) // factor, (left * PART + rest) // factor

    def _rows_of(self, table: Table) -> list[_Condition]:
        return [self._of_environment(table), table.c.feature_id == self._feature_id]

    def _of_environment(self, table: Table) -> _Condition:
        if "env" in table.c:
            return table.c.env == self._env
        ours = select(Customer.internal_id).where(Customer.env == self._env)
        return table.c.internal_id.in_(ours)

    def name_of(self, internal_id: str) -> str:
        """Return the id of a customer."""
        named = select(Customer.id).where(Customer.internal_id == internal_id)
        return str(self._connection.scalars(named).first() or internal_id)


def _amounts(table: Table) -> list[Column[Any]]:
    numbers = {Amounts.ONE, Amounts.PART}
    return [column for column in table.c if column.info.get(AMOUNTS) in numbers]


def _is_part(column: Column[Any]) -> bool:
    return column.info[AMOUNTS] is Amounts.PART


def _is_high(column: Column[Any]) -> bool:
    return _is_part(column) and column.name.endswith("_high")


def _places(column: Column[Any], precision: int) -> ColumnElement[Any]:
    """Return the decimal places that an amount needs."""
    whens = [(column % 10 ** (at + 1) != 0, precision - at) for at in range(precision)]
    return case(*whens, else_=0) if whens else literal(0)
