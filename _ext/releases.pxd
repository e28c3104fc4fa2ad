# Releases of memory regions, step by step.

from libc.stdint cimport int32_t

from replay._ext.state cimport Record, State, Task

cdef int release(State state, Task *task, Record *record) except -1 nogil
cdef int unpinning(State state, Task *task, Record *record) except -1 nogil
cdef int meets(State state, Task *task, Record *record) except -1 nogil
cdef int finish(State state, Task *task, Record *record) except -1 nogil
cdef int32_t dirtied(State state, Task *task, Record *record) except -2 nogil
