"""Holds an installed driver to the published rules: what `breezeblock driver check` runs.

Nothing here but `run` and `installed` imports pytest, and these are imported when a check begins.
"""
