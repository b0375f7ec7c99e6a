"""A process loads what it uses: what each kind of them has not loaded when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOLD = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
"""

SERVING = {"litestar", "uvicorn", "httptools", "gateway.api"}
MIGRATING = {"alembic", "mako"}
SENDING = {"httpx", "httpcore", "rich", "pygments"}
POSTGRESQL = {"psycopg", "sqlalchemy.dialects.postgresql"}
TRACING = {"opentelemetry.sdk.trace", "opentelemetry.exporter"}
MODELS = {"pydantic", "attrs"}
"""Libraries the framework would make plugins for."""
NEVER = {"sqlalchemy.orm"} | MIGRATING | SENDING | POSTGRESQL | TRACING | MODELS
"""What nothing on a SQLite of this release loads before it has a webhook to send."""

REDIS = {"redis", "hiredis", "prometheus_client", "opentelemetry"}


def _started(program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TOLD + program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if "TALLYGATE" not in name},
    )


def _loaded(process: subprocess.Popen[str]) -> set[str]:
    """Return what a process had loaded at its end."""
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    return set(told.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_command_line_itself_loads_no_part(words: list[str]) -> None:
    loaded = _loaded(_started("from gateway.__main__ import main; main()", *words))
    assert not loaded & (NEVER | SERVING | REDIS | {"sqlalchemy", "uvloop", "msgspec"})


@pytest.mark.parametrize("words", [["keys", "list"], ["report", "balances"], ["webhooks", "list"]])
def test_a_command_that_reads_sql_loads_nothing_else(
    words: list[str], migrated_sqlite: str
) -> None:
    program = "from gateway.__main__ import main; main()"
    loaded = _loaded(_started(program, *words, "--database-url", migrated_sqlite))
    assert "sqlalchemy" in loaded
    assert not loaded & (NEVER | SERVING | REDIS)


@pytest.mark.parametrize(
    ("part", "has"),
    [
        ("gateway.commands.serve, gateway.processes.supervisor", "prometheus_client"),
        ("gateway.commands.writer", "persistence.sync.writer"),
        ("gateway.processes.worker, gateway.processes.writing", "persistence.sync.writer"),
        ("gateway.commands.verify", "persistence.audit"),
    ],
)
def test_what_serves_nobody_loads_none_of_what_serves(part: str, has: str) -> None:
    loaded = _loaded(_started(f"import {part}"))
    assert has in loaded
    assert not loaded & (NEVER | SERVING)


def test_a_gateway_on_a_current_sqlite_loads_what_it_serves_with(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    program = "from gateway.__main__ import main; main()"
    options = ["--port", "0", "--data-dir", str(tmp_path), "--database-url", migrated_sqlite]
    process = _started(program, "serve", *options)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Tallygate ")
    process.send_signal(signal.SIGTERM)
    loaded = _loaded(process)
    assert loaded >= SERVING
    assert not loaded & NEVER
