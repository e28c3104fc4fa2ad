# Rows in few bytes, while they wait for the end of the trace.

from libc.stdint cimport int64_t, uint8_t

from replay._ext.rows cimport Row
from replay._ext.unpacking cimport Expected


cdef class Packer:
    cdef Expected expected
    cdef uint8_t *packed
    cdef size_t used, capacity
    cdef readonly int64_t rows

    cdef int add(self, const Row *rows, size_t count) except -1 nogil
    cdef int _enlarge(self) except -1 nogil
