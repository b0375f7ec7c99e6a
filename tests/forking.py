"""Gateways and writers in processes of their own that need not load Python and others' modules.

That is two thirds of what the start of a gateway costs, and the tests start some 150. A server, one
for each process of tests, has loaded those modules and begun nothing yet. It forks for each start,
and what it forks goes on as ``python -m gateway`` does: it loads every module of ours, in a session
of its own and with its own arguments, settings, folder and output.

What this does not show is how Python itself starts; ``commands.run_process`` does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).parent.parent
OURS = {"gateway", "lua", "persistence"}
LOADED = ("gateway.commands.serve", "gateway.processes.alone", "persistence.moves")
"""What loads all that a gateway loads, each of which is loaded late."""
NUMBER_BYTES = 4


class Forked:
    """A process of the command; what it shares with ``subprocess.Popen`` does the same."""

    def __init__(self, *words: str, output: IO[str], settings: dict[str, str]) -> None:
        """Start it with some arguments, and settings beside those of this process."""
        assert all(name.startswith("TALLYGATE_") for name in settings), "others are read before"
        self.returncode: int | None = None
        self._line, there = socket.socketpair()
        with there:
            socket.send_fds(_server(), [b"+"], [there.fileno(), output.fileno()])
        request = [words, os.environ | settings, str(Path.cwd())]
        self._line.sendall(json.dumps(request).encode() + b"\n")
        self.pid = _received(self._line)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """Return the exit code once it has ended; that of a signal is negative."""
        if self.returncode is None:
            self._line.settimeout(seconds)
            try:
                self.returncode = _received(self._line)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("gateway", seconds) from None
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            # It may have ended, and how may still be on its way here.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> socket.socket:
    """Start the server of this process, which ends with it; return the line to it."""
    here, there = socket.socketpair()
    with there:
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(there.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            pass_fds=[there.fileno()],
            # Ctrl-C in the terminal is for the tests, which stop what they started.
            start_new_session=True,
        )

    def end() -> None:
        here.close()
        server.wait()

    atexit.register(end)
    return here


def _received(line: socket.socket) -> int:
    number = line.recv(NUMBER_BYTES)
    assert number, "the server that forks has ended"
    return int.from_bytes(number, "little", signed=True)


def _send(line: socket.socket, number: int) -> None:
    line.sendall(number.to_bytes(NUMBER_BYTES, "little", signed=True))


def load_what_others_made() -> None:
    """Load what a gateway loads, but for our own modules: one draws its request ids at random."""
    here, there = os.pipe()
    if os.fork() == 0:
        for name in LOADED:
            importlib.import_module(name)
        with os.fdopen(there, "w") as names:
            names.write("\n".join(sys.modules))
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as names:
        for name in names.read().split():
            if name.partition(".")[0] not in OURS:
                importlib.import_module(name)


def serve(control: socket.socket) -> None:
    """Fork for each request, and return in what is to be a gateway."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        _, files, _, _ = socket.recv_fds(control, 1, 2)
        if not files:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            line = socket.socket(fileno=files[0])
            if pid := os.fork():
                os.close(files[1])
                _watch(pid, line)
            return _become_new(line, files[1])
        for file in files:
            os.close(file)


def _reap(*_: object) -> None:
    """Let those that watched go, which adds what they waited for to what the tests cost."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch(pid: int, line: socket.socket) -> NoReturn:
    """Tell the number of a process, and how it ended."""
    try:
        _send(line, pid)
        _send(line, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    finally:
        os._exit(0)


def _become_new(line: socket.socket, output: int) -> None:
    """Make of this process what one is that was just started."""
    with line, line.makefile() as told:
        words, environment, folder = json.loads(told.readline())
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path[0] = folder
    sys.argv[1:] = words


if __name__ == "__main__":
    load_what_others_made()
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)
