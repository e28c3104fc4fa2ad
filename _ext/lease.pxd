from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport World

cdef int break_leases(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil
cdef int on_answer(World* w, int32_t broken, int32_t owner) except -1 nogil
cdef int on_lease_del(World* w, int32_t row) except -1 nogil
cdef int on_deadline(World* w, int32_t broken) except -1 nogil
