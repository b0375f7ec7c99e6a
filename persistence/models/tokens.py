"""The tables of customers' tokens; the tokens themselves are kept nowhere. Writer: ``tokens``."""

from __future__ import annotations

from sqlalchemy import Index

from persistence.models.base import Base, Field, column


class TokenSigning(Base):
    """One row, made by the first mint. The secret signs, so it is readable: whoever reads this
    table can sign too. ``revocations`` counts them all.
    """

    __tablename__ = "token_signing"

    id: Field[int] = column(primary_key=True, autoincrement=False)
    secret: Field[str]
    revocations: Field[int]


class TokenEpoch(Base):
    """A customer whose tokens were revoked: those of an older epoch are void. ``number`` is that of
    the latest revocation among all.
    """

    __tablename__ = "token_epochs"

    env: Field[str] = column(primary_key=True)
    customer_id: Field[str] = column(primary_key=True)
    epoch: Field[int]
    number: Field[int]

    __table_args__ = (Index("ix_token_epochs_number", "number"),)


class TokenFamily(Base):
    """How often the refresh token of a mint was rotated, from the first time on; gone some time
    after ``expires_at``, when the last of them has ended.
    """

    __tablename__ = "token_families"

    id: Field[str] = column(primary_key=True)
    generation: Field[int]
    expires_at: Field[int]

    __table_args__ = (Index("ix_token_families_expires", "expires_at"),)
