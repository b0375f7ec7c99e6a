"""The two shapes of a line, the request it belongs to, and what is blotted out."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from gateway import logs
from gateway.logs import REQUEST, Style, make_handler, redact, set_up


class Call(NamedTuple):
    """A request, as far as a line tells of it."""

    request_id: str = "req_7"
    env: str = "live"


class Lines:
    """A logger that writes into memory."""

    def __init__(self, style: Style) -> None:
        handler = make_handler(style)
        assert isinstance(handler, logging.StreamHandler)
        self.output = io.StringIO()
        handler.setStream(self.output)
        self.logger = logging.Logger("gateway.test")  # noqa: LOG001 - nobody else's lines
        self.logger.addHandler(handler)

    @property
    def text(self) -> str:
        return self.output.getvalue()

    @property
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def request_in_hand() -> Iterator[None]:
    """Run the test as part of a request."""
    token = REQUEST.set(Call())  # type: ignore[arg-type]  # a tuple is as good as a struct here
    yield
    REQUEST.reset(token)


def test_a_json_line_is_one_object() -> None:
    lines = Lines("json")
    lines.logger.warning("lag of %d s\nand more", 7, extra={"partition": 3})

    (line,) = lines.parsed
    time = line.pop("time")
    assert time.endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "gateway.test",
        "message": "lag of 7 s\nand more",
        "partition": 3,
    }


def test_an_error_is_part_of_its_line() -> None:
    lines = Lines("json")
    try:
        raise ValueError("boom")  # noqa: TRY301 - the traceback is what is tested
    except ValueError:
        lines.logger.exception("it failed")

    (line,) = lines.parsed
    assert line["error"].startswith("Traceback")
    assert line["error"].endswith("ValueError: boom")


@pytest.mark.usefixtures("request_in_hand")
def test_a_line_names_the_request_it_belongs_to() -> None:
    as_json, as_text = Lines("json"), Lines("text")
    for lines in (as_json, as_text):
        lines.logger.error("it failed")
        lines.logger.error("of another", extra={"request_id": "req_8"})

    named = [(line["request_id"], line.get("env")) for line in as_json.parsed]
    assert named == [("req_7", "live"), ("req_8", None)]
    assert "ERROR gateway.test [req_7]: it failed\n" in as_text.text
    assert "[req_8]: of another\n" in as_text.text


def test_a_line_of_no_request_names_none() -> None:
    as_json, as_text = Lines("json"), Lines("text")
    for lines in (as_json, as_text):
        lines.logger.error("the writer waits")

    assert "request_id" not in as_json.parsed[0]
    assert "ERROR gateway.test: the writer waits\n" in as_text.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://tally:s3cret@db:6379/0", "redis://***@db:6379/0"),
        ("redis://:p@ss@db/0 refused", "redis://***@db/0 refused"),
        ("'unix:///s?password=p@ss&db=0'", "'unix:///s?password=***&db=0'"),
        (
            "redis+sentinel://me:pw@a,b/tally?sentinel_password=p%40",
            "redis+sentinel://***@a,b/tally?sentinel_password=***",
        ),
        ("postgresql+psycopg://me:pw@db/t", "postgresql+psycopg://***@db/t"),
        ("key am_sk_live_aB-9_z, sir", "key am_sk_***, sir"),
        ("whsec_MfKQ9r/8+aa== sent", "whsec_*** sent"),
        ("am_jwt_eyJh.eyJz-_.c2ln_-k ended.", "am_jwt_*** ended."),
        ("http://db:6379/a@b and you@here", "http://db:6379/a@b and you@here"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_of_a_known_form_are_blotted_out(text: str, shown: str) -> None:
    assert redact(text) == shown
    for style in ("text", "json"):
        lines = Lines(style)
        try:
            raise OSError(text)  # noqa: TRY301 - as above
        except OSError:
            lines.logger.exception("it failed: %s", text)
        assert lines.text.count(shown) == 2
        assert shown == text or text not in lines.text


def test_the_level_is_for_our_lines_and_others_write_warnings() -> None:
    try:
        set_up("debug", "json")
        ours = [logging.getLogger(f"{name}.x").getEffectiveLevel() for name in logs.OURS]
        others = logging.getLogger("sqlalchemy.engine").getEffectiveLevel()
    finally:
        for name in logs.OURS:
            logging.getLogger(name).setLevel(logging.NOTSET)

    assert set(ours) == {logging.DEBUG}
    assert others >= logging.WARNING
