"""What is ours inside uvicorn's protocol: what a client may send and how slowly it may read
(``intake``, ``flow``), writes that leave together (``gathering``), connections that end politely
(``leaving``), and the fast lane (``lane``) with the ``heads`` it has met before.
"""
