"""``python -m tests.torture.warden``: kills what is left when the run itself is killed.

It reads ``+pid`` and ``-pid`` lines and, at the end of its input, kills the process groups that
were named and not taken back. That end comes however the run ends, ``kill -9`` included. The
children of a PostgreSQL server, which are groups of their own, follow their parent by themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Wait for the end of the run."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
