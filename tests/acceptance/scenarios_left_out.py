"""The scenarios of the reference that no test plays, each with the reason."""

from __future__ import annotations

POOLED = "pooled plan items are refused as not supported"
PAYMENT = "needs a payment processor; nothing is charged here"
OLD_VERSION = "needs the shapes of an API version before 2.1, which are not served"

LEFT_OUT = {
    "a20": OLD_VERSION,
    "a22": "a customer that cannot be loaded is 503 here, never let through unasked",
    "a23": POOLED,
    "d19": POOLED,
    "d20": POOLED,
    "p01": PAYMENT,
    "p02": PAYMENT,
    "p04": PAYMENT,
    "p07": OLD_VERSION,
}
