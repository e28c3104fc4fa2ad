from libc.stdint cimport int64_t


# Runs of touched pages in the order of their slots, to be asked for the slots of pages.
cdef class SlotRuns:
    cdef const int64_t[::1] index
    cdef const int64_t[::1] npages
    cdef int64_t[::1] slot          # with one more: the number of all slots
    cdef int64_t[::1] first         # of each file's runs, with one more
    cdef int64_t[::1] latest        # of each file's runs the one that was asked for last: the next question is mostly about the same

    cdef int64_t rank(self, int64_t file, int64_t index) except? -1 nogil
