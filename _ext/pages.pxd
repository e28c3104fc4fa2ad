from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport World

cdef int take_pin(World* w, int32_t pin, bint recorded) except -1 nogil
cdef int drop_pin(World* w, int32_t pin, int how, int op, int32_t victim) except -1 nogil
cdef int drop_front(World* w, int32_t pin, int64_t npages, int how, int op, int32_t victim) except -1 nogil
cdef int end_instances(World* w, int32_t file, int64_t lo, int64_t hi, bint hole) except -1 nogil
cdef void dirty_pages(World* w, int64_t lo, int64_t hi) noexcept nogil
cdef void flush_until_now(World* w, int64_t slot) noexcept nogil
