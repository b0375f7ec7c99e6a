"""Each operation has a scope, and publishable keys few of them."""

from __future__ import annotations

import pytest

from gateway.api.legacy.operations import OWN
from gateway.api.operation import Call
from gateway.api.operations import OPERATIONS
from gateway.api.permits import PUBLIC, is_public, permitted
from gateway.api_keys import SCOPES
from gateway.engine.principals import Access
from gateway.errors import EndpointNotPublicError, InsufficientScopesError

NOTHING = Access(public=False, scopes=frozenset({"none:read"}))


def test_what_is_public_exists() -> None:
    assert {operation.name for operation in OPERATIONS} >= PUBLIC
    assert not any(map(is_public, OWN))


@pytest.mark.parametrize("operation", [*OPERATIONS, *OWN], ids=lambda each: each.name)
def test_every_operation_needs_a_scope_that_can_be_given(operation: object) -> None:
    bound = permitted(operation, Call(request_id="r", env="sandbox"), NOTHING)  # type: ignore[arg-type]

    with pytest.raises(InsufficientScopesError) as raised:
        bound.rule(Call(request_id="r", env="sandbox"), _Anything())
    assert raised.value.message.split()[-1] in SCOPES


def test_a_publishable_key_is_refused_before_the_body_is_read() -> None:
    track = next(each for each in OPERATIONS if each.name == "balances.track")

    with pytest.raises(EndpointNotPublicError):
        permitted(track, Call(request_id="r", env="sandbox"), Access(True, frozenset()))


class _Anything:
    """A request whose every field is None."""

    def __getattr__(self, name: str) -> None:
        return None
