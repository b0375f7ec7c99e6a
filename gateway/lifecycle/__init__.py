"""The cold rules, as pure functions: the date is passed in, changes come out, nothing is read
or written.
"""
