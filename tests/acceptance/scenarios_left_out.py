"""The scenarios of the reference that no test plays, or not to their end, each with the reason."""

from __future__ import annotations

LICENSE = "license plans are refused as not supported"
INVOICES = "the invoices: nothing is charged here, so there are none"
PREVIEWED = "the invoices; what they would come to is played as previews, which compute it"
KEPT_SEATS = (
    "the invoices, and paid seats that are kept for whoever comes next (on_decrease: none), which"
    " no seat of version 2 can have"
)

LEFT_OUT = {
    "s77": "a new entity begins with its own balance; in the reference with that of a deleted one"
    " whose paid seat is kept (on_decrease: none), which no seat of version 2 can have",
    "s82": LICENSE,
    "s83": LICENSE,
    "s85": LICENSE,
    "s86": LICENSE,
    "s109": "needs a webhook about plans, which there is not",
}
"""Of these nothing is played."""

NOT_ALL_OF = {
    "a22": "a check is let through only where its feature says so (on_outage: open); 200 and"
    " allowed: false otherwise",
    "p01": INVOICES,
    "p02": KEPT_SEATS,
    "p04": KEPT_SEATS,
    "s73": KEPT_SEATS,
    "s74": KEPT_SEATS,
    "s76": KEPT_SEATS,
    "s112": PREVIEWED,
}
"""Of these the reason says what is not played."""
