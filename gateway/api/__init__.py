"""HTTP: decode, check the shape, call the engine, encode. What a request means is decided below.

An ``operation`` is described once, and ``operations`` lists all; every request takes the steps of
``exchange``, with what they need of ``versions``, ``permits``, ``decoding``, ``rates`` and
``errors``, and is noted by ``access``. ``asgi`` has the routes, and beside them ``health``,
``docs`` and what is ``unsupported``. The packages are listed in CONTRIBUTING.
"""
