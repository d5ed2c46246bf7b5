"""Breezeblock: a block storage service that speaks the OpenStack Block Storage API v3."""

__version__ = "0.1.0"
