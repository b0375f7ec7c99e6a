"""The rules text, read back, and what a window has counted at a moment."""

from __future__ import annotations

import pytest

from gateway.cycles import DAY_MS
from gateway.lifecycle.rules import (
    BEHIND_MS_MAX,
    Alert,
    Extras,
    Rules,
    Spend,
    Window,
    decode_extras,
    decode_rules,
    filter_key,
    overage_control,
    window_usage,
)
from gateway.rows import Kind, Row, RowDocument

WINDOW = Window("", 5, "f", DAY_MS, 0, "{}")
TEXT = f"o\t0\ns\t10\t0\n{WINDOW.line}\na\tusage\t7\t\na\tremaining_percentage\t2000\t" + r'"a\tb"'


def test_a_text_reads_back() -> None:
    assert decode_rules(TEXT) == Rules(
        overage=False,
        spend=Spend(10),
        windows=(WINDOW,),
        alerts=(Alert("usage", 7, ""), Alert("remaining_percentage", 2000, "a\tb")),
    )
    assert decode_rules("") == Rules()


@pytest.mark.parametrize(
    "rule", [Spend(1), Spend(1, share=True), WINDOW, Alert("usage", 1, ""), Alert("a", 1, "\n")]
)
def test_a_rule_is_one_line_and_reads_back(rule: Spend | Window | Alert) -> None:
    assert "\n" not in rule.line
    read = decode_rules(rule.line)
    assert rule in (read.spend, *read.windows, *read.alerts)


def test_extras_read_back() -> None:
    assert decode_extras("k\t7\nw\t\t100\t3\nw\tabcdef12\t200\t4") == Extras(
        7, {"": (100, 3), "abcdef12": (200, 4)}
    )
    assert decode_extras("") == Extras(0, {})


def test_a_window_counts_until_its_end() -> None:
    extras = f"w\t\t{DAY_MS}\t3"
    assert window_usage(TEXT, extras, "", DAY_MS - 1) == 3
    assert window_usage(TEXT, extras, "", DAY_MS) == 0


def test_a_window_that_a_clock_ahead_has_begun_is_the_current_one() -> None:
    begun = DAY_MS - BEHIND_MS_MAX
    assert window_usage(TEXT, f"w\t\t{2 * DAY_MS}\t3", "", begun) == 3
    assert window_usage(TEXT, f"w\t\t{2 * DAY_MS}\t3", "", begun - 1) == 0
    assert window_usage(TEXT, f"w\t\t{3 * DAY_MS}\t3", "", begun) == 0
    assert window_usage(TEXT, f"w\t\t{2 * DAY_MS - 1}\t3", "", begun) == 0


def test_a_window_of_another_phase_or_without_a_rule_counts_nothing() -> None:
    assert window_usage(TEXT, f"w\t\t{DAY_MS + 1}\t3", "", 5) == 0
    assert window_usage("o\t1", f"w\t\t{DAY_MS}\t3", "", 5) == 0
    assert window_usage(TEXT, "", "", 5) == 0


def test_a_window_that_follows_rows_has_their_cycle() -> None:
    rules, extras = WINDOW._replace(follows=True).line, f"w\t\t{DAY_MS + 1}\t3"
    assert decode_rules(rules).windows == (WINDOW._replace(follows=True),)
    document = RowDocument(subscription_id="sub_1")
    of_plan = Row(id="a", kind=Kind.SHARED, unit="m", every=1, anchor_ms=1, document=document)
    assert window_usage(rules, extras, "", 5, [of_plan]) == 3
    assert window_usage(rules, extras, "", 5) == 0


def test_the_first_text_with_a_say_decides_on_overage() -> None:
    assert overage_control("", "s\t1\t0", "o\t1\ns\t1\t0", "o\t0") is True
    assert overage_control("o\t0", "o\t1") is False
    assert overage_control("", "s\t1\t0") is None


def test_without_a_filter_there_is_no_key() -> None:
    assert filter_key("{}") == ""
    assert len(filter_key('{"a":1}')) == 8
    assert filter_key('{"a":1}') != filter_key('{"a":2}')
