from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport World

cdef int hold_blocks(World* w, int32_t file, int64_t lo, int64_t hi, bint busy) except -1 nogil
cdef void drop_holds(World* w, int32_t pin) noexcept nogil
cdef int on_block_alloc(World* w, int32_t row) except -1 nogil
