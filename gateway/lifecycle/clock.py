"""The clock of the sandbox: which steps it may take. An addition to the reference.

Pure: a request and the clock's face come in, its new face goes out. A step is always forward, and
all steps together are bounded, so that no date leaves the range the calendar rules are proven for.
"""

from __future__ import annotations

import re

from gateway.cycles import DAY_MS, HOUR_MS, MINUTE_MS
from gateway.errors import InvalidInputsError
from gateway.messages.clock import ClockAdvanceRequest, ClockView

SANDBOX = "sandbox"
"""The one environment whose clock can be moved."""

OFFSET_DAYS_MAX = 3_650
"""Days, ten years, the clock may be ahead of the machine's, however many steps it took."""

_UNITS_MS = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": 1_000, "ms": 1}
_DURATION = re.compile(r"([0-9]{1,15})(ms|[dhms])")


def advanced(request: ClockAdvanceRequest, shown: ClockView) -> ClockView:
    """Return what the clock shows after a step.

    Raises ``InvalidInputsError`` for a step that is not exactly one of ``by`` and ``to``, is not
    forward, or goes too far.
    """
    if request.by is not None and request.to is None:
        field, step_ms = "by", duration_ms(request.by)
    elif request.to is not None and request.by is None:
        field, step_ms = "to", int(request.to) - shown.now
    else:
        raise InvalidInputsError("input: Either by or to must be provided")
    if step_ms <= 0:
        raise InvalidInputsError(f"{field}: must be forward; the clock shows {shown.now}")
    if shown.offset + step_ms > OFFSET_DAYS_MAX * DAY_MS:
        raise InvalidInputsError(
            f"{field}: the clock can be at most {OFFSET_DAYS_MAX} days ahead, all steps together"
        )
    return ClockView(now=shown.now + step_ms, offset=shown.offset + step_ms)


def duration_ms(text: str) -> int:
    """Return the milliseconds of ``30d``, ``12h``, ``90m``, ``45s`` or ``1500ms``.

    Raises ``InvalidInputsError`` for anything else.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidInputsError(
            "by: must be a whole number with its unit, d, h, m, s or ms, such as 30d"
        )
    return int(found[1]) * _UNITS_MS[found[2]]
