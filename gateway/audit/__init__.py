"""Proof that Redis, SQL and the events agree: what differs (``records``), how it is found
(``comparison``, ``auditor``), what is told and done about it (``findings``), and who looks all the
time (``drift``).
"""

from __future__ import annotations
