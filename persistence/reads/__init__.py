"""What the API reads from SQL: everything goes through ``reader``. Each list and each sum has a
module of its own (``subject_lists``, ``balance_list``, ``subscriptions``, ``aggregates``), with
``pages`` and ``event_filters`` below them; ``images`` are customers to put back into Redis.
"""
