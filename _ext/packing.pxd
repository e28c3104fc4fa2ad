# Rows in few bytes, while they wait for the end of the trace.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from replay._ext.rows cimport Row

cdef enum:
    N_FIELDS = 13


cdef struct Expected:
    uint64_t fields[256][N_FIELDS]   # of the last row of each operation
    uint64_t seq                     # of the last row
    uint64_t ts


cdef class Packer:
    cdef Expected expected
    cdef uint8_t *packed
    cdef size_t used, capacity
    cdef readonly int64_t rows

    cdef int add(self, const Row *rows, size_t count) except -1 nogil
    cdef int _enlarge(self) except -1 nogil
