"""Settings: one frozen struct, read once at start from ``TALLYGATE_*`` variables.

A wrong value stops the start here, in one line that names the variable, so no later code checks a
setting again. This is the only module that reads ``os.environ``; it must never open a connection or
touch a file. Every name, default, bound and meaning stands once, on its field: ``SETTINGS`` and the
error lines are derived from it, and the settings table of the README is tested against it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import quote

import msgspec
from msgspec import Meta

from gateway.errors import SettingError

PREFIX = "TALLYGATE_"

CALLER_VARIABLES = ("TALLYGATE_KEY", "TALLYGATE_URL")
"""What a caller of the API may keep in its environment beside the settings."""

# Kubernetes tells each container of every Service: of one called tallygate it is told such names.
_SERVICE_LINK = re.compile(r"(_SERVICE_(HOST|PORT(_\w+)?)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)\Z")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_LINK_HINT = "; Kubernetes set it for a Service: enableServiceLinks: false in the pod ends that"

_KEY_PATTERN = r"^(am_sk_[A-Za-z0-9_-]{4,200})?\Z"
_REDIS_PATTERN = r"^((rediss?(\+(sentinel|cluster))?|unix)://.+)?\Z"
# The path of the standard is added to it: one that is there already would be asked for twice.
_OTLP_PATTERN = r"^(https?://(?!.*/v1/traces/*\Z).+)?\Z"
_RATE_PATTERN = r"^([1-9][0-9]{0,6}/(second|minute))?\Z"
_DATABASE_PATTERN = r"^((sqlite|postgres|postgresql|postgresql\+psycopg)://.+)?\Z"


def _text(meaning: str, allowed: str, pattern: str, *, secret: bool = False) -> Meta:
    extra = {"allowed": allowed, "secret": secret}
    return Meta(pattern=pattern, description=meaning, extra=extra)


def _rate(meaning: str) -> Meta:
    return _text(f"{meaning}; empty is any.", "such as 100/second or 3000/minute", _RATE_PATTERN)


def _number(meaning: str, lowest: int, highest: int) -> Meta:
    return Meta(ge=lowest, le=highest, description=meaning)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator can choose; each field is the variable ``TALLYGATE_<FIELD>``."""

    host: Annotated[
        str, _text("Address the HTTP server listens on.", "an address or a host name", r"^\S+\Z")
    ] = "127.0.0.1"
    port: Annotated[int, _number("Port of the HTTP server; 0 takes a free one.", 0, 65535)] = 8080
    uds: Annotated[
        str, _text("Unix socket to listen on instead of a port.", "a path", r"^[^\0]*\Z")
    ] = ""
    # Each is an interpreter with its own memory; what one machine has of cores is far below.
    workers: Annotated[
        int, _number("Processes that serve, under a supervisor; 0: this one alone.", 0, 256)
    ] = 0
    data_dir: Annotated[
        str, _text("Folder of the embedded server's file and of SQLite.", "a path", r"^.+\Z")
    ] = "tallygate-data"
    redis_url: Annotated[
        str,
        _text(
            "Redis or Valkey to use; empty starts the embedded one.",
            "redis://, unix://, redis+sentinel:// or redis+cluster://; TLS with rediss",
            _REDIS_PATTERN,
            secret=True,
        ),
    ] = ""
    database_url: Annotated[
        str,
        _text(
            "SQL database to use; empty is SQLite in the data folder.",
            "sqlite:// or postgresql://",
            _DATABASE_PATTERN,
            secret=True,
        ),
    ] = ""
    bootstrap_key: Annotated[
        str,
        _text(
            "Secret key that is accepted from the first start on, with every scope, until revoked.",
            "am_sk_ followed by 4..200 letters, digits, _ or -; am_sk_live_ is for live",
            _KEY_PATTERN,
            secret=True,
        ),
    ] = ""
    # Each partition is one stream the writer polls and one lease it renews; beyond a thousand the
    # idle ones cost more than the busy ones.
    partitions: Annotated[
        int, _number("Partitions of customers and outbox; fixed by the first start.", 1, 1024)
    ] = 64
    writer: Annotated[
        bool, Meta(description="Run the writer in this process; false when it runs apart.")
    ] = True
    # Beyond this a single transaction holds SQLite's write lock for longer than its timeout.
    writer_batch_max: Annotated[
        int, _number("Outbox entries the writer applies in one transaction.", 1, 100_000)
    ] = 4000
    writer_linger_ms: Annotated[
        int,
        _number(
            "Least time between two reads of the writer, to fill a batch; with more than 2,500 "
            "entries a second it is longer, up to five times.",
            0,
            10_000,
        ),
    ] = 20
    # Below a few beats, one slow commit would look like a death.
    writer_lease_seconds: Annotated[
        int, _number("Silence after which the partitions of a writer are taken over.", 3, 600)
    ] = 3
    redis_timeout_ms: Annotated[
        int, _number("Time a Redis call may take before it counts as failed.", 10, 60_000)
    ] = 1000
    # Of the hot calls: a caller whose every request waits for it has tens of milliseconds.
    hot_timeout_ms: Annotated[
        int,
        _number("Time Redis may be silent while a check, a track or a finalize waits.", 5, 60_000),
    ] = 80
    redis_connections_max: Annotated[
        int, _number("Redis connections one process opens.", 1, 4096)
    ] = 64
    sql_timeout_ms: Annotated[
        int, _number("Time an SQL statement or a wait for its lock may take.", 100, 600_000)
    ] = 5000
    # A body is held in memory whole while it is decoded; 64 MiB times the open connections is
    # already more than most machines have.
    body_bytes_max: Annotated[
        int, _number("Largest request body that is read.", 1024, 67_108_864)
    ] = 1_048_576
    fast_lane: Annotated[
        bool, Meta(description="Answer check and track before ASGI begins; false: like the rest.")
    ] = True
    drain_seconds: Annotated[
        int,
        _number(
            "Time to finish open requests and the outbox before exit; after twice that and 10 s "
            "it ends with code 1.",
            0,
            600,
        ),
    ] = 10
    appendfsync: Annotated[
        Literal["everysec", "always"],
        Meta(description="When the embedded server flushes its file to disk."),
    ] = "everysec"
    restore_wait_ms: Annotated[
        int, _number("Time a request waits for the writer before a cold customer loads.", 0, 60_000)
    ] = 2000
    restores_max: Annotated[
        int, _number("Customers on their way from SQL to Redis; more answer 503.", 1, 100_000)
    ] = 1000
    on_outage: Annotated[
        Literal["closed", "open", "last_known"],
        Meta(description="Answer to a check without Redis, where its feature does not say."),
    ] = "closed"
    durability: Annotated[
        Literal["memory", "replica", "aof", "sql"],
        Meta(description="What a change must have reached before it is answered."),
    ] = "memory"
    # With appendfsync everysec the file is flushed once a second, and later on a busy disk.
    durability_timeout_ms: Annotated[
        int, _number("Time to wait for that level before the answer is a 503.", 10, 60_000)
    ] = 3000
    spool: Annotated[
        bool,
        Meta(description="Keep tracks in the data folder while Redis is gone; count them later."),
    ] = False
    spool_max: Annotated[
        int, _number("Tracks a process may keep before more are refused.", 1, 100_000_000)
    ] = 100_000
    # An entry takes about half a kilobyte of Redis until SQL has it.
    outbox_max: Annotated[
        int,
        _number(
            "Entries Redis holds for SQL before changes are refused; 0: any.", 0, 1_000_000_000
        ),
    ] = 1_000_000
    lag_seconds_max: Annotated[
        int, _number("Age SQL may lag behind before changes are refused; 0: any.", 0, 31_536_000)
    ] = 3600
    rate_limit_key: Annotated[str, _rate("Calls of one secret key")] = ""
    rate_limit_publishable_key: Annotated[str, _rate("Calls of one publishable key")] = ""
    rate_limit_customer: Annotated[str, _rate("Checks and tracks of one customer")] = ""
    evict_idle_seconds: Annotated[
        int,
        _number("Time after which an unused customer leaves Redis; 0: never.", 0, 31_536_000),
    ] = 86_400
    # Beyond this the comparing would be felt by whoever shares the process.
    drift_per_second: Annotated[
        int, _number("Customers compared with SQL a second beside the writer; 0: none.", 0, 100)
    ] = 2
    idempotency: Annotated[
        Literal["replay", "conflict"],
        Meta(description="Answer to a second call with one idempotency key: the first, or a 409."),
    ] = "replay"
    persist_free_overage: Annotated[
        bool,
        Meta(
            description="Carry overage of balances without a price over their reset; "
            "a one-off add-on pays it first."
        ),
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least serious log line that is written."),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description="Shape of log lines: for people, or one JSON object each."),
    ] = "text"
    access_log_sample: Annotated[
        int,
        _number(
            "One request in so many gets a log line, 0 none; those answered 5xx always do.",
            0,
            1_000_000,
        ),
    ] = 0
    metrics_port: Annotated[
        int,
        _number("Port where a writer that runs apart shows its metrics; 0 is nowhere.", 0, 65535),
    ] = 0
    otlp_endpoint: Annotated[
        str,
        _text(
            "OpenTelemetry collector that traces are sent to; empty makes none.",
            "http:// or https://, without /v1/traces",
            _OTLP_PATTERN,
            secret=True,
        ),
    ] = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **overrides: object) -> Self:
        """Read every setting; an override beats the variable, None and empty count as not given."""
        chosen: dict[str, Any] = {}
        for setting in SETTINGS:
            override = overrides.pop(setting.field, None)
            if override is not None:
                chosen[setting.field] = setting.parse(override, setting.option)
            elif text := environ.get(setting.env, "").strip():
                chosen[setting.field] = setting.parse(text, setting.env)
        if overrides:
            raise SettingError(f"there is no setting {', '.join(sorted(overrides))}")
        return cls(**chosen)

    @property
    def data_path(self) -> Path:
        """The data folder, with a leading ``~`` resolved."""
        return _resolved(self.data_dir)

    @property
    def uds_path(self) -> Path:
        """The unix socket, with a leading ``~`` resolved."""
        return _resolved(self.uds)

    @property
    def is_embedded(self) -> bool:
        """Whether the gateway starts a server of its own."""
        return not self.redis_url

    @property
    def resolved_database_url(self) -> str:
        """The SQLAlchemy URL: as given, with the driver named, or SQLite in the data folder."""
        if not self.database_url:
            # In a URL a folder's ? would begin options, and %41 be an A.
            return f"sqlite:///{quote(str(self.data_path / 'tallygate.db'))}"
        scheme, rest = self.database_url.split("://", 1)
        if scheme.startswith("postgres"):
            return f"postgresql+psycopg://{rest}"
        return self.database_url

    def __repr__(self) -> str:
        """Show the settings without keys and passwords, so that a log line may hold them."""
        shown = (f"{s.field}={s.show(getattr(self, s.field))}" for s in SETTINGS)
        return f"Settings({', '.join(shown)})"


class SettingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the settings table."""

    field: str
    env: str
    default: str | int | bool
    meaning: str
    allowed: str
    is_secret: bool
    kind: Any

    @property
    def option(self) -> str:
        """The command line spelling."""
        return "--" + self.field.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as an operator would type it."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    def parse(self, value: object, source: str) -> object:
        """Convert and check one value; ``source`` is where the operator wrote it."""
        try:
            str(value).encode()
            return msgspec.convert(value, self.kind, strict=False)
        except UnicodeEncodeError as error:
            raise SettingError(f"{source}={self.show(value)}: is not UTF-8") from error
        except msgspec.ValidationError as error:
            hint = _LINK_HINT if _is_service_link(source, str(value)) else ""
            raise SettingError(
                f"{source}={self.show(value)}: must be {self.allowed}{hint}"
            ) from error

    def show(self, value: object) -> str:
        """Print a value; of a secret no more than that there is one."""
        return "'***'" if self.is_secret and value else repr(value)


def _spec(info: msgspec.structs.FieldInfo) -> SettingSpec:
    kind, meta = get_args(info.type)
    extra = meta.extra or {}
    return SettingSpec(
        field=info.name,
        env=PREFIX + info.name.upper(),
        default=info.default,
        meaning=meta.description,
        allowed=extra.get("allowed") or _allowed(kind, meta),
        is_secret=extra.get("secret", False),
        kind=info.type,
    )


def _allowed(kind: object, meta: Meta) -> str:
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    return f"{meta.ge}..{meta.le}"


SETTINGS: tuple[SettingSpec, ...] = tuple(map(_spec, msgspec.structs.fields(Settings)))


def environment() -> Mapping[str, str]:
    """Copy the process environment, for ``Settings.from_env``."""
    return dict(os.environ)


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return what looks like a setting and is none, with the setting it is most like, if any."""
    known = {spec.env for spec in SETTINGS}.union(CALLER_VARIABLES)
    return {
        name: _nearest(name.upper().removeprefix(PREFIX))
        for name, text in environ.items()
        if name.upper().startswith(PREFIX)
        and name not in known
        and not _is_service_link(name, text)
    }


def _nearest(name: str) -> str | None:
    # Without the prefix, by which all are alike. The module is loaded where somebody misspelt one.
    from difflib import get_close_matches  # noqa: PLC0415

    found = get_close_matches(name, [spec.env.removeprefix(PREFIX) for spec in SETTINGS], 1)
    return PREFIX + found[0] if found else None


def _resolved(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SettingError(f"path {path}: there is no such home folder") from error


def _is_service_link(name: str, text: str) -> bool:
    is_address = name.endswith("_PORT") and _SERVICE_ADDRESS.match(text) is not None
    return is_address or _SERVICE_LINK.search(name) is not None
