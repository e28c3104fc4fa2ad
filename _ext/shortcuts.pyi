"""Part of the replay loop; nothing in it is for Python. See device.pyx."""
