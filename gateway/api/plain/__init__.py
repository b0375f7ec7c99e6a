"""Plain calls, which nearly all are: a check or a track of units of one feature and nothing else.
From a body remembered (``uses``) through the command (``calls``) to an answer written into a form
(``pieces``).
"""
