"""From the outbox to SQL, exactly once: follow the streams (``writer``, ``stream_reader``), share
the partitions (``leases``), read a batch (``intake``), fold it (``fold``), and merge it in one
transaction (``store``).
"""
