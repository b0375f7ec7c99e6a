"""Settings: each is read, bounded and refused in one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from gateway.config import SETTINGS, Settings, SettingSpec, environment, unknown_variables
from gateway.errors import SettingError
from persistence.database import parse_url

BOOTSTRAP_KEY = "am_sk_test_" + "k" * 16
VALID: dict[str, tuple[str, object]] = {
    "host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - the text is read, nothing listens
    "port": ("0", 0),
    "uds": ("/run/tallygate.sock", "/run/tallygate.sock"),
    "workers": ("2", 2),
    "data_dir": ("/srv/tallygate", "/srv/tallygate"),
    "redis_url": ("rediss://cache:6380/1", "rediss://cache:6380/1"),
    "database_url": ("postgresql://db/tally", "postgresql://db/tally"),
    "bootstrap_key": (BOOTSTRAP_KEY, BOOTSTRAP_KEY),
    "partitions": ("1024", 1024),
    "writer": ("false", False),
    "writer_batch_max": ("1", 1),
    "writer_linger_ms": ("0", 0),
    "writer_lease_seconds": ("30", 30),
    "redis_timeout_ms": ("50", 50),
    "hot_timeout_ms": ("25", 25),
    "redis_connections_max": ("8", 8),
    "sql_timeout_ms": ("100", 100),
    "body_bytes_max": ("2048", 2048),
    "fast_lane": ("false", False),
    "drain_seconds": ("0", 0),
    "appendfsync": ("always", "always"),
    "restore_wait_ms": ("0", 0),
    "restores_max": ("50", 50),
    "on_outage": ("last_known", "last_known"),
    "durability": ("sql", "sql"),
    "durability_timeout_ms": ("500", 500),
    "spool": ("true", True),
    "spool_max": ("10", 10),
    "outbox_max": ("0", 0),
    "lag_seconds_max": ("60", 60),
    "rate_limit_key": ("100/second", "100/second"),
    "rate_limit_publishable_key": ("9999999/minute", "9999999/minute"),
    "rate_limit_customer": ("1/second", "1/second"),
    "evict_idle_seconds": ("0", 0),
    "drift_per_second": ("5", 5),
    "idempotency": ("conflict", "conflict"),
    "persist_free_overage": ("true", True),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "access_log_sample": ("1000", 1000),
    "metrics_port": ("9100", 9100),
    "otlp_endpoint": ("http://collector:4318", "http://collector:4318"),
}
INVALID = {
    "host": "two words",
    "port": "65536",
    "uds": "nul\0path",
    "workers": "257",
    "redis_url": "http://cache",
    "database_url": "mysql://db/tally",
    "bootstrap_key": "am_pk_test_public",
    "partitions": "0",
    "writer": "maybe",
    "writer_batch_max": "many",
    "writer_linger_ms": "-1",
    "writer_lease_seconds": "2",
    "redis_timeout_ms": "9",
    "hot_timeout_ms": "4",
    "redis_connections_max": "0",
    "sql_timeout_ms": "1.5",
    "body_bytes_max": "1023",
    "fast_lane": "fast",
    "drain_seconds": "601",
    "appendfsync": "no",
    "restore_wait_ms": "60001",
    "restores_max": "0",
    "on_outage": "shrug",
    "durability": "disk",
    "durability_timeout_ms": "9",
    "spool": "maybe",
    "spool_max": "0",
    "outbox_max": "-1",
    "lag_seconds_max": "31536001",
    "rate_limit_key": "0/second",
    "rate_limit_publishable_key": "10/hour",
    "rate_limit_customer": "10000000/minute",
    "evict_idle_seconds": "31536001",
    "drift_per_second": "101",
    "idempotency": "forget",
    "persist_free_overage": "perhaps",
    "log_level": "loud",
    "log_format": "xml",
    "access_log_sample": "-1",
    "metrics_port": "70000",
    "otlp_endpoint": "grpc://collector",
}


def test_no_variables_give_the_embedded_default() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.is_embedded
    assert settings.resolved_database_url == "sqlite:///tallygate-data/tallygate.db"


def test_the_table_has_one_row_per_field() -> None:
    assert Settings.__struct_fields__ == tuple(spec.field for spec in SETTINGS)
    assert Settings.__struct_fields__ == tuple(VALID)


@pytest.mark.parametrize("spec", SETTINGS, ids=lambda spec: spec.field)
def test_each_variable_sets_its_field_and_no_other(spec: SettingSpec) -> None:
    text, value = VALID[spec.field]
    settings = Settings.from_env({spec.env: f" {text} "})
    assert settings == msgspec.structs.replace(Settings(), **{spec.field: value})
    assert getattr(settings, spec.field) != spec.default


@pytest.mark.parametrize("spec", SETTINGS, ids=lambda spec: spec.field)
def test_the_default_is_within_its_own_bounds(spec: SettingSpec) -> None:
    assert spec.parse(spec.default_text, spec.env) == spec.default


@pytest.mark.parametrize(("field", "text"), INVALID.items(), ids=list(INVALID))
def test_a_wrong_value_is_refused_in_one_line(field: str, text: str) -> None:
    spec = next(spec for spec in SETTINGS if spec.field == field)
    with pytest.raises(SettingError) as caught:
        Settings.from_env({spec.env: text})
    shown = "'***'" if spec.is_secret else repr(text)
    assert caught.value.message == f"{spec.env}={shown}: must be {spec.allowed}"


@pytest.mark.parametrize("end", ["/v1/traces", "/v1/traces/", "/otlp/v1/traces"])
def test_the_path_of_traces_is_not_asked_for_twice(end: str) -> None:
    with pytest.raises(SettingError, match="without /v1/traces"):
        Settings.from_env({"TALLYGATE_OTLP_ENDPOINT": f"http://collector:4318{end}"})
    kept = "http://collector:4318/otlp/"
    assert Settings.from_env({"TALLYGATE_OTLP_ENDPOINT": kept}).otlp_endpoint == kept


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("port", "0..65535"),
        ("writer", "true or false"),
        ("appendfsync", "everysec or always"),
        (
            "redis_url",
            "redis://, unix://, redis+sentinel:// or redis+cluster://; TLS with rediss",
        ),
    ],
)
def test_the_allowed_range_is_words_an_operator_knows(field: str, allowed: str) -> None:
    assert [spec.allowed for spec in SETTINGS if spec.field == field] == [allowed]


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_env({"TALLYGATE_PORT": "", "TALLYGATE_HOST": "  "}) == Settings()


def test_variables_of_other_programs_are_ignored() -> None:
    assert Settings.from_env({"PORT": "1", "TALLYGATE_NOT_A_SETTING": "1"}) == Settings()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TALLYGATE_ON_OUTGE", "TALLYGATE_ON_OUTAGE"),
        ("TALLYGATE_DATABASE", "TALLYGATE_DATABASE_URL"),
        ("TALLYGATE_REDIS_TIMEOUT", "TALLYGATE_REDIS_TIMEOUT_MS"),
        ("tallygate_port", "TALLYGATE_PORT"),
        ("TALLYGATE_", None),
        ("TALLYGATE_COLOUR", None),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest(
    name: str, nearest: str | None
) -> None:
    environ = {name: "x", "TALLYGATE_PORT": "1", "TALLYGATE_KEY": "k", "TALLYGATE_URL": "u"}
    assert unknown_variables(environ) == {name: nearest}


KUBERNETES = {
    "TALLYGATE_SERVICE_HOST": "10.0.0.1",
    "TALLYGATE_SERVICE_PORT": "8080",
    "TALLYGATE_SERVICE_PORT_HTTP": "8080",
    "TALLYGATE_PORT": "tcp://10.0.0.1:8080",
    "TALLYGATE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "TALLYGATE_PORT_8080_TCP_PROTO": "tcp",
    "TALLYGATE_PORT_8080_TCP_PORT": "8080",
    "TALLYGATE_PORT_8080_TCP_ADDR": "10.0.0.1",
    "TALLYGATE_REDIS_PORT": "tcp://10.0.0.2:6379",
}
"""What it sets for Services called tallygate and tallygate-redis."""


def test_what_kubernetes_sets_for_a_service_is_not_told() -> None:
    assert unknown_variables(KUBERNETES) == {}


def test_a_port_that_kubernetes_set_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env(KUBERNETES)
    message = caught.value.message
    assert message.startswith("TALLYGATE_PORT='tcp://10.0.0.1:8080': must be 0..65535; Kubernetes")
    assert "enableServiceLinks: false" in message


def test_an_override_beats_the_variable_and_none_does_not() -> None:
    environ = {"TALLYGATE_PORT": "9000", "TALLYGATE_LOG_LEVEL": "debug"}
    settings = Settings.from_env(environ, port=9001, log_level=None)
    assert (settings.port, settings.log_level) == (9001, "debug")


def test_a_wrong_override_names_the_option() -> None:
    with pytest.raises(SettingError, match=r"^--redis-timeout-ms=1: must be 10\.\.60000$"):
        Settings.from_env({}, redis_timeout_ms=1)


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no setting colour"):
        Settings.from_env({}, colour="red")


@pytest.mark.parametrize("mode", ["test", "live"])
@pytest.mark.parametrize("secret", ["a", "A_b-9" * 5, "z" * 128])
def test_bootstrap_keys_of_both_modes_are_accepted(mode: str, secret: str) -> None:
    key = f"am_sk_{mode}_{secret}"
    assert Settings.from_env({"TALLYGATE_BOOTSTRAP_KEY": key}).bootstrap_key == key


@pytest.mark.parametrize(
    "key", ["am_pk_test_" + "a" * 16, "am_sk_test_" + "a" * 200, "am_sk_test_" + "a b" * 8]
)
def test_a_malformed_bootstrap_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({"TALLYGATE_BOOTSTRAP_KEY": key})
    assert key not in caught.value.message


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        (
            "postgres://u:p@db/tally?sslmode=require",
            "postgresql+psycopg://u:p@db/tally?sslmode=require",
        ),
        ("postgresql://db/tally", "postgresql+psycopg://db/tally"),
        ("postgresql+psycopg://db/tally", "postgresql+psycopg://db/tally"),
        ("sqlite:////srv/t.db", "sqlite:////srv/t.db"),
    ],
)
def test_a_database_url_gets_its_driver(url: str, resolved: str) -> None:
    assert Settings.from_env({"TALLYGATE_DATABASE_URL": url}).resolved_database_url == resolved


def test_sqlite_lives_in_the_data_folder() -> None:
    settings = Settings(data_dir="~/tally")
    assert settings.resolved_database_url == f"sqlite:///{Path.home()}/tally/tallygate.db"


@pytest.mark.parametrize("name", ["why?", "feature%2Fx", "a b+c", "é#1"])
def test_sqlite_stays_in_a_data_folder_of_any_name(name: str) -> None:
    url = Settings(data_dir=f"/srv/{name}").resolved_database_url
    assert parse_url(url).database == f"/srv/{name}/tallygate.db"


def test_a_home_that_nobody_has_is_refused() -> None:
    settings = Settings(data_dir="~nobody-at-all", uds="~nobody-at-all/socket")
    for path in ("data_path", "uds_path"):
        with pytest.raises(SettingError, match=r"~nobody-at-all.* there is no such home folder"):
            getattr(settings, path)


@pytest.mark.parametrize("name", ["TALLYGATE_DATA_DIR", "TALLYGATE_LOG_LEVEL"])
def test_a_value_that_is_no_text_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name}=.* is not UTF-8"):
        Settings.from_env({name: "a\udcff"})


def test_a_log_line_of_the_settings_holds_no_secret() -> None:
    settings = Settings(bootstrap_key=BOOTSTRAP_KEY, database_url="postgresql://u:hidden@db/tally")
    assert BOOTSTRAP_KEY not in repr(settings)
    assert "hidden" not in repr(settings)
    assert "port=8080" in repr(settings)


def test_the_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYGATE_PORT", "9000")
    copy = environment()
    monkeypatch.delenv("TALLYGATE_PORT")
    assert copy["TALLYGATE_PORT"] == "9000"
    assert "TALLYGATE_PORT" not in os.environ
