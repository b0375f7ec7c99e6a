"""Features, plans and API keys in SQL: the catalog is written here first, then read by everybody.

Each write raises the revision in its own transaction, which is how other processes learn that
there is something to read. Of a secret only the SHA-256 is kept; it is never logged and never read
back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    and_,
    delete,
    exc,
    exists,
    func,
    insert,
    select,
    update,
)

from gateway.errors import FeatureExistsError, InvalidRequestError, PlanExistsError
from gateway.ids import new_id
from gateway.ports import CatalogImage, Clock, FeatureRecord, KeyRecord, PlanRecord
from persistence.database import Database, read_transaction, write_transaction
from persistence.models import ApiKey, CatalogRevision, Feature, Plan

_PREFIX_CHARACTERS = 14
"""Enough to tell keys apart, too few to guess one."""


class KeyInfo(NamedTuple):
    """A key as people may see it."""

    id: str
    env: str
    name: str
    prefix: str
    created_at: int
    revoked_at: int | None


class SqlCatalog:
    """``gateway.ports.CatalogStore`` on SQL, and the keys for the command line."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def revision(self) -> int:
        """Return the current revision."""
        return await self._database.run(_revision)

    async def load(self) -> CatalogImage:
        """Return everything, from one snapshot."""
        return await self._database.run(_load)

    async def create_feature(self, feature: FeatureRecord) -> None:
        """Insert a feature. Raises ``FeatureExistsError``."""
        await self._write(partial(_create_feature, feature))

    async def update_feature(
        self, feature_id: str, expected_precision: int, feature: FeatureRecord
    ) -> bool:
        """Replace a feature (its id too); False if precision or ``in_use`` changed meanwhile.

        ``in_use`` itself is expected, not written: only ``use_feature`` sets it.
        """
        return await self._write(partial(_update_feature, feature_id, expected_precision, feature))

    async def use_feature(self, env: str, feature_id: str, precision: int) -> bool:
        """Mark a feature as used with this precision; False if the precision changed meanwhile."""
        if await self._write(partial(_use_feature, env, feature_id, precision)):
            return True
        return await self._database.run(partial(_is_used, env, feature_id, precision))

    async def delete_feature(self, env: str, feature_id: str) -> None:
        """Delete a feature."""
        await self._write(partial(_delete_feature, env, feature_id))

    async def create_plan(self, plan: PlanRecord, precisions: dict[str, int]) -> bool:
        """Insert a plan and lower the precision of unused features in one transaction.

        Returns False when one of the features is used by now. Raises ``PlanExistsError``.
        """
        return await self._write(partial(_create_plan, plan, precisions))

    async def replace_plans(self, plans: list[PlanRecord]) -> None:
        """Overwrite documents of existing plans (a feature was renamed)."""
        await self._write(partial(_replace_plans, plans))

    async def create_key(self, env: str, name: str, secret: str) -> KeyInfo:
        """Keep the digest of a secret. Raises ``InvalidRequestError`` for one that is known."""
        key = KeyInfo(
            id=new_id("key"),
            env=env,
            name=name,
            prefix=secret[:_PREFIX_CHARACTERS],
            created_at=self._clock.now_ms(),
            revoked_at=None,
        )
        digest = hashlib.sha256(secret.encode()).hexdigest()
        await self._write(partial(_create_key, key, digest))
        return key

    async def list_keys(self) -> list[KeyInfo]:
        """Return every key, revoked ones included, oldest first."""
        return await self._database.run(_list_keys)

    async def revoke_key(self, key_id: str) -> bool:
        """End a key for good; False when there is no such live key."""
        return await self._write(partial(_revoke_key, key_id, self._clock.now_ms()))

    async def has_keys(self) -> bool:
        """Return whether any key is live."""
        return await self._database.run(_has_keys)

    async def _write(self, change: Callable[[Connection], bool]) -> bool:
        return await self._database.run(partial(_commit, change))


def _commit(change: Callable[[Connection], bool], engine: Engine) -> bool:
    """Run a change and raise the revision; a change that answers False leaves no trace."""
    with write_transaction(engine) as connection:
        if not change(connection):
            connection.rollback()
            return False
        connection.execute(update(CatalogRevision).values(revision=CatalogRevision.revision + 1))
        return True


def _touched(result: CursorResult[Any]) -> bool:
    return result.rowcount > 0


def _revision(engine: Engine) -> int:
    with read_transaction(engine) as connection:
        return connection.scalars(select(CatalogRevision.revision)).one()


def _load(engine: Engine) -> CatalogImage:
    with read_transaction(engine) as connection:
        return CatalogImage(
            revision=connection.scalars(select(CatalogRevision.revision)).one(),
            features=_load_features(connection),
            plans=_load_plans(connection),
            keys=_load_keys(connection),
        )


def _load_features(connection: Connection) -> list[FeatureRecord]:
    names = FeatureRecord.__struct_fields__
    columns = [getattr(Feature, name) for name in names]
    rows = connection.execute(
        select(*columns).order_by(Feature.env, Feature.created_at, Feature.id)
    )
    return [
        FeatureRecord(**row | {"event_names": tuple(row["event_names"])})
        for row in map(dict, rows.mappings())
    ]


