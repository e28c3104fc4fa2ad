from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport Entry, Task, World

cdef void take_out(World* w, int64_t at) noexcept nogil
cdef void unschedule(World* w, int32_t task) noexcept nogil
cdef int timer(World* w, int64_t time, int kind, int32_t who, int32_t what) except -1 nogil
cdef int shift(World* w, int32_t task, int64_t delta) except -1 nogil
cdef int schedule_next(World* w, int32_t task) except -1 nogil
cdef void block(World* w, int32_t row, int32_t file, int64_t lo, int64_t hi, int op, int32_t pin) noexcept nogil
cdef int wait_pages(World* w, int32_t row, int32_t file, int64_t lo, int64_t hi, int look, int op) except -1 nogil
cdef int wait_pins(World* w, int32_t row, int32_t file, int64_t at, int64_t n, int64_t lo, int64_t hi, int op) except -1 nogil
cdef int wait_written(World* w, int32_t row, int32_t file, int64_t at, int op) except -1 nogil
cdef int watch_pages(World* w, int32_t task, int64_t lo, int64_t hi, int look) except -1 nogil
cdef int wake(World* w, int32_t task) except -1 nogil
cdef int recheck(World* w, int32_t file) except -1 nogil
cdef int finish_stall(World* w, int32_t task, bint unbounded) except -1 nogil
cdef void stop_waiting(World* w, int32_t task) noexcept nogil
