"""From the replies of scripts to the answers of plain calls: into forms where what is told is
written in them, else by the engine, as on the longer way.

Each method takes the reply, or the fault that came instead, and returns the body of the usual
answer, or any other answer whole; None for the longer way, where nothing was changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from gateway.api.errors import JSON, Reply, error_reply
from gateway.api.exchange import DEGRADED, REPLAYED
from gateway.api.permits import READABLE
from gateway.api.plain.forms import Forms
from gateway.api.plain.manners import Manner
from gateway.api.plain.pieces import Answer, Pieces
from gateway.api.plain.repeats import repeat_of_check, repeat_of_spent, repeat_of_track
from gateway.api.plain.uses import Asking, Use
from gateway.api.resources.balances import unawaited
from gateway.engine.engine import Engine
from gateway.engine.outage import Policy
from gateway.engine.verdicts import PlainUse
from gateway.errors import GatewayError, RedisUnavailableError, UnavailableError
from gateway.messages.balances import TrackRequest, TrackResponse
from gateway.scripts import Scripts, check_reply, track_reply

_DONE, _REPLAYED = b"1", b"13"
"""How replies begin."""


class Answering:
    """Answers of one application."""

    def __init__(self, engine: Engine, scripts: Scripts, *, conflict: bool, spools: bool) -> None:
        """Keep the parts; ``conflict`` says that a repeated idempotency key is refused, ``spools``
        that the longer way keeps tracks while Redis is gone.
        """
        self._engine = engine
        self._scripts = scripts
        self._conflict = conflict
        self._spools = spools

    def answer(
        self,
        asking: Asking,
        use: Use,
        now_ms: int,
        reply: Any,  # noqa: ANN401 - a reply or a fault
    ) -> bytes | Reply | None:
        """Answer a call."""
        if isinstance(use.command, Manner):
            return self.used(asking, use, use.command, now_ms, reply)
        return (self.checked if asking.is_check else self.tracked)(use, now_ms, reply)

    def checked(self, use: Use, now_ms: int, reply: Any) -> bytes | Reply | None:  # noqa: ANN401 - as above
        """Answer a check that only looks."""
        forms = use.pieces.forms
        if isinstance(reply, Exception):
            return self._failed_check(use.plain, reply, forms)
        self._scripts.heard()
        if isinstance(reply, int):  # a status alone: it was not carried out
            return None
        told = reply.split(b"\x01")
        answer = use.pieces.checked(use.scope, told, now_ms)
        allowed = told[1] == b"1"
        if answer is None:
            shown = self._engine.shown_check(use.plain, check_reply(reply), now_ms)
            answer, allowed = Answer(forms.encode(shown)), shown.allowed
        if use.pieces.is_timeless(told[4]):
            use.keep(reply, answer.body, denies=not allowed)
        if not allowed:
            self.deny(use.plain)
        elif answer.lone is not None:
            use.repeat = partial(repeat_of_check, use.pieces, use.scope, told, answer.lone)
        return answer.body

    def tracked(self, use: Use, now_ms: int, reply: Any) -> bytes | Reply | None:  # noqa: ANN401 - as above
        """Answer a track."""
        if isinstance(reply, Exception):
            failed = self._failed_track(reply)
            return None if failed is None else error_reply(failed, use.plain.env)
        self._scripts.heard()
        if isinstance(reply, int):
            return None
        answer = self._taken(use, reply.split(b"\x01"), now_ms)
        if answer is None:
            shown = self._engine.shown_track(use.plain, track_reply(reply), now_ms)
            return use.pieces.forms.encode(shown)
        return answer

    def used(
        self,
        asking: Asking,
        use: Use,
        manner: Manner,
        now_ms: int,
        reply: Any,  # noqa: ANN401 - as above
    ) -> bytes | Reply | None:
        """Answer a use in a manner of its own."""
        try:
            if isinstance(reply, Exception):
                return self._failed_use(asking, use.plain, reply)
            self._scripts.heard()
            return (
                None if isinstance(reply, int) else self._used(asking, use, manner, now_ms, reply)
            )
        except GatewayError as error:
            repeatable = bool(manner.said)
            refused = error_reply(error, use.plain.env, repeatable=repeatable)
            if asking.is_check:
                return refused._replace(headers=(*refused.headers, *READABLE))
            return refused

    def _used(
        self, asking: Asking, use: Use, manner: Manner, now_ms: int, reply: bytes
    ) -> bytes | Reply | None:
        told = reply.split(b"\x01")
        is_replayed = told[0] == _REPLAYED
        if is_replayed and self._conflict:
            return None
        is_async = isinstance(manner.request, TrackRequest) and manner.request.async_
        answer = None
        if not (is_replayed or is_async):
            if asking.is_check:
                answer = self._spent(use, reply, told, now_ms)
            elif told[0] == _DONE:
                answer = self._taken(use, told, now_ms)
        if answer is not None:
            return answer
        shown = self._engine.shown_use(use.plain, manner.request, track_reply(reply), now_ms)
        status = unawaited(shown) if is_async and isinstance(shown, TrackResponse) else 200
        body = asking.forms.encode(shown)
        if status == 200 and not is_replayed:
            return body
        return Reply(status, body, (JSON, REPLAYED) if is_replayed else (JSON,))

    @staticmethod
    def _taken(use: Use, told: Sequence[bytes], now_ms: int) -> bytes | None:
        """Return the answer to a track that took units; None when it is not plain."""
        units = use.plain.units
        answer = use.pieces.tracked(use.scope, units, told, now_ms)
        if answer is None:
            return None
        if answer.lone is not None:
            lone = answer.lone
            use.repeat = partial(repeat_of_track, use.pieces, use.scope, units, told, lone)
        return answer.body

    def _spent(self, use: Use, reply: bytes, told: Sequence[bytes], now_ms: int) -> bytes | None:
        """Return the answer to a check that was to use units; None when it is not plain."""
        if not isinstance(use.pieces, Pieces):
            return None
        status, _, described, _ = told
        allowed = b"1" if status == _DONE else b"0"
        verdict = (_DONE, allowed, b"1", b"%d" % use.plain.units, described, b"")
        answer = use.pieces.checked(use.scope, verdict, now_ms)
        if answer is None:
            return None
        if status != _DONE:
            self.deny(use.plain)
            if use.pieces.is_timeless(described):
                use.keep(reply, answer.body, denies=True)
        elif answer.lone is not None:
            lone = answer.lone
            use.repeat = partial(repeat_of_spent, use.pieces, use.scope, told, verdict, lone)
        return answer.body

    def deny(self, plain: PlainUse) -> None:
        """Count a check that was answered with no."""
        self._engine.denials.count(plain.env, plain.customer_id, plain.feature.id, "check")

    def _failed_check(
        self, plain: PlainUse, fault: Exception, forms: Forms, *, spends: bool = False
    ) -> Reply | None:
        error = self._scripts.outcome(fault, changes=spends)
        if error is None:
            return None
        if not isinstance(error, UnavailableError):
            return error_reply(error, plain.env)
        stand_in = self._engine.stand_in(plain, error, spends=spends)
        status = 202 if stand_in.policy is Policy.OPEN else 200
        headers = (JSON, (DEGRADED, stand_in.missing.encode()))
        return Reply(status, forms.encode(stand_in.response), headers)

    def _failed_use(self, asking: Asking, plain: PlainUse, fault: Exception) -> Reply | None:
        if asking.is_check:
            return self._failed_check(plain, fault, asking.forms, spends=True)
        error = self._failed_track(fault)
        if error is not None:
            raise error
        return None

    def _failed_track(self, fault: Exception) -> GatewayError | None:
        """Return what a fault means; None for the longer way."""
        error = self._scripts.outcome(fault, changes=True)
        return None if self._spools and isinstance(error, RedisUnavailableError) else error
