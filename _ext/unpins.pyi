"""Part of the in-order pass of lowering; nothing in it is for Python. See unpins.pyx."""
