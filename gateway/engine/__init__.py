"""The operations. Each turns a request into one script call and its reply into a response.

What decides is Lua (hot) or ``gateway.lifecycle`` (cold); what is here fetches, retries within
bounds, and words the answer.

Redis gone: ``UnavailableError``, nothing changed, or ``UnknownOutcomeError`` when a change was in
flight. SQL gone: customers that are in Redis are unaffected; cold ones, lists and catalog changes
raise ``UnavailableError``.
"""
