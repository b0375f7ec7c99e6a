"""Measurements an engineer runs before trusting the gateway: ``python -m bench``."""
