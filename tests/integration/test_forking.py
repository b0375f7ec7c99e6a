"""A gateway that was forked is what one is that was started anew, and ends like it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import RedisProcess
from tests.forking import Forked
from tests.waiting import wait_until

SERVE = ("serve", "--port", "0")
END_SECONDS = 30.0


def fork(folder: Path, *words: str) -> Forked:
    with (folder / "log").open("w") as output:
        return Forked(*words, output=output, settings={"TALLYGATE_DATA_DIR": str(folder)})


def start_anew(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"TALLYGATE_DATA_DIR": str(folder)},
            start_new_session=True,
        )


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


def seen(pid: int) -> dict[str, object]:
    """Return what one gateway has in common with another."""
    process = psutil.Process(pid)
    status = Path(f"/proc/{pid}/status").read_text()
    (listens,) = (one.fd for one in process.net_connections("tcp") if one.status == "LISTEN")
    return {
        "leads": (os.getsid(pid) == pid, os.getpgid(pid) == pid),
        "folder": process.cwd(),
        "input": Path(f"/proc/{pid}/fd/0").resolve(),
        # The first number that was free, so nothing else was open.
        "listens": listens,
        "signals": re.findall(r"Sig(?:Blk|Ign|Cgt):.*", status),
        "limits": [process.rlimit(psutil.RLIMIT_NOFILE), process.rlimit(psutil.RLIMIT_CORE)],
    }


def test_a_forked_gateway_is_what_one_is_that_was_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    twins = fork(one, *SERVE), start_anew(other, *SERVE)
    try:
        wait_until(lambda: all("data folder" in log_of(each) for each in (one, other)), 60)
        # A thread that is just made blocks every signal of who makes it for a moment.
        wait_until(
            lambda: seen(twins[0].pid) == seen(twins[1].pid),
            END_SECONDS,
            lambda: "\n".join(str(seen(each.pid)) for each in twins),
        )
    finally:
        for each in twins:
            each.send_signal(signal.SIGTERM)
            assert each.wait(END_SECONDS) == 0


def test_its_exit_code_and_output_are_those_of_the_command(tmp_path: Path) -> None:
    code = fork(tmp_path, "serve", "--nonsense").wait(END_SECONDS)
    told = log_of(tmp_path)
    assert "--nonsense" in told
    assert start_anew(tmp_path, "serve", "--nonsense").wait(END_SECONDS) == code
    assert log_of(tmp_path) == told


def test_one_that_was_killed_is_gone_and_its_exit_code_says_so(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    # One with an embedded server would leave that behind.
    gateway = Gateway(tmp_path / "data", "--redis-url", own_redis.url).start()
    gateway.kill()
    assert gateway.ended() == -signal.SIGKILL
    assert not psutil.pid_exists(gateway.pid)


def test_a_signal_for_one_that_has_just_ended_is_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = fork(tmp_path, "--version")
    assert ended.wait(END_SECONDS) == 0
    monkeypatch.setattr(ended, "poll", lambda: None)  # as before its end was told
    ended.kill()


def test_each_loads_our_modules_itself(gateway: Gateway, tmp_path: Path) -> None:
    other = Gateway(tmp_path / "other").start()
    try:
        first, second = (one.get("nowhere").headers["x-request-id"] for one in (gateway, other))
        assert first[:16] != second[:16]
    finally:
        other.stop()
