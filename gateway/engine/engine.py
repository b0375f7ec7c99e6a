"""The engine: every operation of the API in one object, made once by ``gateway.app``."""

from __future__ import annotations

from gateway.engine.batches import Batches
from gateway.engine.customers import Customers
from gateway.engine.entities import Entities
from gateway.engine.events import Events
from gateway.engine.grants import Grants
from gateway.engine.listings import Listings
from gateway.engine.locks import Locks
from gateway.engine.plans import Attachments
from gateway.engine.switches import Switches


class Engine(Batches, Locks, Customers, Entities, Attachments, Switches, Grants, Listings, Events):
    """Everything a request can ask for."""
