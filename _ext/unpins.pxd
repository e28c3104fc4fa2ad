# Unpins outside of memory regions, step by step.

from replay._ext.state cimport Record, State, Task

cdef int unpin(State state, Task *task, Record *record) except -1 nogil
cdef int unpin_page(State state, Task *task, Record *record) except -1 nogil
