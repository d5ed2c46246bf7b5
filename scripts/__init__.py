"""What `make` runs: the demo and the image it needs."""
