from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport World

cdef int find_queues(World* w) except -1 nogil
cdef bint acquire(World* w, int32_t row) except -1 nogil
cdef int hold_on(World* w, int32_t row) except -1 nogil
cdef int hold_longer(World* w, int32_t row, int64_t dur) except -1 nogil
cdef int on_unlock(World* w, int32_t file) except -1 nogil
cdef bint queues_undelayed(World* w, int32_t task) noexcept nogil
cdef void settle_queued(World* w, int32_t task) noexcept nogil
cdef int let_queues_go(World* w) except -1 nogil
cdef void leave_queue(World* w, int32_t task) noexcept nogil
cdef int pass_on_of_dead(World* w) except -1 nogil
