"""From the outbox to SQL, exactly once: follow the streams (``writer``, ``stream_reader``, and
``lingering`` between two reads), share the partitions (``leases``), read a batch (``intake``,
``tracks``), fold it (``fold``, ``fold_state``) into rows (``batch``), and merge it in one
transaction (``store``, ``merge``, ``staging``).
"""
