from libc.stdint cimport int32_t

from replay._ext.world cimport World

cdef int on_wb_start(World* w, int32_t row) except -1 nogil
cdef int on_fsync(World* w, int32_t row) except -1 nogil
cdef int flush_to_end(World* w) except -1 nogil
