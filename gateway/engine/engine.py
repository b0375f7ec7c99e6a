"""The engine: every operation of the API in one object, made once by ``gateway.app``."""

from __future__ import annotations

from gateway.engine.balances import Balances
from gateway.engine.customers import Customers
from gateway.engine.entities import Entities
from gateway.engine.events import Events
from gateway.engine.plans import Attachments


class Engine(Balances, Customers, Entities, Attachments, Events):
    """Everything a request can ask for."""
