from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport World

cdef int64_t service_time(World* w, int32_t row) noexcept nogil
cdef int reregister_at(World* w, int32_t r, int32_t broken, int64_t time) except -1 nogil
cdef int reregister_later(World* w, int32_t row) except -1 nogil
cdef int on_reregister(World* w, int32_t r, int32_t broken) except -1 nogil
