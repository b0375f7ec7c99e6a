"""The processes of an installation: one that serves alone (``alone``), or a ``supervisor`` with
each ``worker`` it starts and the ``channel`` between them. What they do is serve HTTP (``serving``)
or carry changes to SQL (``writing``).

Under them: the socket (``listening``), the first key (``first_key``), the loop and its signals
(``running``), Redis and SQL of who serves nobody (``ground``), an end in time (``deadline``), rare
garbage collection (``collecting``), and the metrics of all as one page (``tallies``).
"""
