# Remote accesses to live regions.

from libc.stdint cimport int32_t

from replay._ext.state cimport Record, State

cdef int enter(State state, int32_t region) except -1 nogil
cdef int leave(State state, int32_t region) noexcept nogil
cdef int remote(State state, Record *record) except -1 nogil
