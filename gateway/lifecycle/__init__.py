"""The cold rules, as pure functions: the date is passed in, changes come out, nothing is read
or written.

Plans of one ``scope`` change by ``attach`` (``terms``) and ``together``, ``cancel``, ``revise`` of
a ``target`` (``customize``), ``quantities`` and ``reanchor``, and by themselves when they are
``due``; ``eligibility`` and ``preview`` (``lines``) say what would be, and ``suggestions`` which
plans would give more. Their rows come from ``plan_rows``, ``pools`` and, by hand, ``grants``, in
their ``order``, as far as there is ``room``; ``carrying``, ``rollover``, ``pausing`` and
``used_up`` say what of the rows before stays, ``prices`` and ``trials`` when.

What the ``catalog`` may hold say ``feature_rules`` with ``precision``, ``plan_rules`` with
``plan_items``, and ``plan_changes``. ``controls`` become the ``rules`` scripts obey; ``clock`` is
the sandbox's.
"""
