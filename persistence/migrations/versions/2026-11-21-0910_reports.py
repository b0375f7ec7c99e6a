"""The views admins read.

The views hold nothing: a migration that changes a table under them, or a view, drops them first
and makes its own. On SQLite exact amounts are text, for it has no decimals; the columns that end in
``_units`` are integers to sort and add up by.
"""

# ruff: noqa: S608 - every word of the SQL stands in this file

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "reports"
down_revision = "first_tables"
branch_labels = None
depends_on = None

_PART = 1_000_000_000
_DAY_MS = 86_400_000
_LAST_MS = 253_402_300_799_999
_SUMS = ("events", "requested_high", "requested_low", "applied_high", "applied_low")


class _Postgres:
    """The words of PostgreSQL."""

    wall_ms = "(extract(epoch FROM now()) * 1000)::bigint"
    today = "(now() AT TIME ZONE 'UTC')::date"
    month = f"{today} - 30"
    most = "greatest"
    keeps_overage = "strpos(split_part(b.line, chr(9), 4), 'k') > 0"

    def amount(self, units: str) -> str:
        # A division would round to 16 digits; a product is exact.
        return f"trim_scale(({units}) * ('1e-' || precision)::numeric)"

    def sum_of(self, name: str) -> str:
        return self.amount(self.units_of(name))

    def units_of(self, name: str) -> str:
        return f"({name}_high::numeric * {_PART} + {name}_low)"

    def day(self, at_ms: str) -> str:
        return f"(DATE '1970-01-01' + (least({at_ms}, {_LAST_MS}) / {_DAY_MS})::int)"

    def moment(self, at_ms: str) -> str:
        seconds = f"least({at_ms}, {_LAST_MS}) / 1000"
        return f"CASE WHEN {at_ms} > 0 THEN to_timestamp({seconds}) AT TIME ZONE 'UTC' END"

    def id_ms(self, stream_id: str) -> str:
        return f"split_part({stream_id}, '-', 1)::bigint"

    def seats(self, created: str, deleted: str) -> str:
        # One customer after the other, so that a page of them costs a page.
        own = "AND e.internal_id = c.internal_id"
        return f"""
            SELECT c.env, c.id AS customer_id, feature_id, day, created, deleted, seats,
                c.internal_id
            FROM customers c CROSS JOIN LATERAL (
                SELECT feature_id, day, sum(created) AS created, sum(deleted) AS deleted,
                    sum(sum(created) - sum(deleted)) OVER (
                        PARTITION BY feature_id ORDER BY day) AS seats
                FROM ({created} {own} UNION ALL {deleted} {own}) changes
                GROUP BY feature_id, day
            ) counted"""


class _Sqlite:
    """The words of SQLite."""

    wall_ms = "(CAST(strftime('%s', 'now') AS INTEGER) * 1000)"
    month = "date('now', '-30 days')"
    most = "max"
    keeps_overage = (
        "instr(substr(b.line, length(b.id || b.kind || b.granted) + 4, "
        "instr(substr(b.line, length(b.id || b.kind || b.granted) + 4), char(9))), 'k') > 0"
    )

    def amount(self, units: str) -> str:
        return self._decimal(f"({units}) < 0", f"abs({units}) / {_PART}", f"abs({units}) % {_PART}")

    def sum_of(self, name: str) -> str:
        # low / _PART is carried over; of a negative sum the rest counts down from the next part.
        high, low = f"({name}_high + {name}_low / {_PART})", f"({name}_low % {_PART})"
        whole = f"CASE WHEN {high} < 0 THEN -{high} - ({low} > 0) ELSE {high} END"
        rest = f"CASE WHEN {high} < 0 THEN ({_PART} - {low}) % {_PART} ELSE {low} END"
        return self._decimal(f"{high} < 0", whole, rest)

    def _decimal(self, is_negative: str, high: str, low: str) -> str:
        digits = f"printf('%d%09d', {high}, {low})"
        whole = f"ltrim(substr({digits}, 1, length({digits}) - precision), '0')"
        places = f"rtrim(substr({digits}, -precision, precision), '0')"
        return (  # without a feature there is no precision, and no amount
            "CASE WHEN precision IS NOT NULL THEN "
            f"CASE WHEN {is_negative} THEN '-' ELSE '' END || coalesce(nullif({whole}, ''), '0')"
            f" || CASE WHEN precision > 0 AND {places} <> '' THEN '.' || {places} ELSE '' END END"
        )

    def units_of(self, name: str) -> str:
        return f"({name}_high * {_PART} + {name}_low)"

    def day(self, at_ms: str) -> str:
        return f"date(min({at_ms}, {_LAST_MS}) / 1000, 'unixepoch')"

    def moment(self, at_ms: str) -> str:
        seconds = f"min({at_ms}, {_LAST_MS}) / 1000"
        return f"CASE WHEN {at_ms} > 0 THEN datetime({seconds}, 'unixepoch') END"

    def id_ms(self, stream_id: str) -> str:
        return f"CAST({stream_id} AS INTEGER)"  # reads as far as the digits go

    def seats(self, created: str, deleted: str) -> str:
        return f"""
            SELECT c.env, c.id AS customer_id, feature_id, day, created, deleted, seats,
                c.internal_id
            FROM (
                SELECT internal_id, feature_id, day, sum(created) AS created,
                    sum(deleted) AS deleted,
                    sum(sum(created) - sum(deleted)) OVER (
                        PARTITION BY internal_id, feature_id ORDER BY day) AS seats
                FROM ({created} UNION ALL {deleted}) changes
                GROUP BY internal_id, feature_id, day
            ) counted JOIN customers c ON c.internal_id = counted.internal_id"""


