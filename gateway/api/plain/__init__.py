"""Plain calls, which nearly all are: a check or a track of one feature that asks for units, in
whatever manner (``manners``). From a body remembered (``uses``) through the command (``calls``,
``counted`` where limits bind) to an answer (``answers``) written into a form (``forms``, ``pieces``
of the rows in ``sources``, ``pooled`` where credit systems pay), or into the last answer
(``repeats``).
"""
