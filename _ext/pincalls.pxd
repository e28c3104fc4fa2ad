# Pin calls, step by step.

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport Found
from replay._ext.state cimport Record, State, Task

cdef int pin_call(State state, Task *task, Record *record) except -1 nogil
cdef int pin_return(State state, Task *task, Record *record) except -1 nogil
cdef int pin_page(State state, Task *task, Record *record, bint dirtied) except -1 nogil
cdef int pins_so_far(State state, Task *task, Record *record) except -1 nogil
cdef int pin_pages(State state, Task *task, Record *record, uint64_t addr, int64_t npages, int64_t flags) except -1 nogil
cdef int settle(State state, Task *task, int64_t npages) except -1 nogil
cdef int end_pin(State state, Record *record, int32_t number, int dirty) except -1 nogil
cdef int end_part(State state, Record *record, int32_t number, int64_t skip, int64_t npages, int dirty) except -1 nogil
cdef Found look_up(State state, Task *task, uint64_t addr, uint64_t end, int64_t gup_flags) noexcept nogil
