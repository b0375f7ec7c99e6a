"""What is ours inside uvicorn's protocol: the fast lane (``lane``), what a client may send and how
slowly it may read (``intake``, ``flow``), and how a connection writes and ends.
"""
