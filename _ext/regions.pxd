# Memory regions, step by step.

from replay._ext.state cimport Record, State, Task

cdef int register_call(State state, Task *task, Record *record, bint odp) except -1 nogil
cdef int register_return(State state, Task *task, Record *record) except -1 nogil
