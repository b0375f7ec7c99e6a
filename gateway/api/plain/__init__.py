"""Plain calls, which nearly all are: a check or a track of units of one feature and nothing else.
From a body remembered (``uses``) through the command (``calls``, ``counted`` where limits bind) to
an answer written into a form (``forms``, ``pieces`` of the rows in ``sources``), or into the last
answer (``repeats``).
"""
