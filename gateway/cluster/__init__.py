"""Redis Cluster: which server has which key (``topology``), and one client for all (``client``)."""
