"""The tables of the catalog and of the API keys. Writer: ``persistence.catalog``."""

from __future__ import annotations

from persistence.models.base import Base, Field, column


class CatalogRevision(Base):
    """One row whose number grows with every change of catalog, keys or clock. Writer: ``catalog``.

    ``clock_offset_ms`` is how far the sandbox's clock is ahead of the machine's.
    """

    __tablename__ = "catalog_revision"

    id: Field[int] = column(primary_key=True, autoincrement=False)
    revision: Field[int]
    clock_offset_ms: Field[int]


class ApiKey(Base):
    """A key, known by its SHA-256; ``prefix`` tells people which, and of what kind. No ``scopes``
    (parted by blanks) are all of them; ``expires_at`` is set when it is rotated. Writer:
    ``catalog``.
    """

    __tablename__ = "api_keys"

    id: Field[str] = column(primary_key=True)
    env: Field[str]
    name: Field[str]
    digest: Field[str] = column(unique=True)
    prefix: Field[str]
    created_at: Field[int]
    revoked_at: Field[int | None]
    scopes: Field[str] = column(server_default="")
    expires_at: Field[int | None]


class Feature(Base):
    """A feature; an amount divided by ``scale`` is what people mean. Writer: ``catalog``."""

    __tablename__ = "features"

    env: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    name: Field[str]
    type: Field[str]
    consumable: Field[bool]
    precision: Field[int]
    scale: Field[int]
    in_use: Field[bool]
    archived: Field[bool]
    event_names: Field[list[str]]
    document: Field[str]
    created_at: Field[int]


class Plan(Base):
    """A version of a plan; the highest is the one in force. Writer: ``catalog``."""

    __tablename__ = "plans"

    env: Field[str] = column(primary_key=True)
    id: Field[str] = column(primary_key=True)
    version: Field[int] = column(primary_key=True, autoincrement=False)
    plan_group: Field[str]
    add_on: Field[bool]
    auto_enable: Field[bool]
    archived: Field[bool]
    document: Field[str]
    created_at: Field[int]
