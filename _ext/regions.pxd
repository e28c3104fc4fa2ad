# Pins and memory regions, step by step.

from libc.stdint cimport int32_t, int64_t

from replay._ext.state cimport Record, State, Task

cdef int pin_call(State state, Task *task, Record *record) except -1 nogil
cdef int pin_return(State state, Task *task, Record *record) except -1 nogil
cdef int unpin(State state, Task *task, Record *record) except -1 nogil
cdef int register_call(State state, Task *task, Record *record, bint odp) except -1 nogil
cdef int register_return(State state, Task *task, Record *record) except -1 nogil
cdef int pin_page(State state, Task *task, Record *record) noexcept nogil
cdef int pins_so_far(State state, Task *task, Record *record) except -1 nogil
cdef int end_part(State state, Record *record, int32_t number, int64_t skip, int dirty) except -1 nogil
