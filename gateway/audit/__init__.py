"""Proof that Redis, SQL and the events agree: what differs (``records``), how it is found
(``comparison``, ``auditor``), and who looks all the time (``drift``).
"""

from __future__ import annotations
