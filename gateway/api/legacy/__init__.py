"""The API as version 1.2 knows it: other words and other shapes for the same operations; and as 2.1
and 2.2 do, whose answers leave no key out (``complete``).

``messages`` and ``product_messages`` are the old shapes. ``views`` and ``items`` turn answers into
them; ``subjects``, ``usage``, ``products`` and ``billing`` turn old requests into those of today
and hand them to the same engine; ``OLDER`` in ``operations`` names which operation has which shape.
``previews`` are the products a denied check suggests, in this shape whatever the version; ``rest``
is about paths alone: it turns the REST routes into operations, whatever the version. Nothing
outside knows of this folder but the router and, of ``complete``, the forms of plain calls and, of
``previews``, the table of operations.
"""