def _load_plans(connection: Connection) -> list[PlanRecord]:
    latest = (
        select(Plan.env, Plan.id, func.max(Plan.version).label("version"))
        .group_by(Plan.env, Plan.id)
        .subquery()
    )
    same = and_(Plan.env == latest.c.env, Plan.id == latest.c.id, Plan.version == latest.c.version)
    columns = [
        Plan.plan_group.label("group") if name == "group" else getattr(Plan, name)
        for name in PlanRecord.__struct_fields__
    ]
    statement = select(*columns).join(latest, same).order_by(Plan.env, Plan.created_at, Plan.id)
    return [PlanRecord(**row) for row in connection.execute(statement).mappings()]


def _load_keys(connection: Connection) -> list[KeyRecord]:
    live = select(ApiKey.id, ApiKey.env, ApiKey.digest).where(ApiKey.revoked_at.is_(None))
    return [KeyRecord(*row) for row in connection.execute(live.order_by(ApiKey.id))]


def _feature_values(feature: FeatureRecord) -> dict[str, Any]:
    return {
        "env": feature.env,
        "id": feature.id,
        "name": feature.name,
        "type": feature.type,
        "consumable": feature.consumable,
        "precision": feature.precision,
        "scale": 10**feature.precision,
        "archived": feature.archived,
        "event_names": list(feature.event_names),
        "document": feature.document,
        "created_at": feature.created_at,
    }


def _create_feature(feature: FeatureRecord, connection: Connection) -> bool:
    values = _feature_values(feature) | {"in_use": feature.in_use}
    try:
        connection.execute(insert(Feature).values(values))
    except exc.IntegrityError as error:
        raise FeatureExistsError from error
    return True


def _update_feature(
    feature_id: str, expected_precision: int, feature: FeatureRecord, connection: Connection
) -> bool:
    statement = (
        update(Feature)
        .where(
            Feature.env == feature.env,
            Feature.id == feature_id,
            Feature.precision == expected_precision,
            Feature.in_use.is_(feature.in_use),
        )
        .values(_feature_values(feature))
    )
    try:
        return _touched(connection.execute(statement))
    except exc.IntegrityError as error:
        raise FeatureExistsError from error


def _use_feature(env: str, feature_id: str, precision: int, connection: Connection) -> bool:
    statement = (
        update(Feature)
        .where(*_same_feature(env, feature_id, precision), Feature.in_use.is_(False))
        .values(in_use=True)
    )
    return _touched(connection.execute(statement))


def _is_used(env: str, feature_id: str, precision: int, engine: Engine) -> bool:
    used = exists().where(*_same_feature(env, feature_id, precision), Feature.in_use.is_(True))
    with read_transaction(engine) as connection:
        return bool(connection.scalars(select(used)).one())


def _same_feature(env: str, feature_id: str, precision: int) -> list[ColumnElement[bool]]:
    return [Feature.env == env, Feature.id == feature_id, Feature.precision == precision]


def _delete_feature(env: str, feature_id: str, connection: Connection) -> bool:
    statement = delete(Feature).where(Feature.env == env, Feature.id == feature_id)
    return _touched(connection.execute(statement))


def _create_plan(plan: PlanRecord, precisions: dict[str, int], connection: Connection) -> bool:
    for feature_id, precision in sorted(precisions.items()):
        statement = (
            update(Feature)
            .where(Feature.env == plan.env, Feature.id == feature_id, Feature.in_use.is_(False))
            .values(precision=precision, scale=10**precision)
        )
        if not _touched(connection.execute(statement)):
            return False
    try:
        connection.execute(insert(Plan).values(_plan_values(plan)))
    except exc.IntegrityError as error:
        raise PlanExistsError from error
    return True


def _plan_values(plan: PlanRecord) -> dict[str, Any]:
    return {
        "env": plan.env,
        "id": plan.id,
        "version": plan.version,
        "plan_group": plan.group,
        "add_on": plan.add_on,
        "auto_enable": plan.auto_enable,
        "archived": plan.archived,
        "document": plan.document,
        "created_at": plan.created_at,
    }


def _replace_plans(plans: Iterable[PlanRecord], connection: Connection) -> bool:
    for plan in plans:
        key = and_(Plan.env == plan.env, Plan.id == plan.id, Plan.version == plan.version)
        connection.execute(update(Plan).where(key).values(_plan_values(plan)))
    return True


def _create_key(key: KeyInfo, digest: str, connection: Connection) -> bool:
    try:
        connection.execute(insert(ApiKey).values({**key._asdict(), "digest": digest}))
    except exc.IntegrityError as error:
        raise InvalidRequestError("this secret key is known already") from error
    return True


def _list_keys(engine: Engine) -> list[KeyInfo]:
    columns = [getattr(ApiKey, name) for name in KeyInfo._fields]
    statement = select(*columns).order_by(ApiKey.created_at, ApiKey.id)
    with read_transaction(engine) as connection:
        return [KeyInfo(*row) for row in connection.execute(statement)]


def _revoke_key(key_id: str, now_ms: int, connection: Connection) -> bool:
    live = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    return _touched(connection.execute(live.values(revoked_at=now_ms)))


def _has_keys(engine: Engine) -> bool:
    live = select(exists().where(ApiKey.revoked_at.is_(None)))
    with read_transaction(engine) as connection:
        return connection.scalars(live).one()
