"""The wire: one file of request and response structs per resource.

Field names, null-or-absent and required keys are those of the published clients: a key that one of
them requires is always sent, ``None`` where it may be null; ``UNSET`` is left out. Amounts arrive
as raw JSON (``Number``) and are turned into units by ``gateway.amounts``; they leave as raw JSON
too, so no float is ever in between.
"""
