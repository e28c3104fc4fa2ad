from libc.stdint cimport int64_t


# The run of a file that was asked for last: the next question is mostly about the same.
cdef struct LatestRun:
    int64_t begin
    int64_t end
    int64_t slot


# Runs of touched pages in the order of their slots, to be asked for the slots of pages.
cdef class SlotRuns:
    cdef const int64_t[::1] index
    cdef const int64_t[::1] npages
    cdef int64_t[::1] slot          # with one more: the number of all slots
    cdef int64_t[::1] first         # of each file's runs, with one more
    cdef LatestRun *latest
    cdef int64_t files

    cdef int64_t _find(self, int64_t file, int64_t index) except? -1 nogil


cdef inline int64_t rank(SlotRuns runs, int64_t file, int64_t index) except? -1 nogil:
    """How many touched pages lie before this one: for a touched page its slot."""
    if 0 <= file < runs.files and runs.latest[file].begin <= index < runs.latest[file].end:
        return runs.latest[file].slot + (index - runs.latest[file].begin)
    return runs._find(file, index)
