"""Features, plans, API keys and the sandbox's clock in SQL: written here first, then read by all.

Each write raises the revision in its own transaction, which is how other processes learn that
there is something to read. A change of the catalog names the revision it was decided on and is
written only if nobody has written since. Of a secret only the SHA-256 is kept; it is never logged
and never read back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec.structs import asdict
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Engine,
    Insert,
    Update,
    delete,
    exc,
    exists,
    insert,
    select,
    update,
)

from gateway.api_keys import KeyRecord, digest_of
from gateway.errors import FeatureExistsError, InvalidRequestError, PlanExistsError
from gateway.ids import new_id
from gateway.ports import (
    CatalogChange,
    CatalogImage,
    FeatureRecord,
    Made,
    PlanRecord,
    WallClock,
)
from persistence.database import Database, Store, in_thread, read_transaction, write_transaction
from persistence.models import ApiKey, CatalogRevision, Feature, Plan
from persistence.questions import Question

_PREFIX_CHARACTERS = 14
"""Enough to tell keys apart, too few to guess one."""

_FEATURES = select(*(getattr(Feature, name) for name in FeatureRecord.__struct_fields__)).order_by(
    Feature.env, Feature.created_at, Feature.id
)
_PLANS = select(
    *(
        getattr(Plan, "plan_group" if name == "group" else name)
        for name in PlanRecord.__struct_fields__
    )
).order_by(Plan.env, Plan.id, Plan.version)

_REVISION = Question(select(CatalogRevision.revision))


class KeyInfo(NamedTuple):
    """A key as people may see it."""

    id: str
    env: str
    name: str
    prefix: str
    created_at: int
    revoked_at: int | None = None
    scopes: str = ""
    expires_at: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether it works."""
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)


class SqlCatalog(Store):
    """``gateway.ports.CatalogStore`` on SQL, and the keys for the command line."""

    def __init__(self, database: Database, clock: WallClock) -> None:
        super().__init__(database)
        self._clock = clock

    @in_thread
    def revision(self) -> int:
        """Return the current revision."""
        ((revision,),) = _REVISION.rows(self.engine)
        return int(revision)

    async def load(self) -> CatalogImage:
        """Return everything, from one snapshot."""
        return await self.load_as(lambda image: image)

    @in_thread
    def load_as(self, make: Callable[[CatalogImage], Made]) -> Made:
        """Return what is made of everything, in the thread that has read it."""
        return make(_load(self.engine))

    @in_thread
    def apply(self, change: CatalogChange) -> bool:
        """Write a change as a whole if its revision is still the current one.

        Returns False without a trace when it is not, or when something to replace or to delete is
        not there. Raises ``FeatureExistsError`` and ``PlanExistsError``.
        """
        return self._write(partial(_apply, change), revision=change.revision)

    @in_thread
    def use_feature(self, feature: FeatureRecord) -> bool:
        """Mark a feature as used; False if its precision or its kind changed meanwhile."""
        return self._write(partial(_use_feature, feature)) or _is_used(self.engine, feature)

    @in_thread
    def create_key(self, env: str, name: str, secret: str, scopes: Sequence[str] = ()) -> KeyInfo:
        """Keep the digest of a secret. Raises ``InvalidRequestError`` for one that is known."""
        key = KeyInfo(
            id=new_id("key"),
            env=env,
            name=name,
            prefix=secret[:_PREFIX_CHARACTERS],
            created_at=self._clock.now_ms(),
            scopes=" ".join(scopes),
        )
        self._write(partial(_create_key, key, digest_of(secret)))
        return key

    async def find_key(self, key_id: str) -> KeyInfo | None:
        """Return a key that works."""
        now_ms = self._clock.now_ms()
        live = (key for key in await self.list_keys() if key.is_live(now_ms))
        return next((key for key in live if key.id == key_id), None)

    @in_thread
    def rotate_key(self, old: KeyInfo, secret: str, expires_at: int) -> KeyInfo | None:
        """Keep a new secret in place of an old one, which works until then; None when it was
        revoked or rotated meanwhile.
        """
        new = old._replace(
            id=new_id("key"),
            prefix=secret[:_PREFIX_CHARACTERS],
            created_at=self._clock.now_ms(),
            expires_at=None,
        )
        done = self._write(partial(_rotate_key, old, expires_at, new, digest_of(secret)))
        return new if done else None

    @in_thread
    def list_keys(self) -> list[KeyInfo]:
        """Return every key, revoked ones included, oldest first."""
        columns = [getattr(ApiKey, name) for name in KeyInfo._fields]
        statement = select(*columns).order_by(ApiKey.created_at, ApiKey.id)
        with read_transaction(self.engine) as connection:
            return [KeyInfo(*row) for row in connection.execute(statement)]

    @in_thread
    def revoke_key(self, key_id: str) -> bool:
        """End a key for good; False when there is no such live key."""
        return self._write(partial(_revoke_key, key_id, self._clock.now_ms()))

    async def has_keys(self) -> bool:
        """Return whether any key works."""
        now_ms = self._clock.now_ms()
        return any(key.is_live(now_ms) for key in await self.list_keys())

    def _write(self, change: Callable[[Connection], bool], *, revision: int | None = None) -> bool:
        """Raise the revision, if it is the expected one, and run a change.

        A change that answers False leaves no trace. The revision comes first, so that writers queue
        at its row and never lock other rows against each other.
        """
        with write_transaction(self.engine) as connection:
            done = _raise_revision(connection, revision) and change(connection)
            if not done:
                connection.rollback()
            return done


