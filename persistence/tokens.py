"""Tokens of customers in SQL: the secret that signs, whose were revoked, and each rotation.

Nothing is written of a mint, and nothing is asked of a call whose token was seen before, so what is
here costs only who refreshes and who revokes. Revocations are numbered in the order they are
committed in: each locks the one row of ``token_signing`` first. It must never log a secret.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, Engine, delete, select, update

from gateway.tokens import REFRESH_SECONDS, Revoked, Standing, Token
from persistence.database import Database, read_transaction, write_transaction
from persistence.dialects import INSERTS
from persistence.models import TokenEpoch, TokenFamily, TokenSigning, table_of

_SIGNING = table_of(TokenSigning)
_EPOCHS = table_of(TokenEpoch)
_FAMILIES = table_of(TokenFamily)

_ONLY = 1
"""The id of the one row."""

CLEARED_MAX = 100
"""Families that have ended and are removed by one rotation, which adds at most one."""


class SqlTokens:
    """``gateway.tokens.TokenStore`` on SQL."""

    def __init__(self, database: Database) -> None:
        self._run = database.run

    async def secret(self) -> str | None:
        """Return what tokens are signed with; None before the first mint."""
        return await self._run(_secret)

    async def keep_secret(self, secret: str) -> str:
        """Keep a secret unless there is one, and return the one that is kept."""
        return await self._run(partial(_keep_secret, secret))

    async def standing(self, env: str, customer_id: str) -> Standing:
        """Return how a customer stands, from one snapshot."""
        return await self._run(partial(_standing, env, customer_id))

    async def rotate(self, env: str, token: Token, now_ms: int) -> int | None:
        """Return the generation that follows a refresh token; see the protocol for None."""
        return await self._run(partial(_rotate, env, token, now_ms))

    async def revoke(self, env: str, customer_id: str) -> None:
        """End all tokens of a customer; before the first mint nobody has any."""
        await self._run(partial(_revoke, env, customer_id))

    async def revoked_since(self, revocations: int, limit: int) -> Revoked:
        """Return whose tokens were revoked after so many revocations, at most ``limit`` of them."""
        return await self._run(partial(_revoked_since, revocations, limit))


def _secret(engine: Engine) -> str | None:
    with read_transaction(engine) as connection:
        return connection.scalars(select(TokenSigning.secret)).first()


def _keep_secret(secret: str, engine: Engine) -> str:
    with write_transaction(engine) as connection:
        addition = INSERTS[connection.dialect.name](_SIGNING).on_conflict_do_nothing()
        connection.execute(addition, {"id": _ONLY, "secret": secret, "revocations": 0})
        return connection.scalars(select(TokenSigning.secret)).one()


def _standing(env: str, customer_id: str, engine: Engine) -> Standing:
    with read_transaction(engine) as connection:
        revocations = connection.scalars(select(TokenSigning.revocations)).first()
        return Standing(_epoch(connection, env, customer_id), revocations or 0)


def _epoch(connection: Connection, env: str, customer_id: str) -> int:
    epochs = select(TokenEpoch.epoch).where(
        TokenEpoch.env == env, TokenEpoch.customer_id == customer_id
    )
    return connection.scalars(epochs).first() or 0


def _rotate(env: str, token: Token, now_ms: int, engine: Engine) -> int | None:
    with write_transaction(engine) as connection:
        if token.epoch != _epoch(connection, env, token.customer_id):
            return None
        _clear(connection, now_ms)
        following = token.generation + 1
        # The first rotation makes the row; each locks it, so that two at once follow each other.
        insert = INSERTS[connection.dialect.name](_FAMILIES).on_conflict_do_nothing()
        connection.execute(insert, {"id": token.family, "generation": 0, "expires_at": 0})
        newest = (
            update(_FAMILIES)
            .where(TokenFamily.id == token.family, TokenFamily.generation <= following)
            .values(generation=following, expires_at=now_ms + REFRESH_SECONDS * 1_000)
        )
        if connection.execute(newest).rowcount:
            return following
        _raise_epoch(connection, env, token.customer_id)
        return None


def _clear(connection: Connection, now_ms: int) -> None:
    ended = (
        select(TokenFamily.id)
        .where(TokenFamily.expires_at <= now_ms)
        .order_by(TokenFamily.expires_at)
        .limit(CLEARED_MAX)
        .with_for_update(skip_locked=True)
    )
    ids = connection.scalars(ended).all()
    if ids:
        connection.execute(delete(_FAMILIES).where(TokenFamily.id.in_(ids)))


def _revoke(env: str, customer_id: str, engine: Engine) -> None:
    with write_transaction(engine) as connection:
        _raise_epoch(connection, env, customer_id)


def _raise_epoch(connection: Connection, env: str, customer_id: str) -> None:
    counted = (
        update(_SIGNING)
        .values(revocations=TokenSigning.revocations + 1)
        .returning(TokenSigning.revocations)
    )
    number = connection.scalars(counted).first()
    if number is None:
        return
    insert = INSERTS[connection.dialect.name](_EPOCHS)
    raised = insert.on_conflict_do_update(
        index_elements=[TokenEpoch.env, TokenEpoch.customer_id],
        set_={"epoch": TokenEpoch.epoch + 1, "number": number},
    )
    connection.execute(
        raised, {"env": env, "customer_id": customer_id, "epoch": 1, "number": number}
    )


def _revoked_since(revocations: int, limit: int, engine: Engine) -> Revoked:
    newer = (
        select(TokenEpoch.env, TokenEpoch.customer_id)
        .where(TokenEpoch.number > revocations)
        .order_by(TokenEpoch.number)
        .limit(limit)
    )
    with read_transaction(engine) as connection:
        count = connection.scalars(select(TokenSigning.revocations)).first()
        if not count or count <= revocations:
            return Revoked(revocations, [])
        rows = connection.execute(newer).all()
        return Revoked(count, [(env, customer_id) for env, customer_id in rows])
