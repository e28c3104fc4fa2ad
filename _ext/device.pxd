from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport Task, World

cdef void assume_device(World* w, bint shown) noexcept nogil
cdef int on_remote(World* w, int32_t row, bint write) except -1 nogil
cdef int map_pin(World* w, int32_t pin) except -1 nogil
cdef void unmap_pin(World* w, int32_t pin) noexcept nogil
cdef int64_t unmap_range(World* w, int32_t file, int64_t lo, int64_t hi, bint refault) except -1 nogil
