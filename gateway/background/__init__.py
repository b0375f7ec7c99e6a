"""What goes on in a process beside its requests: the writer and the deliverer (``tasks``), what
keeps Redis small and honest (``upkeep``), and who leaves Redis for it (``evictor``).
"""
