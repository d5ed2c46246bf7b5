"""Volumes as LUKS containers: their headers, the layer that encrypts what fills them, and whose key opens which."""
