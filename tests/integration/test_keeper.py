"""The keeper: an embedded server that ends unasked comes back, at its address and with its data."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis

from gateway.embedded import server as embedded
from gateway.embedded.keeper import Keeper
from gateway.embedded.server import SOCKET_PATH_BYTES_MAX, EmbeddedServer, find_binary
from tests.waiting import wait_until

SECONDS = 30.0


def kill(server: EmbeddedServer) -> int:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def value_at(url: str) -> object:
    try:
        with redis.Redis.from_url(url, decode_responses=True) as client:
            return client.get("n")
    except redis.ConnectionError:
        return None


@pytest.mark.parametrize("name", ["data", "d" * SOCKET_PATH_BYTES_MAX])
def test_a_killed_server_comes_back_every_time(tmp_path: Path, name: str) -> None:
    server = EmbeddedServer(tmp_path / name, "always")
    url = server.start()
    with Keeper(server):
        for number in range(3):
            with redis.Redis.from_url(url) as client:
                client.set("n", number)
            killed = kill(server)
            wait_until(lambda: value_at(url) is not None, SECONDS)
            assert value_at(url) == str(number)
            assert server.pid not in {None, killed}
    assert server.pid is None
    assert not Path(url.removeprefix("unix://")).exists()


def test_a_server_that_does_not_start_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(tmp_path / "data", "always")
    url = server.start()
    with redis.Redis.from_url(url) as client:
        client.set("n", 7)
    files = tmp_path / "data" / "redis" / "appendonlydir"
    with Keeper(server):
        files.rename(tmp_path / "aside")
        files.write_text("not a folder")
        kill(server)
        wait_until(lambda: "tried again in" in caplog.text, SECONDS)
        files.unlink()
        (tmp_path / "aside").rename(files)
        wait_until(lambda: value_at(url) == "7", SECONDS)
    assert "ended with -9; another starts in 0.1 s" in caplog.text
    assert "tried again in 0.2 s" in caplog.text


def test_one_that_is_being_started_is_stopped_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(tmp_path / "data")
    server.start()
    hanging = tmp_path / "server"
    hanging.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/started\nexec sleep 600\n")
    hanging.chmod(0o700)
    with Keeper(server):
        monkeypatch.setattr(embedded, "find_binary", lambda: hanging)
        monkeypatch.setattr(embedded, "find_allocator", lambda _: {})
        kill(server)
        wait_until((tmp_path / "started").exists, SECONDS)
    assert server.pid is None
    monkeypatch.setattr(embedded, "find_binary", find_binary)
    again = EmbeddedServer(tmp_path / "data")
    again.start()
    again.stop()


def test_a_stop_is_no_end_to_start_again_after(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedServer(tmp_path / "data")
    url = server.start()
    with Keeper(server), redis.Redis.from_url(url) as client:
        assert client.ping()
    assert server.pid is None
    assert caplog.text == ""
