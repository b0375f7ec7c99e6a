"""Every script as a coroutine with its name; arguments follow its header."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.keys import CustomerKeys, Key
from gateway.scripts.calls import (
    NOTHING_POOLED,
    CheckReply,
    Context,
    CustomerReply,
    Ending,
    FeatureRows,
    Part,
    PooledGroups,
    RowEdit,
    Status,
    Target,
    TrackReply,
    Use,
    check_reply,
    description_of,
    track_reply,
    track_words,
)
from gateway.scripts.rates import TICKET
from gateway.scripts.restores import Restores


class Scripts(Restores):
    """Every entry script, bound to one client."""

    async def are_sealed(self, seals: Sequence[Key]) -> bool:
        """Whether partitions have their seals, as far as anybody looks at them."""
        return not self.seal or all(await self._look([("EXISTS", one) for one in seals]))

    async def admit(self, customer: Key | None = None) -> None:
        """Run ``admit`` for the request this is part of, unless it has been counted; with the hash
        of a customer it counts for that customer too. Raises ``RateLimitError``.
        """
        ticket = TICKET.get()
        terms = None if ticket is None else ticket.take(customer)
        if ticket is not None and terms is not None:
            reply = await self._change("admit", terms.keys, (ticket.argument(terms),))
            ticket.settle(terms, reply)

    async def check(
        self,
        keys: CustomerKeys,
        now_ms: int,
        entity: str,
        part: Part,
        properties: str = "{}",
        *,
        explain: bool = False,
    ) -> CheckReply:
        """Run ``check``."""
        reply = await self._read(
            "check",
            (keys.customer, keys.entities, keys.due),
            (now_ms, entity, properties, "1" if explain else "", *part.values),
        )
        return check_reply(reply)

    async def track(self, context: Context, use: Use) -> TrackReply:
        """Run ``track``. A reply that is replayed has status REPLAYED and is whole."""
        return track_reply(await self._change("track", *track_words(context, use)))

    async def finalize(self, context: Context, ending: Ending, part: Part) -> tuple[Status, str]:
        """Run ``finalize`` for a lock on the feature of ``part``; the text says how it ended
        before.
        """
        reply = await self._change(
            "finalize",
            context.keys,
            (
                *context.words,
                ending.lock_id,
                ending.action,
                "" if ending.final is None else ending.final,
                ending.properties,
                ending.keep_ms,
                *part.values,
            ),
        )
        return Status(reply[0]), reply[1].decode()

    async def read_customer(self, keys: CustomerKeys, now_ms: int, entity: str) -> CustomerReply:
        """Run ``read_customer``."""
        reply = await self._read(
            "read_customer", (keys.customer, keys.entities, keys.due), (now_ms, entity)
        )
        status = Status(reply[0])
        if status is not Status.DONE:
            return CustomerReply(status)
        internal_id, revision, document, subscriptions, entity = (
            part.decode() for part in reply[1:6]
        )
        described = [description_of(item) for item in reply[6]]
        return CustomerReply(
            status, internal_id, revision, document, subscriptions, entity, described
        )

    async def create_customer(
        self,
        context: Context,
        cursor: str,
        internal_id: str,
        document: str,
        subscriptions: str,
        lines: str,
        rules: str,
        rows: Sequence[FeatureRows],
    ) -> Status:
        """Run ``create_customer``."""
        keys = context.keys
        flat = [part for group in rows for part in group]
        return await self._verdict(
            "create_customer",
            (keys.customer, keys.entity_index, keys.outbox, keys.seal),
            (
                *context.words,
                cursor,
                self.seal,
                internal_id,
                document,
                subscriptions,
                lines,
                rules,
                *flat,
            ),
        )

    async def apply_plan(
        self,
        context: Context,
        revision: str,
        entity: str,
        document: str,
        lines: str,
        rules: str,
        carries: str,
        rows: Sequence[FeatureRows],
        pooled: PooledGroups = NOTHING_POOLED,
    ) -> Status:
        """Run ``apply_plan``."""
        keys = context.keys
        flat = [part for group in (*rows, *pooled.rows) for part in group]
        return await self._verdict(
            "apply_plan",
            (keys.customer, keys.entities, keys.entity_index, keys.due, keys.outbox),
            (
                *context.words,
                revision,
                entity,
                document,
                lines,
                rules,
                carries,
                pooled.rules,
                len(rows),
                *flat,
            ),
        )

    async def adjust_balance(
        self,
        context: Context,
        revision: str,
        entity: str,
        feature: str,
        unit: int,
        claim: str,
        target: Target,
        amount: int,
        rows: str,
        rules: str,
        edits: Sequence[RowEdit],
    ) -> Status:
        """Run ``adjust_balance``; ``rows`` are the ids the target is about, joined by tabs."""
        flat = [part for edit in edits for part in edit]
        return await self._verdict(
            "adjust_balance",
            context.keys.own,
            (
                *context.words,
                revision,
                entity,
                feature,
                unit,
                claim,
                target,
                amount,
                rows,
                rules,
                *flat,
            ),
        )

    async def create_entity(
        self,
        context: Context,
        entity: str,
        feature: str,
        document: str,
        unit: int,
        entities_max: int,
        rules: str = "",
    ) -> Status:
        """Run ``create_entity``; ``rules`` are of the entity."""
        return await self._verdict(
            "create_entity",
            context.keys.own,
            (*context.words, entity, feature, document, unit, entities_max, rules),
        )

    async def delete_entity(
        self,
        context: Context,
        entity: str,
        unit: int,
        revision: str = "",
        pooled: PooledGroups = NOTHING_POOLED,
    ) -> Status:
        """Run ``delete_entity``."""
        flat = [part for group in pooled.rows for part in group]
        return await self._verdict(
            "delete_entity",
            context.keys.own,
            (*context.words, entity, unit, revision, pooled.rules, *flat),
        )

    async def update_customer(
        self, context: Context, revision: str, document: str, rules: str = ""
    ) -> Status:
        """Run ``update_customer``."""
        keys = context.keys
        return await self._verdict(
            "update_customer",
            (keys.customer, keys.outbox),
            (*context.words, revision, document, rules),
        )

    async def update_entity(
        self, context: Context, revision: str, entity: str, document: str, rules: str = ""
    ) -> Status:
        """Run ``update_entity``."""
        keys = context.keys
        return await self._verdict(
            "update_entity",
            (keys.customer, keys.entities, keys.outbox),
            (*context.words, revision, entity, document, rules),
        )

    async def delete_customer(self, context: Context) -> Status:
        """Run ``delete_customer``."""
        return await self._verdict("delete_customer", context.keys.own, context.words)

    async def release_customer(
        self, context: Context, cursor: str, revision: str, document: str
    ) -> Status:
        """Run ``release_customer``."""
        return await self._verdict(
            "release_customer",
            context.keys.own,
            (*context.words, cursor, revision, document),
        )

    async def adopt_customer(
        self, context: Context, cursor: str, internal_id: str, seq: int, document: str
    ) -> Status:
        """Run ``adopt_customer``."""
        keys = context.keys
        return await self._verdict(
            "adopt_customer",
            (keys.customer, keys.outbox, keys.seal),
            (*context.words, cursor, self.seal, internal_id, seq, document),
        )

    async def discard_customer(
        self, keys: CustomerKeys, head: str, cursor: str, lock_ids: Sequence[str]
    ) -> tuple[Status, bool]:
        """Run ``discard_customer``; the second says whether the customer was there."""
        reply = await self._change("discard_customer", keys, (head, cursor, *lock_ids))
        return Status(reply[0]), reply[1] == 1

    async def evict_customer(
        self,
        keys: CustomerKeys,
        head: str,
        cursor: str,
        internal_id: str,
        seq: int | None = None,
        lock_ids: Sequence[str] = (),
    ) -> Status:
        """Run ``evict_customer``; without a ``seq`` the outbox tells whether SQL has everything."""
        place = "" if seq is None else seq
        return await self._verdict(
            "evict_customer", keys, (head, cursor, internal_id, place, *lock_ids)
        )

    async def count_denials(
        self, outbox: Key, counted: Key, number: int, keep_ms: int, entry: str
    ) -> Status:
        """Run ``count_denials``."""
        return await self._verdict("count_denials", (outbox, counted), (number, keep_ms, entry))

    async def settle(self, context: Context, limit: int) -> tuple[Status, int]:
        """Run ``settle``; the integer is how many entities were settled."""
        reply = await self._change("settle", context.keys.own, (*context.words, limit))
        return Status(reply[0]), reply[1]
