"""The processes of an installation: one that serves alone (``alone``), or a ``supervisor`` with
each ``worker`` it starts and the ``channel`` between them. What they do is serve HTTP (``serving``)
or carry changes to SQL (``writing``).
"""
