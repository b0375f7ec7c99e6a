"""The private Redis of a gateway that was given none: started in the data folder (``server``), with
the best memory the machine has for it (``allocator``), and again when it ends unasked (``keeper``).
"""
