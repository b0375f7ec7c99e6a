"""wrk: what it is told to ask, and what it says of that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import wrk
from bench.load import NO_ANSWER, QUANTILES, Plan

STAND_IN = f"""#!{sys.executable}
import json, pathlib, sys
pathlib.Path(__file__).with_name("words").write_text(json.dumps(sys.argv[1:]))
script = sys.argv[sys.argv.index("-s") + 1]
pathlib.Path(__file__).with_name("script").write_text(pathlib.Path(script).read_text())
print("Running 2s test")
print(json.dumps({{"answers": 50, "refused": 2, "lost": 1, "us": 2000000, "times": [7.0] * 104}}))
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for wrk, found in the place of one, leaves what it was told."""
    program = tmp_path / wrk.NAME
    program.write_text(STAND_IN)
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


async def test_what_wrk_counted_becomes_a_tally(told: Path) -> None:
    plan = Plan(
        address=("127.0.0.1", 80),
        sequences=[[b"GET /\r\n"], [b'"\xff']],
        connections=3,
        seconds=1.5,
    )
    tally = await wrk.put_on(plan)
    assert tally.rate == 25
    assert tally.statuses == {200: 48, 500: 2, NO_ANSWER: 1}
    assert tally.failures == 3
    assert tally.latency_us == [7.0] * len(QUANTILES)
    words = (told / "words").read_text()
    assert '"-c", "3", "-d", "2s"' in words
    assert '"http://127.0.0.1:80"' in words
    script = (told / "script").read_text()
    assert r'{"\071\069\084\032\047\013\010","\034\255"}' in script
    assert "{0,1,2," in script
    assert "99.5,99.9,99.99,100}" in script


def test_wrk_is_found_where_it_is_installed(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrk.is_installed()
    monkeypatch.setenv("PATH", str(told / "elsewhere"))
    assert not wrk.is_installed()
