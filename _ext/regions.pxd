# Pins and memory regions, step by step.

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.state cimport Record, State, Task

cdef int pin_call(State state, Task *task, Record *record) except -1 nogil
cdef int pin_return(State state, Task *task, Record *record) except -1 nogil
cdef int unpin(State state, Task *task, Record *record) except -1 nogil
cdef int register_call(State state, Task *task, Record *record, bint odp) except -1 nogil
cdef int register_return(State state, Task *task, Record *record) except -1 nogil
cdef int release(State state, Task *task, Record *record) except -1 nogil
cdef int32_t releasing_page(State state, Task *task, uint64_t ino, int64_t index) noexcept nogil
