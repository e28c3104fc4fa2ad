from libc.stdint cimport int32_t

from replay._ext.world cimport World

cdef int on_layout(World* w, int32_t row) except -1 nogil
cdef int on_layout_wait(World* w, int32_t row) except -1 nogil
cdef int on_lease_break(World* w, int32_t row) except -1 nogil
cdef int on_cache_del(World* w, int32_t row) except -1 nogil
cdef int on_reclaim(World* w, int32_t row) except -1 nogil
cdef int on_migrate(World* w, int32_t row) except -1 nogil
