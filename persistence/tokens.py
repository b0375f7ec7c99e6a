"""Tokens of customers in SQL: the secret that signs, whose were revoked, and each rotation.

Nothing is written of a mint, and nothing is asked of a call whose token was seen before, so what is
here costs only who refreshes and who revokes. Revocations are numbered in the order they are
committed in: each locks the one row of ``token_signing`` first. It must never log a secret.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from gateway.tokens import REFRESH_SECONDS, Revoked, Standing, Token
from persistence.database import Store, in_thread, read_transaction, write_transaction
from persistence.dialects import INSERTS
from persistence.models import TokenEpoch, TokenFamily, TokenSigning, table_of

_SIGNING = table_of(TokenSigning)
_EPOCHS = table_of(TokenEpoch)
_FAMILIES = table_of(TokenFamily)

_ONLY = 1
"""The id of the one row."""

CLEARED_MAX = 100
"""Families that have ended and are removed by one rotation, which adds at most one."""


class SqlTokens(Store):
    """``gateway.tokens.TokenStore`` on SQL."""

    @in_thread
    def secret(self) -> str | None:
        """Return what tokens are signed with; None before the first mint."""
        with read_transaction(self.engine) as connection:
            return connection.scalars(select(TokenSigning.secret)).first()

    @in_thread
    def keep_secret(self, secret: str) -> str:
        """Keep a secret unless there is one, and return the one that is kept."""
        with write_transaction(self.engine) as connection:
            addition = INSERTS[connection.dialect.name](_SIGNING).on_conflict_do_nothing()
            connection.execute(addition, {"id": _ONLY, "secret": secret, "revocations": 0})
            return connection.scalars(select(TokenSigning.secret)).one()

    @in_thread
    def standing(self, env: str, customer_id: str) -> Standing:
        """Return how a customer stands, from one snapshot."""
        with read_transaction(self.engine) as connection:
            revocations = connection.scalars(select(TokenSigning.revocations)).first()
            return Standing(_epoch(connection, env, customer_id), revocations or 0)

    @in_thread
    def rotate(self, env: str, token: Token, now_ms: int) -> int | None:
        """Return the generation that follows a refresh token; see the protocol for None."""
        with write_transaction(self.engine) as connection:
            if token.epoch != _epoch(connection, env, token.customer_id):
                return None
            _clear(connection, now_ms)
            following = token.generation + 1
            # The first rotation makes the row; each locks it: two at once follow each other.
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

    @in_thread
    def revoke(self, env: str, customer_id: str) -> None:
        """End all tokens of a customer; before the first mint nobody has any."""
        with write_transaction(self.engine) as connection:
            _raise_epoch(connection, env, customer_id)

    @in_thread
    def revoked_since(self, revocations: int, limit: int) -> Revoked:
        """Return whose tokens were revoked after so many revocations, at most ``limit`` of them."""
        newer = (
            select(TokenEpoch.env, TokenEpoch.customer_id)
            .where(TokenEpoch.number > revocations)
            .order_by(TokenEpoch.number)
            .limit(limit)
        )
        with read_transaction(self.engine) as connection:
            count = connection.scalars(select(TokenSigning.revocations)).first()
            if not count or count <= revocations:
                return Revoked(revocations, [])
            rows = connection.execute(newer).all()
            return Revoked(count, [(env, customer_id) for env, customer_id in rows])


def _epoch(connection: Connection, env: str, customer_id: str) -> int:
    epochs = select(TokenEpoch.epoch).where(
        TokenEpoch.env == env, TokenEpoch.customer_id == customer_id
    )
    return connection.scalars(epochs).first() or 0


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
