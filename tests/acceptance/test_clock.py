"""``tallygate clock`` as an operator uses it, on a gateway in another process."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from gateway.cycles import DAY_MS
from tests.acceptance.world import World
from tests.commands import run, run_process
from tests.fixtures.gateways import KEY, Gateway

LIVE_KEY = "am_sk_live_0123456789abcdefghij"


def test_a_month_passes_at_a_command(gateway: Gateway) -> None:
    world = World(gateway)
    world.attach(world.monthly(100))
    world.track(30)
    before = world.state()

    advanced = run_process("clock", "advance", "31d", "--url", gateway.url, "--key", KEY)
    shown = run("clock", "show", TALLYGATE_URL=f"{gateway.url}/", TALLYGATE_BOOTSTRAP_KEY=KEY)

    assert before == [100, 70, 30]
    assert world.state() == [100, 100, 0]
    for told in (advanced, shown):
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.endswith("ahead by 31 days, 0:00:00\n")
    first, second = (int(told.stdout.split()[1]) for told in (advanced, shown))
    assert first <= second < first + DAY_MS

    gateway.stop()
    gateway.start()
    assert gateway.call("clock.get")["offset"] == 31 * DAY_MS


@pytest.mark.parametrize(
    ("duration", "key", "message"),
    [
        ("tomorrow", KEY, "by: must be a whole number with its unit"),
        ("4000d", KEY, "by: the clock can be at most 3650 days ahead"),
        ("30d", "am_sk_test_unknown", "Invalid secret key: am_sk_test_unk***"),
    ],
)
def test_what_the_gateway_refuses_is_one_line(
    shared_gateway: Gateway, duration: str, key: str, message: str
) -> None:
    ended = run("clock", "advance", duration, "--url", shared_gateway.url, TALLYGATE_KEY=key)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"tallygate: {message}")
    assert ended.stderr.count("\n") == 1
    assert shared_gateway.call("clock.get")["offset"] == 0


def test_without_a_gateway_there_is_one_line(shared_gateway: Gateway) -> None:
    ended = run("clock", "show", "--url", "http://127.0.0.1:1", "--key", KEY)

    assert ended.returncode == 1
    assert ended.stderr.startswith("tallygate: no gateway answers at http://127.0.0.1:1: ")
    assert ended.stderr.count("\n") == 1
    assert KEY not in ended.stderr


@pytest.fixture
def stranger() -> Iterator[str]:
    """The URL of a server that is no gateway."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_of_something_else_is_one_line(stranger: str) -> None:
    ended = run("clock", "show", "--url", stranger, "--key", KEY)

    assert ended.returncode == 1
    assert ended.stderr == f"tallygate: {stranger} answered 502, and not as a gateway does\n"
