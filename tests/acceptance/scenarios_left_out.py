"""The scenarios of the reference that no test plays, each with the reason."""

from __future__ import annotations

POOLED = "pooled plan items are refused as not supported"
PAYMENT = "needs a payment processor; nothing is charged here"
TRIAL = "needs free trials, which are kept and shown but not counted"
LICENSE = "license plans are refused as not supported"
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
    "s14": TRIAL,
    "s17": "customers without an id are refused",
    "s68": TRIAL,
    "s70": TRIAL,
    "s71": TRIAL,
    "s73": PAYMENT,
    "s74": PAYMENT,
    "s76": PAYMENT,
    "s77": PAYMENT,
    "s82": LICENSE,
    "s83": LICENSE,
    "s85": LICENSE,
    "s86": LICENSE,
    "s106": "needs a webhook; tests of alerts and webhooks play it",
    "s107": "needs a webhook; tests of alerts and webhooks play it",
    "s109": "needs a webhook about plans, which there is not",
    "s110": "tokens of customers are refused as not supported",
    "s112": PAYMENT,
}
