"""How often Python looks for cycles among the objects of a process.

To load a gateway makes some hundred thousand objects that all stay: looking through them again and
again on the way is a twelfth of a start. A batch of the writer is some ten thousand small objects
that leave together, a request a few dozen: to look through all there is for cycles every few
hundred of them costs as much as the work.
"""

from __future__ import annotations

import gc

COLLECT_AFTER = (50_000, 20, 100)
"""Objects more than before, and how many times that, after which Python looks for cycles."""


def collect_seldom() -> None:
    """Look more seldom from now on; the first thing a process does."""
    gc.set_threshold(*COLLECT_AFTER)


def leave_alone_what_is_there() -> None:
    """Never look again at what was made so far, for it stays."""
    gc.freeze()
