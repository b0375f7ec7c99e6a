"""The end of a process that was told to stop and does not."""

from __future__ import annotations

import subprocess
import sys

from gateway.processes.deadline import MARGIN_SECONDS, stop_seconds

HANGS = """
import threading
from gateway.processes.deadline import Deadline
with Deadline({seconds}) as deadline:
    deadline.begin()
    deadline.begin()
    {meanwhile}
print("ended by itself")
"""


def _run(seconds: float, meanwhile: str) -> tuple[int, str, str]:
    program = HANGS.format(seconds=seconds, meanwhile=meanwhile)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_a_process_that_hangs_is_ended_and_says_so() -> None:
    code, output, complaint = _run(0.05, "threading.Event().wait()")
    assert (code, output) == (1, "")
    assert "not stopped after 0.05 s" in complaint


def test_one_that_ends_in_time_is_left_alone_and_not_kept() -> None:
    assert _run(3600, "pass") == (0, "ended by itself\n", "")


def test_requests_and_outbox_have_a_drain_each() -> None:
    assert stop_seconds(0) == MARGIN_SECONDS
    assert stop_seconds(10) == 20 + MARGIN_SECONDS
