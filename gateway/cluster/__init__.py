"""Redis Cluster: which server has which key (``topology``), one client for all (``client``), and
what servers say that do not do something now (``refusals``).
"""
