"""The catalog in memory: features, plans, API keys and the sandbox's clock, and their changes.

Check and track ask it several times per request, so a look-up is a dictionary access. SQL is
written first and read back as a whole when its revision has moved: every half second, and at once
when something unknown is asked for, so that what another process created a moment ago is found. It
must never answer from a snapshot that is half old, half new: a refresh replaces the whole. Nor may
it write what was decided on an old one: a change is stored as a whole on the revision it was
decided on, or decided anew.

Failure. SQL gone: what is known stays known and goes on working; unknown ids answer
``UnavailableError`` until SQL is back, for they may exist by now. Keys revoked meanwhile keep
working until then. SQL hangs: whoever waited for the turn of one whom it did not answer fails with
it, for one after the other each would wait a statement's time longer. A burst of unknown ids costs
SQL ten looks a second, not one each: whoever asks for one waits for the next look, which all who
wait share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

import msgspec

from gateway.api_keys import digest_of
from gateway.engine.clock import EnvironmentClock
from gateway.engine.principals import Principal, Principals, secret_of, unknown_key
from gateway.engine.snapshot import Snapshot, take_snapshot
from gateway.errors import (
    EventNotFoundError,
    PlanNotFoundError,
    UnavailableError,
)
from gateway.lifecycle import feature_rules
from gateway.lifecycle.catalog import CatalogView, StoredPlan, existing
from gateway.lifecycle.clock import SANDBOX, advanced
from gateway.lifecycle.plan_changes import change_plan
from gateway.lifecycle.plan_rules import new_plan
from gateway.messages.clock import ClockAdvanceRequest, ClockView
from gateway.messages.features import (
    FeatureCreateRequest,
    FeatureDocument,
    FeatureUpdateRequest,
    decode_feature_document,
)
from gateway.messages.plan_changes import PlanUpdateRequest
from gateway.messages.plans import PlanCreateRequest
from gateway.ports import CatalogChange, CatalogImage, CatalogStore, FeatureRecord, WallClock
from gateway.rounds import LOOK_SECONDS, Rounds
from gateway.scripts import Pool

log = logging.getLogger(__name__)

Found = TypeVar("Found")
Decided = TypeVar("Decided")

POLL_SECONDS = 0.5
"""How late another process sees a change it did not ask for; a revoked key too."""

ATTEMPTS_MAX = 20
"""Tries of a change that others got in the way of; enough for four processes that do so at once."""


class Catalog:
    """See the module docstring."""

    def __init__(
        self,
        store: CatalogStore,
        wall: WallClock,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._snapshot = take_snapshot(CatalogImage(-1, [], [], []))
        self.clock = EnvironmentClock(wall)
        self._principals = Principals(wall)
        self.known = self._principals.known
        self._used: set[tuple[str, str, int]] = set()
        self._refreshing = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._look_again = Rounds(self.refresh, apart=LOOK_SECONDS)
        self._reachable = False
        self._faults = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The catalog as it is known now: another object whenever it has changed."""
        return self._snapshot

    @property
    def is_current(self) -> bool:
        """Whether the last look at SQL succeeded."""
        return self._reachable

    async def start(self) -> None:
        """Load the catalog and begin to follow it. Raises ``UnavailableError``."""
        await self.refresh()
        self._task = asyncio.create_task(self._follow(), name="catalog")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def refresh(self, *, moved: bool = False) -> None:
        """Load the catalog again if its revision has ``moved``, which SQL is asked when the caller
        does not know. Raises ``UnavailableError``.
        """
        self._principals.expire()
        async with self._turn(self._refreshing):
            try:
                if not moved and await self._store.revision() == self._snapshot.revision:
                    self._reachable = True
                    return
                # Made where it is read: the loop would meet each of its records for the first time.
                snapshot = await self._store.load_as(take_snapshot)
            except Exception:
                self._reachable = False
                self._faults += 1
                raise
            self._reachable = True
            self._snapshot = snapshot
            self.clock.offset_ms = snapshot.clock_offset_ms
            # Whoever is still allowed is found again by the digest; whoever is not is gone.
            self._principals.forget()
            self._used = set()

    async def renew(self) -> None:
        """Ask SQL first, before plans are given to a customer: what another process changed of them
        a moment ago would be missed for good. While SQL is gone, what is known has to do.
        """
        with contextlib.suppress(UnavailableError):
            await self.refresh()

    async def principal(self, authorization: bytes | None) -> Principal:
        """Return who an Authorization header belongs to. Raises one of the key errors."""
        if known := self.known(authorization) or self._principals.bound(authorization):
            return known
        secret = secret_of(authorization)
        digest = digest_of(secret)
        found = await self._find(lambda now: now.principals.get(digest))
        if found is None or not self._principals.is_live(found):
            raise unknown_key(secret)
        self._principals.remember(authorization, found)
        return found

    def find_key(self, key_id: str) -> Principal | None:
        """Return who a key belongs to that is not revoked; never asks SQL."""
        return self._snapshot.keys.get(key_id)

    async def key(self, key_id: str) -> Principal | None:
        """Return who a key belongs to that is not revoked, though its time may have passed."""
        return await self._find(lambda now: now.keys.get(key_id))

    def find_feature(self, env: str, feature_id: str) -> FeatureRecord | None:
        """Return a feature that is known already; never asks SQL."""
        return _view(self._snapshot, env).features.get(feature_id)

    async def feature(self, env: str, feature_id: str) -> FeatureRecord:
        """Return a feature. Raises ``FeatureNotFoundError``."""
        return existing(feature_id, await self.feature_if_any(env, feature_id))

    async def feature_if_any(self, env: str, feature_id: str) -> FeatureRecord | None:
        """Return a feature; None where there is none, as after it was deleted."""
        return await self._find(lambda now: _view(now, env).features.get(feature_id))

    async def features_by_event(self, env: str, event_name: str) -> tuple[FeatureRecord, ...]:
        """Return the features that list an event name. Raises ``EventNotFoundError``."""
        found = await self._find(lambda now: now.events.get((env, event_name)))
        if found is None:
            raise EventNotFoundError(f"No feature lists the event name {event_name}")
        return found

    def features(self, env: str) -> list[FeatureRecord]:
        """Return every feature, oldest first."""
        return list(_view(self._snapshot, env).features.values())

    def document(self, feature: FeatureRecord) -> FeatureDocument:
        """Return the decoded document of a feature."""
        found = self._snapshot.documents.get((feature.env, feature.id))
        return decode_feature_document(feature.document) if found is None else found

    def credit_systems(self, feature: FeatureRecord) -> tuple[FeatureRecord, ...]:
        """Return the credit systems that pay for a feature, oldest first."""
        return self._snapshot.credit_systems.get((feature.env, feature.id), ())

    def pools(self, feature: FeatureRecord) -> tuple[Pool, ...]:
        """Return the credit systems that pay for a feature with their ratios, oldest first."""
        return self._snapshot.pools.get((feature.env, feature.id), ())

    async def plan(self, env: str, plan_id: str, version: int | None = None) -> StoredPlan:
        """Return a version of a plan, the latest when none is named. Raises
        ``PlanNotFoundError``.
        """
        found = await self._find(lambda now: _view(now, env).version(plan_id, version))
        if found is None:
            named = "not found" if version is None else f"has no version {version}"
            raise PlanNotFoundError(f"Plan {plan_id} {named}")
        return found

    def view(self, env: str) -> CatalogView:
        """Return the catalog of an environment as it is known."""
        return _view(self._snapshot, env)

    def plans(self, env: str, *, all_versions: bool = False) -> list[StoredPlan]:
        """Return every plan, oldest first, each in its latest version or in all, newest first."""
        return _view(self._snapshot, env).listed(all_versions=all_versions)

    async def default_plans(self, env: str) -> tuple[StoredPlan, ...]:
        """Return what a new customer gets: one plan of each group, a trial before a free one."""
        await self.renew()
        return self._snapshot.defaults.get(env, ())

    async def use_feature(self, feature: FeatureRecord) -> FeatureRecord:
        """Return the feature with its precision fixed for good: balances are about to exist.

        Raises ``UnavailableError`` when it has just become one of another kind, for the caller has
        decided by the old one.
        """
        kind = (feature.type, feature.consumable)
        for _ in range(ATTEMPTS_MAX):
            if feature.in_use:
                return feature
            # Since the caller looked, the catalog may have been read anew and tell of its use.
            feature = await self.feature(feature.env, feature.id)
            if (feature.type, feature.consumable) != kind:
                break
            identity = (feature.env, feature.id, feature.precision)
            if feature.in_use or identity in self._used:
                return feature
            if await self._store.use_feature(feature):
                self._used.add(identity)
                return feature
            await self.refresh()
        raise UnavailableError(f"feature {feature.id} is being changed; try again")

    async def create_feature(self, env: str, request: FeatureCreateRequest) -> FeatureRecord:
        """Store a new feature."""

        def decide(now: Snapshot) -> tuple[CatalogChange, FeatureRecord]:
            created_at = self.clock.now_ms(env)
            record = feature_rules.new_feature(env, request, _view(now, env), created_at)
            return CatalogChange(now.revision, features=((None, record),)), record

        return await self._change(decide)

    async def update_feature(self, env: str, request: FeatureUpdateRequest) -> FeatureRecord:
        """Store a changed feature with all plans and credit systems that name it."""

        def decide(now: Snapshot) -> tuple[CatalogChange, FeatureRecord]:
            new = feature_rules.change_feature(request, _view(now, env))
            systems = ((system.id, system) for system in new.credit_systems)
            change = CatalogChange(
                now.revision,
                features=((request.feature_id, new.feature), *systems),
                replaced_plans=tuple(new.plans),
            )
            return change, new.feature

        return await self._change(decide)

    async def delete_feature(self, env: str, feature_id: str) -> None:
        """Delete a feature nothing names."""

        def decide(now: Snapshot) -> tuple[CatalogChange, None]:
            feature_rules.check_deletable(feature_id, _view(now, env))
            return CatalogChange(now.revision, deleted_features=((env, feature_id),)), None

        await self._change(decide)

    async def create_plan(self, env: str, request: PlanCreateRequest) -> StoredPlan:
        """Store a new plan, and the precision its grants need of unused features."""

        def decide(now: Snapshot) -> tuple[CatalogChange, StoredPlan]:
            view = _view(now, env)
            plan = new_plan(env, request, view, self.clock.now_ms(env))
            lowered = _lowered(view, plan.precisions)
            change = CatalogChange(now.revision, features=lowered, plans=(plan.record,))
            return change, StoredPlan(plan.record, plan.document)

        return await self._change(decide)

    async def update_plan(
        self, env: str, request: PlanUpdateRequest, *, is_held: bool, was_held: bool
    ) -> StoredPlan:
        """Store a changed plan, as another version of it where customers have the one before."""

        def decide(now: Snapshot) -> tuple[CatalogChange, StoredPlan]:
            view, now_ms = _view(now, env), self.clock.now_ms(env)
            plan = change_plan(request, view, is_held=is_held, was_held=was_held, now_ms=now_ms)
            change = CatalogChange(
                now.revision,
                features=_lowered(view, plan.precisions),
                plans=tuple(one.record for one in plan.added),
                replaced_plans=tuple(one.record for one in plan.replaced),
                deleted_plans=tuple(one.record for one in plan.deleted),
            )
            return change, plan.shown

        return await self._change(decide)

    async def delete_plan(self, env: str, plan_id: str) -> None:
        """Delete a plan with all its versions. Raises ``PlanNotFoundError``."""

        def decide(now: Snapshot) -> tuple[CatalogChange, None]:
            versions = [one.record for one in _view(now, env).versions if one.record.id == plan_id]
            if not versions:
                raise PlanNotFoundError(f"Plan {plan_id} not found")
            return CatalogChange(now.revision, deleted_plans=tuple(versions)), None

        return await self._change(decide)

    async def advance_clock(self, request: ClockAdvanceRequest) -> ClockView:
        """Move the sandbox's clock forward, for every process and for good."""

        def decide(now: Snapshot) -> tuple[CatalogChange, ClockView]:
            view = advanced(request, self.clock.view(SANDBOX))
            return CatalogChange(now.revision, clock_offset_ms=view.offset), view

        return await self._change(decide)

    async def _change(self, decide: Callable[[Snapshot], tuple[CatalogChange, Decided]]) -> Decided:
        """Store what is decided on the newest catalog, and decide anew when it has moved on."""
        # Changes of one process take turns: only those of others cost an attempt.
        async with self._turn(self._changing):
            for _ in range(ATTEMPTS_MAX):
                await self.refresh()
                change, decided = decide(self._snapshot)
                if await self._store.apply(change):
                    await self._refresh_own_change()
                    return decided
        raise UnavailableError("the catalog is being changed; try again")

    @contextlib.asynccontextmanager
    async def _turn(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        before = self._faults
        async with lock:
            if self._faults != before:
                raise UnavailableError("SQL did not answer whoever asked before; try again")
            yield

    async def _find(self, look: Callable[[Snapshot], Found | None]) -> Found | None:
        found = look(self._snapshot)
        if found is None:
            await self._look_again()
            found = look(self._snapshot)
        return found

    async def _refresh_own_change(self) -> None:
        # The change is stored; that it is not visible here yet is what the next poll repairs.
        with contextlib.suppress(UnavailableError):
            await self.refresh(moved=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            was_reachable = self._reachable
            try:
                await self.refresh()
            except UnavailableError as error:
                if was_reachable:
                    log.warning(
                        "catalog: SQL is unavailable, going on with what is known: %s", error
                    )
            except Exception:  # it would be the last look, and no key ever be revoked here again
                if was_reachable:
                    log.exception("catalog: what SQL has cannot be read, going on without it")


def _lowered(
    view: CatalogView, precisions: Mapping[str, int]
) -> tuple[tuple[str | None, FeatureRecord], ...]:
    """Return features with the coarser precision that grants need."""
    return tuple(
        (each, msgspec.structs.replace(view.features[each], precision=precision))
        for each, precision in precisions.items()
    )


def _view(snapshot: Snapshot, env: str) -> CatalogView:
    return snapshot.views.get(env) or CatalogView({}, {})
