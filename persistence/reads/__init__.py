"""What the API reads from SQL: everything goes through ``reader``; each list and each sum has a
module of its own.
"""