_Sql = _Postgres | _Sqlite


def _balances(sql: _Sql) -> str:
    shown = {
        "granted": "granted_units",
        "used": "used_units",
        "remaining": "remaining_units",
        "overage": "overage_units",
    }
    amounts = ", ".join(
        f"CASE WHEN {units} IS NOT NULL THEN {sql.amount(units)} END AS {name}"
        for name, units in shown.items()
    )
    now = f"({sql.wall_ms} + CASE c.env WHEN 'sandbox' THEN r.clock_offset_ms ELSE 0 END)"
    used = "CASE WHEN b.kind = 'p' THEN coalesce(s.used, 0) ELSE b.used END"
    return f"""
        SELECT env, customer_id, entity_id, feature_id, balance_id, plan_id, {amounts}, unlimited,
            {sql.moment("due_ms")} AS resets_at, {sql.moment("expires_ms")} AS expires_at,
            reset_due, granted_units, used_units, remaining_units, overage_units
        FROM (
            SELECT t.*,
                CASE WHEN limited THEN {sql.most}(granted_units - used_units, 0) END
                    AS remaining_units,
                CASE WHEN limited THEN {sql.most}(used_units - granted_units, 0) END
                    AS overage_units
            FROM (
                SELECT env, customer_id, entity_id, feature_id, balance_id, plan_id, unlimited,
                    due_ms, expires_ms, reset_due, precision,
                    counted AND NOT unlimited AS limited,
                    CASE WHEN counted AND NOT unlimited THEN granted END AS granted_units,
                    CASE WHEN NOT counted THEN NULL WHEN NOT reset_due THEN used
                        WHEN keeps THEN {sql.most}(used - granted, 0) ELSE 0 END AS used_units
                FROM (
                    SELECT c.env, c.id AS customer_id,
                        nullif(coalesce(e.entity_id, b.entity_id), '') AS entity_id,
                        b.feature_id, b.id AS balance_id, b.plan_id, b.unlimited, b.due_ms,
                        b.expires_ms, b.granted, {used} AS used, b.kind <> 'b' AS counted,
                        b.due_ms > 0 AND b.due_ms <= {now} AS reset_due,
                        {sql.keeps_overage} AS keeps, f.precision
                    FROM customers c
                    CROSS JOIN catalog_revision r
                    JOIN balances b ON b.internal_id = c.internal_id AND b.ended_at IS NULL
                    LEFT JOIN features f ON f.env = c.env AND f.id = b.feature_id
                    LEFT JOIN entities e ON b.kind = 'p' AND e.internal_id = b.internal_id
                        AND e.feature_id = b.entity_feature AND e.deleted_at IS NULL
                    LEFT JOIN slots s ON s.internal_id = b.internal_id
                        AND s.entity_id = e.entity_id AND s.balance_id = b.id
                        AND s.period = b.period
                    WHERE c.deleted_at IS NULL AND (b.kind <> 'p' OR e.entity_id IS NOT NULL)
                        AND (b.expires_ms = 0 OR b.expires_ms > {now})
                ) held
            ) t
        ) n"""


def _overage(sql: _Sql) -> str:
    # Not from report_balances, which has to look at every slot and entity there is.
    now = f"({sql.wall_ms} + CASE c.env WHEN 'sandbox' THEN r.clock_offset_ms ELSE 0 END)"
    slots = "JOIN slots s ON s.internal_id = b.internal_id AND s.balance_id = b.id"
    kinds = (
        ("nullif(b.entity_id, '')", "b.used", "", "b.kind <> 'p'"),
        ("s.entity_id", "s.used", f"{slots} AND s.period = b.period", "b.kind = 'p'"),
    )
    over = " UNION ALL ".join(
        f"""
            SELECT c.env, c.id AS customer_id, {entity_id} AS entity_id, b.feature_id,
                b.id AS balance_id, b.plan_id, b.granted, b.due_ms, f.precision,
                CASE WHEN b.due_ms > 0 AND b.due_ms <= {now} THEN {used} - b.granted
                    ELSE {used} END AS used
            FROM customers c CROSS JOIN catalog_revision r
            JOIN balances b ON b.internal_id = c.internal_id AND b.ended_at IS NULL {joined}
            LEFT JOIN features f ON f.env = c.env AND f.id = b.feature_id
            WHERE c.deleted_at IS NULL AND {kind} AND NOT b.unlimited AND {used} > b.granted
                AND (b.expires_ms = 0 OR b.expires_ms > {now})
                AND (b.due_ms = 0 OR b.due_ms > {now} OR {sql.keeps_overage})"""
        for entity_id, used, joined, kind in kinds
    )
    return f"""
        SELECT env, customer_id, entity_id, feature_id, balance_id, plan_id,
            {sql.amount("granted")} AS granted, {sql.amount("used")} AS used,
            {sql.amount("used - granted")} AS overage, {sql.moment("due_ms")} AS resets_at,
            used - granted AS overage_units
        FROM ({over}
        ) held WHERE used > granted"""


