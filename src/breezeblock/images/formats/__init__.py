"""The header gate: for each image format one file that says whether a header is sane, and how large the disk is.

Each has `examine(image, rules) -> int`, the virtual size in bytes as qemu understands it, raising `ImageUnacceptable`.
They read the small structures only (header, tables), never believe an offset or a count, and take time in proportion
to what the file really holds.
"""
