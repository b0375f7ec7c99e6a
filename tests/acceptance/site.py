"""A gateway that runs now and then, and what its commands say and leave while it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from tests import commands
from tests.fixtures.gateways import Gateway, Json

VIEWS = ("report_balances", "report_usage", "report_top_consumers", "report_locks")


class Site:
    """A gateway that is stopped now and then, and the commands on what it leaves."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.options = (*options, "--data-dir", str(folder / "data"))
        self.gateway = Gateway(folder / "data", *options)
        given = dict(zip(options[::2], options[1::2], strict=True))
        file = f"sqlite:///{self.gateway.folder / 'tallygate.db'}"
        self.database_url = given.get("--database-url", file)

    @contextmanager
    def serving(self) -> Iterator[Gateway]:
        try:
            yield self.gateway.start()
        finally:
            assert self.gateway.stop() == 0

    def rescale(
        self, feature: str, precision: int, *more: str, apart: bool = False
    ) -> subprocess.CompletedProcess[str]:
        run = commands.run_process if apart else commands.run
        return run("rescale", feature, "--precision", precision, *more, *self.options)

    def done(self, feature: str, precision: int, *, apart: bool = False) -> None:
        ran = self.rescale(feature, precision, apart=apart)
        assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
        assert f"has precision {precision} now" in ran.stdout

    def refused(self, feature: str, precision: int, *more: str) -> str:
        ran = self.rescale(feature, precision, *more)
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr.strip().splitlines()[-1]

    def verify(self) -> None:
        ran = commands.run("verify", *self.options)
        assert (ran.returncode, ran.stdout[:8]) == (0, "no drift"), ran.stdout + ran.stderr

    def rows(self, table: str) -> list[Json]:
        """Return all rows of a table or view."""
        engine = create_engine(self.database_url)
        try:
            with engine.connect() as connection:
                found = connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
                return [dict(row) for row in found.mappings()]
        finally:
            engine.dispose()

    def precision(self, feature: str) -> int:
        (found,) = [one["precision"] for one in self.rows("features") if one["id"] == feature]
        return int(found)

    def shown_in_sql(self) -> list[list[str]]:
        """Return what the views show, but for columns that are in units."""
        return [
            sorted(
                str({name: value for name, value in row.items() if not name.endswith("_units")})
                for row in self.rows(view)
            )
            for view in VIEWS
        ]
