"""Customers without an id, and how one gets its id.

Such a customer is kept like any other under a reserved id, which its email decides; answers show
null. When a customer with an id and that email is to be created, it is this one that gets the id
instead. The two ids are in different partitions, so that takes two steps, each one script:

1. *Release*: it leaves Redis, and its document says so. From this entry on nothing brings it back
   under the reserved id as it was: whoever read SQL before has to wait for the writer.
2. *Adopt*, once SQL has that: an entry in the partition of the new id names the customer that SQL
   knows by this id from then on. Whoever else wants to create this id has to wait for the writer.

SQL keeps all of a customer by an internal id, which stays; so balances, plans and their history are
never moved. Of several entries that adopt one customer at a time, SQL lets the first win; to the
others nothing has happened, and each who waits for one finds out by reading SQL again.

Failure. A crash after a release leaves a customer that is in SQL alone: the next who asks for it,
with an id or without, adopts it, and so does a list. A crash after an adoption leaves an entry for
the writer and nothing else to do.
"""

from __future__ import annotations

import msgspec

from gateway.documents import decode_customer, encode_document
from gateway.ids import public_id
from gateway.ports import CustomerImage
from gateway.scripts import Context, Scripts, Status


def is_released(image: CustomerImage) -> bool:
    """Whether a customer waits in SQL for its id."""
    return public_id(image.customer_id) is None and decode_customer(image.document).released


async def release(scripts: Scripts, context: Context, cursor: str) -> Status:
    """Let a customer without an id go; CUSTOMER_MISSING when Redis has none and SQL knew all there
    was of it at the cursor.
    """
    reply = await scripts.read_customer(context.keys, context.now_ms, "")
    if reply.status is Status.DUE:
        return Status.DUE
    document = _marked(reply.document, released=True) if reply.document else ""
    return await scripts.release_customer(context, cursor, reply.revision, document)


async def adopt(scripts: Scripts, context: Context, cursor: str, image: CustomerImage) -> Status:
    """Give the id of a call to a customer that was let go; SQL did not know the id at the cursor.
    BUSY when the writer has to be waited for.
    """
    document = _marked(image.document, released=False)
    status = await scripts.adopt_customer(
        context, cursor, image.internal_id, image.seq + 1, document
    )
    return Status.BUSY if status is Status.DONE else status


def _marked(text: str, *, released: bool) -> str:
    return encode_document(msgspec.structs.replace(decode_customer(text), released=released))
