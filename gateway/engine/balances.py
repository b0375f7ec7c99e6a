"""``balances.check`` and ``balances.track``: the hot operations. One script call each for a
customer that is in Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Raw
from msgspec.structs import replace

from gateway import metrics
from gateway.amounts import format_units
from gateway.engine.claims import Claim
from gateway.engine.creation import Creation
from gateway.engine.outage import Policy, StandIn
from gateway.engine.spending import (
    Spending,
    kept_reply,
    properties_of,
    units_of,
    use_of_check,
    use_of_track,
)
from gateway.engine.subject import Subject
from gateway.engine.verdicts import (
    Asked,
    PlainUse,
    Whom,
    answering_of,
    checked,
    preview_of,
    tracked,
)
from gateway.errors import (
    IdempotencyKeyError,
    InsufficientBalanceError,
    InvalidInputsError,
    LockExistsError,
    UnavailableError,
    UnknownOutcomeError,
)
from gateway.messages.balances import CheckRequest, CheckResponse, TrackRequest, TrackResponse
from gateway.ports import FeatureRecord
from gateway.scripts import CheckReply, Idempotency, Part, Status, TrackReply, Use

THEN_MS = 0
"""The time at which a replayed reply is shown: rows that have expired since were there then."""


class Balances(Creation):
    """Check and track."""

    async def check(
        self, env: str, request: CheckRequest, request_id: str, claim: Claim | None = None
    ) -> CheckResponse | StandIn:
        """Say whether the amount may be used; with ``send_event`` or ``lock`` use it, all or
        nothing. What cannot be decided is answered by the feature's policy.

        Raises the not-found errors of hot-path section 7, ``InvalidRequestError`` for a feature
        that cannot be spent or held, ``LockExistsError``, ``IdempotencyKeyError``, and
        ``UnavailableError`` for what has to be spent and no policy can answer.
        """
        spends = bool(request.send_event) or request.lock is not None
        feature = await self.catalog.feature(env, request.feature_id)
        subject = self.subjects.named(env, request, request_id)
        asked = self._asked(env, feature, request.required_balance, "required_balance")
        try:
            if spends:
                return await self._spend_checked(subject, asked, request, claim)
            return await self._checked(subject, asked, request)
        except UnavailableError as error:
            return self._undecided(subject, asked, error, spends=spends)

    async def _checked(
        self, subject: Subject, asked: Asked, request: CheckRequest
    ) -> CheckResponse:
        env = subject.env
        reply = await self._look(subject, asked, request)
        stale = [
            one
            for one, seen in zip(asked.features, reply.descriptions, strict=True)
            if seen.granted and not one.in_use
        ]
        if stale:  # this process' catalog is from before the plan
            for one in stale:
                await self.catalog.use_feature(one)
            feature = await self.catalog.feature(env, request.feature_id)
            asked = self._asked(env, feature, request.required_balance, "required_balance")
            reply = await self._look(subject, asked, request)
        now_ms = self.clock.now_ms(env)
        response = checked(subject, asked, reply, now_ms, explain=bool(request.explain))
        if self.policy_of(asked.features[0]) is Policy.LAST_KNOWN:
            self.outage.remember(subject, asked, response)
        return self._shown(response, asked, request)

    def policy_of(self, feature: FeatureRecord) -> Policy:
        """Return what answers checks of a feature that cannot be decided."""
        return self.outage.policy_of(self.catalog.document(feature).on_outage)

    def _undecided(
        self, subject: Whom, asked: Asked, error: UnavailableError, *, spends: bool
    ) -> StandIn:
        """Return what is answered instead of an error.

        Raises the error where units were to be used, unless it is certain that none were and the
        answer is no.
        """
        policy = self.policy_of(asked.features[0])
        is_known = not isinstance(error, UnknownOutcomeError)
        if spends and not (is_known and policy is Policy.CLOSED):
            raise error
        metrics.degraded_answers.labels(policy).inc()
        return self.outage.stand_in(subject, asked, policy, error)

    def _shown(self, response: CheckResponse, asked: Asked, request: CheckRequest) -> CheckResponse:
        if not response.allowed:
            feature = asked.features[0]
            self.denials.count(feature.env, request.customer_id, feature.id, "check")
            if request.with_preview:
                # The answer itself may be kept as the last known one, of whoever asks next.
                return replace(response, preview=preview_of(feature))
        return response

    async def _look(self, subject: Subject, asked: Asked, request: CheckRequest) -> CheckReply:
        async def call() -> CheckReply:
            return await self.scripts.check(
                subject.keys,
                self.clock.now_ms(subject.env),
                subject.entity_id,
                asked.part,
                properties_of(request.properties),
                explain=bool(request.explain),
            )

        return await self.run(subject, call)

    async def _spend_checked(
        self, subject: Subject, asked: Asked, request: CheckRequest, claim: Claim | None
    ) -> CheckResponse:
        self.backlog.admit()
        env, now_ms = subject.env, self.clock.now_ms(subject.env)
        use = use_of_check(asked, request, now_ms, _kept(subject, claim))
        ask = partial(self._ask, env, request.required_balance, "required_balance")
        (asked,), reply = await self._use(subject, use, [asked], ask, claim)
        return self._spent(subject, asked, request, reply, now_ms)

    def _spent(
        self,
        subject: Whom,
        asked: Asked,
        request: CheckRequest,
        reply: TrackReply,
        now_ms: int,
    ) -> CheckResponse:
        if reply.status is Status.REPLAYED:
            amount = request.required_balance
            (asked,), reply = self._as_it_was(subject.env, reply, amount, "required_balance")
            now_ms = THEN_MS
        allowed = reply.status is not Status.DENIED
        answering = answering_of(subject, asked, reply, now_ms)
        required = asked.required_in(answering)
        verdict = CheckReply(Status.DONE, allowed, answering, required, reply.descriptions[0])
        return self._shown(checked(subject, asked, verdict, now_ms, related=True), asked, request)

    async def track(
        self, env: str, request: TrackRequest, request_id: str, claim: Claim | None = None
    ) -> TrackResponse:
        """Record use.

        Raises ``InsufficientBalanceError`` in mode reject, ``LockExistsError``,
        ``IdempotencyKeyError`` and not-found errors.
        """
        now_ms = self.clock.now_ms(env)
        named: Sequence[FeatureRecord]
        if request.feature_id:
            named = (await self.catalog.feature(env, request.feature_id),)
        else:
            named = await self.catalog.features_by_event(env, request.event_name or "")
        ask = partial(self._ask, env, request.value, "value")
        asked = ask(named)
        subject = self.subjects.named(env, request, request_id)
        if request.dry_run:
            subject = subject.creating_nobody
        kept = None if request.dry_run else _kept(subject, claim)
        use = use_of_track(asked, request, now_ms, kept)
        asked, reply = await self._use(subject, use, asked, ask, claim)
        return self._tracked(subject, use, asked, request, reply, now_ms=now_ms)

    def _tracked(
        self,
        subject: Whom,
        use: Use,
        asked: Sequence[Asked],
        request: TrackRequest,
        reply: TrackReply,
        *,
        now_ms: int,
    ) -> TrackResponse:
        if reply.status is Status.DENIED:
            feature = asked[0].features[0]
            if not use.dry:
                self.denials.count(feature.env, request.customer_id, feature.id, "track")
            wanted = format_units(asked[0].part.amount, feature.precision)
            raise InsufficientBalanceError(
                f"Insufficient balance to deduct {wanted} from feature {feature.id}"
            )
        if reply.status is Status.REPLAYED:
            asked, reply = self._as_it_was(subject.env, reply, request.value, "value")
            now_ms = THEN_MS
        return tracked(subject, use, asked, reply, now_ms)

    def stand_in(self, use: PlainUse, error: UnavailableError, *, spends: bool) -> StandIn:
        """Return what is answered to a plain check that could not be decided. Raises the error
        where units were to be used, as ``check`` does.
        """
        return self._undecided(use, self._asked_of(use), error, spends=spends)

    def shown_check(self, use: PlainUse, reply: CheckReply, now_ms: int) -> CheckResponse:
        """Return the answer to a plain check."""
        return checked(use, self._asked_of(use), reply, now_ms)

    def shown_track(self, use: PlainUse, reply: TrackReply, now_ms: int) -> TrackResponse:
        """Return the answer to a plain track."""
        asked = self._asked_of(use)
        sent = Use(use.entity_id, [asked.part], now_ms)
        return tracked(use, sent, [asked], reply, now_ms)

    def sent(self, use: PlainUse, request: Spending, now_ms: int, kept: Idempotency | None) -> Use:
        """Return what a use of one feature asks of the script. Raises as ``check`` and ``track``
        do.
        """
        asked = self._asked_of(use)
        if isinstance(request, CheckRequest):
            return use_of_check(asked, request, now_ms, kept)
        return use_of_track([asked], request, now_ms, kept)

    def shown_use(
        self, use: PlainUse, request: Spending, reply: TrackReply, now_ms: int
    ) -> CheckResponse | TrackResponse:
        """Return the answer to a use that was sent. Raises as ``check`` and ``track`` do."""
        asked = self._asked_of(use)
        if isinstance(request, CheckRequest):
            return self._spent(use, asked, request, reply, now_ms)
        event = request.event_name or ""
        sent = Use(use.entity_id, [asked.part], now_ms, event_name=event)
        return self._tracked(use, sent, [asked], request, reply, now_ms=now_ms)

    def _asked_of(self, use: PlainUse) -> Asked:
        return self._with_systems(use.env, use.feature, Part(use.feature.id, use.units, use.pools))

    def _ask(
        self, env: str, amount: Raw, field: str, features: Sequence[FeatureRecord]
    ) -> list[Asked]:
        return [self._asked(env, feature, amount, field) for feature in features]

    def _asked(self, env: str, feature: FeatureRecord, amount: Raw, field: str) -> Asked:
        pools = self.catalog.pools(feature)
        part = Part(feature.id, units_of(amount, feature, field), pools)
        return self._with_systems(env, feature, part)

    def _with_systems(self, env: str, feature: FeatureRecord, part: Part) -> Asked:
        systems = (self.catalog.find_feature(env, pool.feature) for pool in part.pools)
        return Asked([feature, *filter(None, systems)], part)

    def _as_it_was(
        self, env: str, reply: TrackReply, amount: Raw, field: str
    ) -> tuple[list[Asked], TrackReply]:
        """Return what was asked of the features a replayed reply names, whatever the catalog says
        of them by now, and the reply without those that have gone.

        Raises ``IdempotencyKeyError`` when all have gone.
        """
        asked, descriptions, moves = [], [], []
        for seen, moved in zip(reply.descriptions, reply.moves, strict=True):
            found = (self.catalog.find_feature(env, one.feature) for one in seen)
            known = {feature.id: feature for feature in found if feature is not None}
            feature = known.get(seen[0].feature)
            if feature is None:
                continue
            part = self._asked(env, feature, amount, field).part
            asked.append(Asked(list(known.values()), part))
            descriptions.append([one for one in seen if one.feature in known])
            moves.append([move for move in moved if move.feature in known])
        if not asked:
            raise IdempotencyKeyError("The features of the first call have been deleted")
        return asked, reply._replace(descriptions=descriptions, moves=moves)

    async def _use(
        self,
        subject: Subject,
        use: Use,
        asked: list[Asked],
        ask: Callable[[Sequence[FeatureRecord]], list[Asked]],
        claim: Claim | None,
    ) -> tuple[list[Asked], TrackReply]:
        """Carry out a use; return what was asked for, and what came of it.

        Its features count as used from then on. What is refused must not make them so: of those
        that nobody has used yet it is asked first, without writing anything.
        """
        features = [one.features[0] for one in asked]
        if not (use.dry or all(feature.in_use for feature in features)):
            reply = await self._spend(subject, use._replace(dry=True), asked, claim)
            if reply.status is Status.DENIED:
                return asked, reply
            asked = ask([await self.catalog.use_feature(feature) for feature in features])
            use = use._replace(parts=[one.part for one in asked])
        return asked, await self._spend(subject, use, asked, claim)

    async def _spend(
        self, subject: Subject, use: Use, asked: Sequence[Asked], claim: Claim | None
    ) -> TrackReply:
        async def call() -> TrackReply:
            return await self.scripts.track(self.subjects.context(subject), use)

        reply = await self.run(subject, call)
        feature = asked[0].features[0]
        if reply.status is Status.OUT_OF_RANGE:
            raise InvalidInputsError(
                f"value: the balance of {feature.id} would leave "
                f"the range of precision {feature.precision}"
            )
        if reply.status is Status.LOCK_EXISTS and use.hold is not None:
            raise LockExistsError(f"lock.lock_id: {use.hold.lock_id} is held already")
        if claim is not None and reply.status in (Status.MISMATCH, Status.REPLAYED):
            claim.replayed = reply.status is Status.REPLAYED
            if not claim.replayed:
                raise IdempotencyKeyError
        return reply


def _kept(subject: Subject, claim: Claim | None) -> Idempotency | None:
    if claim is None:
        return None
    return kept_reply(claim, subject.env, subject.customer_id, subject.partition)
