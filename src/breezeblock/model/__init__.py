"""Frozen records of what the service keeps, and the table of legal state moves."""
