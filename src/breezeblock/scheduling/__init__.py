"""Where a volume goes and whether it may: placement, quota, and both with the row in the caller's transaction."""
