"""``balances.list``: SQL says which balances there are, their owners what is left of them.

What resets and rolls over does so when its owner is read, so an active balance is shown as a check
would show it. One that ends between the two answers is left out, which makes its page shorter.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from gateway.documents import held_entity
from gateway.engine.creation import Creation
from gateway.engine.paging import LIMIT_DEFAULT
from gateway.engine.subject import Subject
from gateway.engine.views import Held, Part, breakdown_of, held_of, parts_of, rollovers_of
from gateway.errors import CustomerNotFoundError, EntityNotFoundError
from gateway.listing import ACTIVE, BalanceQuery, BalanceRecord, ListedEntity
from gateway.messages.balances import LeftoverView
from gateway.messages.common import integer
from gateway.messages.grants import BalanceListRequest, BalanceListResponse, ListedBalance
from gateway.ports import FeatureRecord
from gateway.rows import Kind, decode_row
from gateway.scripts import Description

_Owner = tuple[str, str]
"""A customer, and one of its entities or an empty text."""
_Seen = dict[tuple[_Owner, str], "Description"]
"""What each owner has of each feature."""


class Listings(Creation):
    """Balances as a list of single ones."""

    async def list_balances(self, env: str, request: BalanceListRequest) -> BalanceListResponse:
        """Return one page of balances. Raises ``InvalidCursorError``, and the not-found errors of
        what the request names.
        """
        if request.feature_id is not None:
            await self.catalog.feature(env, request.feature_id)
        entity = await self._check_owner(env, request)
        now_ms = self.clock.now_ms(env)
        page = await self.reader.list_balances(
            BalanceQuery(
                env=env,
                now_ms=now_ms,
                limit=integer(request.limit, field="limit") or LIMIT_DEFAULT,
                cursor=request.start_cursor or "",
                customer_id=request.customer_id,
                entity=entity,
                feature_id=request.feature_id,
                plan_id=None if request.plan_id is UNSET else request.plan_id,
                standalone=request.plan_id is None,
                statuses=tuple(request.statuses or (ACTIVE,)),
            )
        )
        entity_id = "" if entity is None else entity.entity_id
        seen = await self._described(env, page.items, entity_id)
        shown = [
            await self._listed_balance(env, one, entity_id, seen, now_ms) for one in page.items
        ]
        return BalanceListResponse(
            list=[one for one in shown if one is not None],
            has_more=page.next_cursor is not None,
            next_cursor=page.next_cursor,
        )

    async def _check_owner(self, env: str, request: BalanceListRequest) -> ListedEntity | None:
        """Wait until SQL knows what is listed, and return the entity it is listed for."""
        if request.customer_id is None:
            await self.subjects.caught_up()
            return None
        subject = self.subjects.subject(env, request.customer_id, entity_id=request.entity_id)
        reply = await self.read(subject)
        await self.subjects.caught_up([subject.partition])
        if not subject.entity_id:
            return None
        found = held_entity(reply.entity)
        return ListedEntity(subject.entity_id, found.feature_id, found.document.created_at)

    async def _described(self, env: str, records: list[BalanceRecord], entity_id: str) -> _Seen:
        owners = list(
            dict.fromkeys(_owner(one, entity_id) for one in records if one.status == ACTIVE)
        )
        found = await self.together(
            self._descriptions(self.subjects.subject(env, customer_id, entity_id=owner_entity_id))
            for customer_id, owner_entity_id in owners
        )
        return {
            (owner, description.feature): description
            for owner, descriptions in zip(owners, found, strict=True)
            for description in descriptions
        }

    async def _descriptions(self, subject: Subject) -> Sequence[Description]:
        try:
            return (await self.read(subject)).descriptions
        except (CustomerNotFoundError, EntityNotFoundError):  # deleted since SQL listed it
            return []

    async def _listed_balance(
        self, env: str, record: BalanceRecord, entity_id: str, seen: _Seen, now_ms: int
    ) -> ListedBalance | None:
        feature = await self.catalog.feature_if_any(env, record.feature_id)
        if feature is None:  # deleted since the balance ended
            return None
        if not feature.in_use:  # the catalog is from before the balance
            feature = await self.catalog.use_feature(feature)
        if record.status != ACTIVE:
            part = Part(decode_row(record.line), *record[5:9])
            return _listed(record, part, feature, entity_id, [])
        owner = _owner(record, entity_id)
        description = seen.get((owner, record.feature_id))
        if description is None:
            return None
        parts = parts_of(description, entity_level=bool(owner[1]), now_ms=now_ms)
        row_id = decode_row(record.line).id
        for part in parts:
            if part.row.id == row_id:
                leftovers = [one for one in parts if one.row.rollover and one.row.roll == row_id]
                shared = part.row.kind is Kind.PER_ENTITY and part.row.roll and not owner[1]
                rolled = held_of(description.rolled) if shared else Held()
                found = rollovers_of(leftovers, rolled, [part], feature.precision)
                return _listed(record, part, feature, entity_id, [] if found is UNSET else found)
        return None


def _owner(record: BalanceRecord, entity_id: str) -> _Owner:
    return record.customer_id, entity_id or record.entity_id


def _listed(
    record: BalanceRecord,
    part: Part,
    feature: FeatureRecord,
    entity_id: str,
    rollovers: list[LeftoverView],
) -> ListedBalance:
    owner = entity_id or record.entity_id or None
    return ListedBalance(
        **msgspec.structs.asdict(breakdown_of(part, feature.precision)),
        feature_id=record.feature_id,
        status=record.status,
        source="customer" if owner is None else "entity",
        rollovers=rollovers,
        customer_id=record.customer_id,
        entity_id=owner,
        created_at=record.created_at,
    )
