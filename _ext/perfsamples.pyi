"""Part of the walk over the records of perf.data; nothing in it is for Python. See perfsamples.pyx."""
