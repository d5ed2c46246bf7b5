"""A disk written as an image file in one pass, from the first byte to the last: one file for each format.

Each has a class that is made of a `BlockSource` and the image's id. It lays the file out from the source's extents, so
that `length` (bytes, None where only the writing tells) is known before `pieces` yields the first of them. The same
source and id make the same file. A disk is a whole number of sectors of 512 bytes.
"""