def apply_within(connection: Connection, change: CatalogChange) -> bool:
    """Write a change as a part of a transaction; the caller rolls it back when this is False."""
    return _raise_revision(connection, change.revision) and _apply(change, connection)


def _raise_revision(connection: Connection, expected: int | None) -> bool:
    raised = update(CatalogRevision).values(revision=CatalogRevision.revision + 1)
    if expected is not None:
        raised = raised.where(CatalogRevision.revision == expected)
    return _touched(connection.execute(raised))


def _touched(result: CursorResult[Any]) -> bool:
    return result.rowcount > 0


def _load(engine: Engine) -> CatalogImage:
    with read_transaction(engine) as connection:
        columns = (CatalogRevision.revision, CatalogRevision.clock_offset_ms)
        revision, clock_offset_ms = connection.execute(select(*columns)).one()
        return CatalogImage(
            revision=revision,
            features=_load_features(connection),
            plans=_load_plans(connection),
            keys=_load_keys(connection),
            clock_offset_ms=clock_offset_ms,
        )


def _load_features(connection: Connection) -> list[FeatureRecord]:
    # Every process reads all of them after every change: by name they take four times as long.
    rows = connection.execute(_FEATURES).all()
    return [FeatureRecord(*(*columns, tuple(names))) for *columns, names in rows]


def _load_plans(connection: Connection) -> list[PlanRecord]:
    names = PlanRecord.__struct_fields__
    rows = connection.execute(_PLANS).all()
    return [PlanRecord(**dict(zip(names, row, strict=True))) for row in rows]


def _load_keys(connection: Connection) -> list[KeyRecord]:
    names = (ApiKey.id, ApiKey.env, ApiKey.digest, ApiKey.prefix, ApiKey.scopes, ApiKey.expires_at)
    live = select(*names).where(ApiKey.revoked_at.is_(None)).order_by(ApiKey.id)
    return [
        KeyRecord(key_id, env, digest, prefix, tuple(scopes.split()), expires_ms)
        for key_id, env, digest, prefix, scopes, expires_ms in connection.execute(live)
    ]


def _feature_values(feature: FeatureRecord) -> dict[str, Any]:
    derived = {"scale": 10**feature.precision, "event_names": list(feature.event_names)}
    return asdict(feature) | derived


def _use_feature(feature: FeatureRecord, connection: Connection) -> bool:
    unused = update(Feature).where(*_same_feature(feature), Feature.in_use.is_(False))
    statement = unused.values(in_use=True)
    return _touched(connection.execute(statement))


