"""Measures servers of the Block Storage API from outside, through their API only: this one, or a real Cinder."""
