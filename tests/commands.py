"""The command line from a test: inside the test's own process, or as the process it is.

A start costs more than most commands do, so what is asked is answered here, by the same ``main``:
its output, its exit code and what it changed are those of the process. Each command is also started
as one somewhere, for what only that shows: that its imports are complete and that it ends.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from gateway import logs
from gateway.__main__ import main

SECONDS_MAX = 120.0

# What is refused has listened before; the usual port may be taken by a gateway, or another test.
_ANY_PORT = {"TALLYGATE_PORT": "0"}


def run_process(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        env=os.environ | _ANY_PORT | environment,
    )


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end in this process, of which nothing stays as it sets it."""
    command = ["tallygate", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
        _own_logging(),
        _own_collector(patch),
        _in_time(),
    ):
        patch.setattr(sys, "argv", command)
        for name, value in (_ANY_PORT | environment).items():
            patch.setenv(name, value)
        code = _code_of_main()
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def _code_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@contextmanager
def _own_logging() -> Iterator[None]:
    """Log as a new process does, to its standard error and at its level."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, logs.OURS)]
    levels = [each.level for each in loggers]
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = handlers
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@contextmanager
def _own_collector(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what the gateway tells Python about garbage; what is there is not all its own."""
    thresholds = gc.get_threshold()
    patch.setattr(gc, "freeze", lambda: None)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@contextmanager
def _in_time() -> Iterator[None]:
    """Interrupt a command that goes on for too long, such as a gateway that serves, and fail."""
    late = False

    def interrupt(*_: object) -> None:
        nonlocal late
        late = True
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not late, f"the command ran for more than {SECONDS_MAX:.0f} seconds"


def refused(*words: object, **environment: str) -> str:
    """Run a command that must be refused; return its one line."""
    return line_of_refusal(run(*words, **environment))


def line_of_refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that was refused."""
    assert ended.returncode != 0, ended.stdout
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("tallygate: ")
    return line