def _is_used(engine: Engine, feature: FeatureRecord) -> bool:
    used = exists().where(*_same_feature(feature), Feature.in_use.is_(True))
    with read_transaction(engine) as connection:
        return bool(connection.scalars(select(used)).one())


def _same_feature(feature: FeatureRecord) -> list[ColumnElement[bool]]:
    """Say which feature is meant, of the kind and the precision balances would be made with."""
    fixed = ("env", "id", "type", "consumable", "precision")
    return [getattr(Feature, name) == getattr(feature, name) for name in fixed]


def _plan_values(plan: PlanRecord) -> dict[str, Any]:
    values = asdict(plan)
    return values | {"plan_group": values.pop("group")}


def _apply(change: CatalogChange, connection: Connection) -> bool:
    return (
        _write_features(change, connection)
        and _write_plans(change, connection)
        and _move_clock(change, connection)
    )


def _move_clock(change: CatalogChange, connection: Connection) -> bool:
    if change.clock_offset_ms is None:
        return True
    behind = CatalogRevision.clock_offset_ms < change.clock_offset_ms
    moved = update(CatalogRevision).where(behind).values(clock_offset_ms=change.clock_offset_ms)
    return _touched(connection.execute(moved))


def _write_features(change: CatalogChange, connection: Connection) -> bool:
    # Deleted ones first: their ids are free for the others.
    statements: list[Delete | Update] = [
        delete(Feature).where(Feature.env == env, Feature.id == feature_id)
        for env, feature_id in change.deleted_features
    ]
    statements += [
        update(Feature)
        .where(Feature.env == feature.env, Feature.id == old_id)
        .values(_feature_values(feature))
        for old_id, feature in change.features
        if old_id is not None
    ]
    new = [_feature_values(feature) for old_id, feature in change.features if old_id is None]
    try:
        return _execute(connection, statements, insert(Feature), new)
    except exc.IntegrityError as error:
        raise FeatureExistsError from error


def _write_plans(change: CatalogChange, connection: Connection) -> bool:
    # Deleted ones first: their ids are free for the others.
    statements: list[Delete | Update] = [
        delete(Plan).where(*_same_plan(plan)) for plan in change.deleted_plans
    ]
    statements += [
        update(Plan).where(*_same_plan(plan)).values(_plan_values(plan))
        for plan in change.replaced_plans
    ]
    new = [_plan_values(plan) for plan in change.plans]
    try:
        return _execute(connection, statements, insert(Plan), new)
    except exc.IntegrityError as error:
        raise PlanExistsError from error


def _same_plan(plan: PlanRecord) -> list[ColumnElement[bool]]:
    return [Plan.env == plan.env, Plan.id == plan.id, Plan.version == plan.version]


def _execute(
    connection: Connection,
    statements: Sequence[Delete | Update],
    addition: Insert,
    rows: list[dict[str, Any]],
) -> bool:
    """Return False when one of the statements finds nothing to replace or to delete."""
    if not all(_touched(connection.execute(statement)) for statement in statements):
        return False
    if rows:
        connection.execute(addition, rows)
    return True


def _create_key(key: KeyInfo, digest: str, connection: Connection) -> bool:
    try:
        connection.execute(insert(ApiKey).values({**key._asdict(), "digest": digest}))
    except exc.IntegrityError as error:
        raise InvalidRequestError("this secret key is known already") from error
    return True


def _rotate_key(
    old: KeyInfo, expires_at: int, new: KeyInfo, digest: str, connection: Connection
) -> bool:
    live = update(ApiKey).where(
        ApiKey.id == old.id, ApiKey.revoked_at.is_(None), ApiKey.expires_at.is_(None)
    )
    ended = connection.execute(live.values(expires_at=expires_at))
    return _touched(ended) and _create_key(new, digest, connection)


def _revoke_key(key_id: str, now_ms: int, connection: Connection) -> bool:
    live = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    return _touched(connection.execute(live.values(revoked_at=now_ms)))
