from libc.stdint cimport int32_t

from replay._ext.world cimport World

cdef int on_mr_reg(World* w, int32_t row) except -1 nogil
cdef int on_mr_dereg(World* w, int32_t row) except -1 nogil
cdef int on_pin(World* w, int32_t row) except -1 nogil
cdef int on_unpin(World* w, int32_t row) except -1 nogil
cdef int take_preexisting(World* w, int32_t pin) except -1 nogil
cdef void on_fork(World* w, int32_t row) noexcept nogil
cdef int on_exit(World* w, int32_t row) except -1 nogil
