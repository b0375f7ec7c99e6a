"""What a request is counted by, and how it stands."""

from __future__ import annotations

from contextvars import Context

import pytest

from gateway.errors import RateLimitError
from gateway.keys import Key
from gateway.metrics import refused
from gateway.scripts import Status
from gateway.scripts.rates import (
    TICKET,
    Limit,
    Limits,
    Standing,
    Ticket,
    count_apart,
    limit_of,
    refusal,
    standing_of,
)

ADA = Key("tg:{p01}:live:customer:ada:customer:x")
KEY = Limit("key", 100, 1_000)
PUBLIC = Limit("publishable_key", 20, 60_000)
CUSTOMER = Limit("customer", 5, 60_000)
ALL = Limits(KEY, PUBLIC, CUSTOMER)
DONE, LIMITED = int(Status.DONE), int(Status.LIMITED)


def ticket(limits: Limits = ALL, *, public: bool = False) -> Ticket:
    return Ticket(limits, "key_1", 1_700_000_000_123, public=public)


def test_a_setting_names_a_limit_or_none() -> None:
    assert limit_of("key", "") is None
    assert limit_of("key", "100/second") == KEY
    assert limit_of("customer", "5/minute") == CUSTOMER


def test_a_call_about_a_customer_is_counted_for_its_key_and_for_the_customer() -> None:
    terms = ticket().take(ADA)
    assert terms is not None
    assert terms.keys == ("tg:calls:key_1", "tg:{p01}:live:calls:ada:customer:x")
    assert terms.limits == (KEY, CUSTOMER)
    assert ticket().argument(terms) == "1700000000123 100/1000 5/60000"


def test_any_other_call_is_counted_for_its_key_alone() -> None:
    terms = ticket().take()
    assert terms is not None
    assert terms.limits == (KEY,)


def test_a_publishable_key_has_a_limit_of_its_own() -> None:
    terms = ticket(public=True).take(ADA)
    assert terms is not None
    assert terms.limits == (PUBLIC, CUSTOMER)


def test_a_ticket_is_taken_once_and_only_by_who_has_something_to_count() -> None:
    one = ticket(Limits(customer=CUSTOMER))
    assert one.take() is None
    assert one.take(ADA) is not None
    assert one.take(ADA) is None
    assert ticket(Limits(publishable_key=PUBLIC)).take(ADA) is None


def test_a_part_of_a_request_counts_for_its_customer_though_the_request_was_counted() -> None:
    whole = ticket()
    whole.take()

    def part() -> Ticket | None:
        TICKET.set(whole)
        count_apart()
        return TICKET.get()

    apart = Context().run(part)
    assert apart is not None
    terms = apart.take(ADA)
    assert terms is not None
    assert terms.limits == (CUSTOMER,)


def test_nothing_is_counted_apart_where_nothing_is_limited() -> None:
    context = Context()
    context.run(count_apart)
    assert TICKET not in context


def test_the_limit_closest_to_its_end_is_told() -> None:
    assert standing_of((KEY, CUSTOMER), [DONE, [3, 500, 2, 40_000], b""]) == Standing(
        CUSTOMER, 2, 40_000, refused=False
    )
    assert standing_of((KEY,), [DONE, [0, 500], b""]) == Standing(KEY, 0, 500, refused=False)


def test_of_those_that_refuse_the_one_that_does_so_for_longest_is_told() -> None:
    assert standing_of((KEY, CUSTOMER), [LIMITED, [0, 500, 2, 40_000]]).limit is KEY
    assert standing_of((KEY, CUSTOMER), [LIMITED, [0, 500, 0, 40_000]]).limit is CUSTOMER


def test_what_the_script_said_is_handed_on_or_the_call_is_refused() -> None:
    one = ticket()
    terms = one.take(ADA)
    assert terms is not None
    assert one.settle(terms, [DONE, [99, 877, 4, 40_000], b"reply"]) == b"reply"
    assert one.standing == Standing(CUSTOMER, 4, 40_000, refused=False)
    with pytest.raises(RateLimitError):
        one.settle(terms, [LIMITED, [0, 877, 4, 40_000]])
    assert one.standing == Standing(KEY, 0, 877, refused=True)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (KEY, "Too many calls: this API key may make 100 calls a second"),
        (PUBLIC, "Too many calls: this publishable key may make 20 calls a minute"),
        (CUSTOMER, "Too many calls: this customer may be checked and tracked 5 times a minute"),
    ],
)
def test_a_refusal_says_which_limit_and_is_counted(limit: Limit, message: str) -> None:
    counter = refused.labels(f"{limit.of}_rate")
    before = counter._value.get()  # noqa: SLF001 - the library has no other way to look
    error = refusal(Standing(limit, 0, 500, refused=True))
    assert error.message == f"{message}; nothing was changed"
    assert error.code == "rate_limit_exceeded"
    assert counter._value.get() == before + 1  # noqa: SLF001 - as above
