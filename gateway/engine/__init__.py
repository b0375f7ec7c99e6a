"""The operations. Each turns a request into one script call and its reply into a response.

What decides is Lua (hot) or ``gateway.lifecycle`` (cold); what is here fetches, retries within
bounds, and words the answer. ``engine`` is all operations as one object: ``balances`` with
``spending``, ``batches``, ``locks``, ``grants`` and ``listings``, ``customers``, ``entities``,
``plans`` (what is ``asked`` of them), and ``events`` with ``aggregates``. What they share is in
``creation`` and ``foresight``; ``tokens`` stand beside them.

``subject`` brings who a call is about, from SQL (``images``) or known by an email (``nameless``);
``newcomers`` are entities SQL may not have yet. ``planner`` changes plans, and ``agenda``,
``switches`` and ``sweeper`` see to it that they change in time. ``catalog`` is features, plans,
keys (``principals``) and the sandbox's ``clock`` in memory, as one ``snapshot``, from which
``controls`` are compiled. Answers are worded by ``verdicts``, ``views`` and ``portraits``, lists
with ``paging``, and kept for a key by ``claims`` and ``replies``. ``durability``, ``backlog`` and
``outage`` say when there is one, ``spooling`` keeps tracks until there is, and ``denials`` counts
those that are no.

Redis gone: ``UnavailableError``, nothing changed, or ``UnknownOutcomeError`` when a change was in
flight. SQL gone: customers that are in Redis are unaffected; cold ones, lists and catalog changes
raise ``UnavailableError``.
"""
