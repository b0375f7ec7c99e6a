"""SQL: what the outbox leaves there, who may read it, and the writer in between.

The tables are in ``models``, the writer in ``sync``, what the API asks in ``reads``. ``database``
and ``dialects`` are the engines; ``migrate``, with ``moves``, changes the schema. What is written
to SQL first has ``catalog``, ``tokens`` and ``webhooks``; the guard keeps ``incidents``, health
reads ``fleet``, operators read ``reports`` and, to prove them, ``audit`` with ``lost_events``;
``mending`` repairs, and ``rescaling`` gives a feature another precision. ``cursors``, ``questions``
and ``rollups`` are statements others share.
"""
