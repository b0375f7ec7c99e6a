"""The operations, one module for each resource: what a body looks like, what a decoder cannot say
of it (``rules`` and the modules named so), and which method of the engine answers.
"""
