"""The scripts that decide. This package holds no Python; it exists so that a wheel can find
them.
"""
