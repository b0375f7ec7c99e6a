"""``balances.create``, ``.update``, ``.delete``, ``.list`` and ``.batch_track``, and ``usage``."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Operation, always, asking
from gateway.api.resources import grant_rules as rules
from gateway.messages.common import Acknowledged
from gateway.messages.grants import (
    BalanceCreateRequest,
    BalanceDeleteRequest,
    BalanceListRequest,
    BalanceListResponse,
    BalanceUpdateRequest,
    BatchTrackRequest,
    BatchTrackResponse,
    UsageSetRequest,
)

_LOOKUP = (
    errors.CustomerNotFoundError,
    errors.EntityNotFoundError,
    errors.FeatureNotFoundError,
)

OPERATIONS = (
    Operation(
        name="balances.create",
        summary="Create a balance",
        description=(
            "Gives units of a feature to a customer or, with `entity_id`, to one entity, without a "
            "plan: `included_grant` units or `unlimited`; a boolean feature is switched on and "
            "takes neither. With `reset` the units come back each interval, from `next_reset_at` "
            "on if it is sent; `rollover` says what of them is kept then. A `balance_id` of your "
            "own is unique for the customer; it may be used again when the balance has ended."
        ),
        request=BalanceCreateRequest,
        response=Acknowledged,
        handle=asking(
            lambda engine, call, request: engine.create_balance(call.env, request, call.request_id)
        ),
        rule=rules.create,
        errors=(*_LOOKUP, errors.InvalidRequestError, errors.BalanceExistsError),
    ),
    Operation(
        name="balances.update",
        summary="Update a balance",
        description=(
            "Sets what is left (`remaining`), what is used (`usage`) or adds to the balance "
            "(`add_to_balance`); these change usage, never what is granted, and count in no usage "
            "limit. `included_grant` sets what they include together, by changing the first one; "
            "`next_reset_at` and `expires_at` change all. `balance_id` and `interval` say which "
            "balances are meant; "
            "with `entity_id`, what is left is that of the entity, and only balances it holds "
            "itself get another grant, reset or expiry."
        ),
        request=BalanceUpdateRequest,
        response=Acknowledged,
        handle=asking(
            lambda engine, call, request: engine.update_balance(call.env, request, call.request_id)
        ),
        rule=rules.update,
        errors=(*_LOOKUP, errors.BalanceNotFoundError),
    ),
    Operation(
        name="balances.delete",
        summary="Delete a balance",
        description=(
            "Ends the balances of a feature that `balance_id` and `interval` leave, or the one "
            "named by `balance_id` alone. What was used of them is forgotten or, with "
            "`recalculate_balances`, taken from the balances that stay; with none left the "
            "balance stays without a grant and shows the usage."
        ),
        request=BalanceDeleteRequest,
        response=Acknowledged,
        handle=asking(
            lambda engine, call, request: engine.delete_balance(call.env, request, call.request_id)
        ),
        rule=rules.delete,
        errors=(
            *_LOOKUP,
            errors.BalanceNotFoundError,
            errors.BalancePooledError,
            errors.BalancePricedError,
            errors.InvalidRequestError,
        ),
    ),
    Operation(
        name="balances.list",
        summary="List balances",
        description=(
            "Balances one by one, newest customers first: of an entity (`entity_id`), of a "
            "customer or of all. An entity has what it holds itself and its share of per-entity "
            "balances; without `entity_id` a per-entity balance is listed once, with the sums of "
            "all entities. `statuses` are `active` (the default) and `expired`: past its "
            "`expires_at`, or ended with its plan. `plan_id` null leaves those no plan gave. A "
            "page has up to `limit` balances (50, at most 200) and may have fewer while "
            "`has_more`; `next_cursor` goes on."
        ),
        request=BalanceListRequest,
        response=BalanceListResponse,
        handle=asking(lambda engine, call, request: engine.list_balances(call.env, request)),
        rule=rules.listing,
        errors=(*_LOOKUP, errors.InvalidCursorError),
        reads=always,
    ),
    Operation(
        name="balances.batch_track",
        summary="Track usage in a batch",
        description=(
            "Carries out up to 1,000 tracks, those of one customer in the order they are sent. A "
            "track that is not valid, or names an unknown feature or event, refuses the whole "
            "batch. What the state refuses afterwards (`reject` without balance, an unknown "
            "customer) is listed under `failed`; the others are carried out all the same."
        ),
        request=BatchTrackRequest,
        response=BatchTrackResponse,
        handle=asking(
            lambda engine, call, request: engine.batch_track(call.env, request, call.request_id)
        ),
        rule=rules.batch_track,
        errors=(
            errors.FeatureNotFoundError,
            errors.EventNotFoundError,
            errors.InvalidRequestError,
            errors.NotSupportedError,
        ),
        status=202,
    ),
    Operation(
        name="usage",
        summary="Set usage",
        description=(
            "Makes what is used of a feature equal `value`, which may be more than is granted. "
            "Credit systems are left alone and usage limits do not count it. The customer is "
            "created if there is none."
        ),
        request=UsageSetRequest,
        response=Acknowledged,
        handle=asking(
            lambda engine, call, request: engine.set_usage(call.env, request, call.request_id)
        ),
        rule=rules.set_usage,
        errors=(
            *_LOOKUP,
            errors.BalanceNotFoundError,
            errors.FeatureLimitError,
            errors.PlanNotFoundError,
            errors.InvalidRequestError,
        ),
    ),
)
