"""The steps of the sandbox's clock: forward only, and not beyond ten years."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cycles import DAY_MS
from gateway.errors import InvalidInputsError
from gateway.lifecycle.clock import OFFSET_DAYS_MAX, advanced, duration_ms
from gateway.messages.clock import ClockAdvanceRequest, ClockView

OFFSET_MS_MAX = OFFSET_DAYS_MAX * DAY_MS
SHOWN = ClockView(now=1_000_000, offset=400)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", 30 * 86_400_000),
        ("12h", 12 * 3_600_000),
        ("90m", 90 * 60_000),
        ("45s", 45_000),
        ("1500ms", 1500),
        ("007s", 7000),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "1.5h", "1 d", "1D", "1w", "1d\n", "٣d", "1d12h", "9" * 16 + "d"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInputsError, match=r"^by: must be a whole number with its unit"):
        duration_ms(text)


def test_a_step_moves_time_and_offset_alike() -> None:
    expected = ClockView(now=1_045_000, offset=45_400)

    assert advanced(ClockAdvanceRequest(by="45s"), SHOWN) == expected
    assert advanced(ClockAdvanceRequest(to=1_045_000), SHOWN) == expected


@pytest.mark.parametrize(
    "request_", [ClockAdvanceRequest(), ClockAdvanceRequest(by="1d", to=2_000_000)]
)
def test_a_step_is_named_in_exactly_one_way(request_: ClockAdvanceRequest) -> None:
    with pytest.raises(InvalidInputsError, match=r"^input: Either by or to must be provided"):
        advanced(request_, SHOWN)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ClockAdvanceRequest(by="0d"), "by"),
        (ClockAdvanceRequest(to=1_000_000), "to"),
        (ClockAdvanceRequest(to=999_999), "to"),
    ],
)
def test_the_clock_never_goes_back(request_: ClockAdvanceRequest, field: str) -> None:
    with pytest.raises(InvalidInputsError, match=rf"^{field}: must be forward"):
        advanced(request_, SHOWN)


def test_all_steps_together_are_bounded() -> None:
    last = advanced(ClockAdvanceRequest(by=f"{OFFSET_MS_MAX - 400}ms"), SHOWN)
    assert last.offset == OFFSET_MS_MAX

    with pytest.raises(InvalidInputsError, match=r"^by: the clock can be at most 3650 days ahead"):
        advanced(ClockAdvanceRequest(by="1ms"), last)
    with pytest.raises(InvalidInputsError, match=r"^to: the clock can be at most 3650 days ahead"):
        advanced(ClockAdvanceRequest(to=last.now + 1), last)


@given(st.integers(0, OFFSET_MS_MAX), st.integers(0, 10**15), st.sampled_from(["by", "to"]))
def test_a_step_is_refused_or_lands_where_it_was_sent(offset: int, amount: int, how: str) -> None:
    shown = ClockView(now=1_800_000_000_000, offset=offset)
    if how == "by":
        request, step = ClockAdvanceRequest(by=f"{amount}ms"), amount
    else:
        request, step = ClockAdvanceRequest(to=amount), amount - shown.now
    try:
        view = advanced(request, shown)
    except InvalidInputsError:
        assert step <= 0 or offset + step > OFFSET_MS_MAX or len(str(amount)) > 15
        return
    assert (view.now, view.offset) == (shown.now + step, offset + step)
    assert offset < view.offset <= OFFSET_MS_MAX
