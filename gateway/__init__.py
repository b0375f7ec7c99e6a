"""The gateway: HTTP in, one Redis script per operation, JSON out."""
