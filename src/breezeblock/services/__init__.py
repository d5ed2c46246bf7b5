"""Use cases: one is one function is one transaction. What takes time is handed to a flow in that transaction."""