def _usage(sql: _Sql) -> str:
    return f"""
        SELECT u.env, customer_id, nullif(entity_id, '') AS entity_id, feature_id, day, events,
            {sql.sum_of("applied")} AS used, {sql.sum_of("requested")} AS requested,
            {sql.units_of("applied")} AS used_units,
            {sql.units_of("requested")} AS requested_units, internal_id
        FROM usage_daily u LEFT JOIN features f ON f.env = u.env AND f.id = u.feature_id"""


def _top_consumers(sql: _Sql) -> str:
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    return f"""
        SELECT env, feature_id, place, customer_id, events, {sql.sum_of("applied")} AS used,
            {sql.sum_of("requested")} AS requested, {sql.units_of("applied")} AS used_units
        FROM (
            SELECT t.*, f.precision, row_number() OVER (
                PARTITION BY t.env, t.feature_id
                ORDER BY {sql.units_of("applied")} DESC, customer_id) AS place
            FROM (
                SELECT env, feature_id, customer_id, {sums}
                FROM usage_daily_totals WHERE day > {sql.month}
                GROUP BY env, feature_id, customer_id
            ) t LEFT JOIN features f ON f.env = t.env AND f.id = t.feature_id
        ) ranked"""


def _seats(sql: _Sql) -> str:
    return sql.seats(
        f"SELECT e.internal_id, e.feature_id, {sql.day('e.created_at')} AS day, 1 AS created, "
        "0 AS deleted FROM entities e WHERE true",
        f"SELECT e.internal_id, e.feature_id, {sql.day('e.deleted_at')}, 0, 1 "
        "FROM entities e WHERE e.deleted_at IS NOT NULL",
    )


def _denials(_: _Sql) -> str:
    return "SELECT env, customer_id, feature_id, day, operation, denied FROM denials_daily"


def _locks(sql: _Sql) -> str:
    return f"""
        SELECT c.env, c.id AS customer_id, nullif(k.entity_id, '') AS entity_id, k.feature_id,
            k.lock_id, {sql.amount("k.units")} AS held, {sql.moment("k.created_at")} AS locked_at,
            {sql.moment("k.expires_at")} AS expires_at, k.units AS held_units
        FROM locks k JOIN customers c ON c.internal_id = k.internal_id
        LEFT JOIN features f ON f.env = c.env AND f.id = k.feature_id
        WHERE k.ended_at IS NULL"""


def _writer(sql: _Sql) -> str:
    seen, at = sql.id_ms("seen_id"), sql.id_ms("stream_id")
    return f"""
        SELECT partition, owner, epoch, applied, {sql.moment(at)} AS applied_until,
            round({sql.most}({seen} - {at}, 0) / 1000.0, 3) AS behind_seconds,
            {sql.moment("updated_at_ms")} AS moved_at, (
                SELECT count(*) FROM dead_letters d WHERE d.partition = k.partition
            ) AS dead_letters, stream_id, seen_id
        FROM cursors k"""


def _incidents(sql: _Sql) -> str:
    return f"""
        SELECT id, kind, partition, {sql.moment("at_ms")} AS began_at,
            {sql.moment("ended_at")} AS ended_at, lost, reseeded,
            {sql.moment(sql.id_ms("from_id"))} AS window_from,
            {sql.moment(sql.id_ms("to_id"))} AS window_until, detail, from_id, to_id
        FROM incidents"""


def _versions(_: _Sql) -> str:
    return " UNION ALL ".join(f"SELECT '{view}' AS view, 1 AS version" for view in _VIEWS)


_VIEWS = {
    "report_balances": _balances,
    "report_overage": _overage,
    "report_usage": _usage,
    "report_top_consumers": _top_consumers,
    "report_seats": _seats,
    "report_denials": _denials,
    "report_locks": _locks,
    "report_writer": _writer,
    "report_incidents": _incidents,
    "report_versions": _versions,
}


def upgrade() -> None:
    """Make the views."""
    sql: _Sql = _Sqlite() if op.get_context().dialect.name == "sqlite" else _Postgres()
    for name, body in _VIEWS.items():
        op.execute(sa.text(f"CREATE VIEW {name} AS {body(sql)}".replace(":", r"\:")))


def downgrade() -> None:
    """Remove them."""
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {name}")
