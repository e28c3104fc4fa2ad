from libc.stdint cimport int32_t, int64_t

from replay._ext.world cimport Conflicts, Integral, World


cdef struct StallRow:
    int64_t ts
    int64_t dur
    int64_t index
    int64_t npages
    int32_t unbounded
    int32_t op
    int32_t role
    int32_t task
    int32_t file
    int32_t pin
    int32_t region


cdef struct RefusalRow:
    int64_t ts
    int64_t index
    int64_t npages
    int32_t reason
    int32_t task
    int32_t file
    int32_t pin
    int32_t region


cdef struct RevocationRow:
    int64_t ts
    int64_t npages
    int32_t reason
    int32_t op
    int32_t task
    int32_t breaker
    int32_t file
    int32_t region


# Rows. `victim` and the like are tasks, as numbers of the tasks table.
cdef int64_t index_of(World* w, int64_t slot) noexcept nogil
cdef int64_t run_end(World* w, int64_t slot) noexcept nogil
cdef int32_t holder_of(World* w, int32_t file, int64_t slot, int look) noexcept nogil
cdef int conflict(World* w, int cls, int op, int32_t file, int64_t index, int64_t npages, int32_t pin, int32_t region,
                  int32_t victim) except -1 nogil
cdef int64_t report(World* w, int cls, int op, int32_t file, int64_t lo, int64_t hi, int look, int32_t victim) except -1 nogil
cdef int64_t report_pin(World* w, int cls, int op, int32_t pin, int look, int32_t victim) except -1 nogil
cdef int stall(World* w, int64_t ts, int64_t dur, bint unbounded, int op, int role, int32_t task, int32_t file, int64_t lo,
               int64_t hi, int32_t pin) except -1 nogil

cdef int stall_range(World* w, int64_t ts, int64_t dur, bint unbounded, int op, int role, int32_t task, int32_t file,
                     int64_t index, int64_t npages, int32_t pin) except -1 nogil

# Costs.
cdef void charge(World* w, int metric, int64_t amount) noexcept nogil
cdef void charge_at(World* w, int metric, int64_t time, int64_t amount) noexcept nogil
cdef void change(World* w, Integral* integral, int metric, int64_t delta) noexcept nogil

# As they leave: one array for each column.
cdef class Blocks:
    cdef dict columns
    cdef list alone        # how often each column is referred to while nobody else has the block
    cdef list kept
    cdef object take
    cdef int64_t rows

    cdef int begin(self, Conflicts* t) except -1
    cdef references(self)
    cdef filled(self, int64_t n)
    cdef int hand_on(self, Conflicts* t) except -1
    cdef rest(self, Conflicts* t)


cdef outcomes(World* w, Blocks blocks)
