# File operations, step by step: nesting, beginnings and ends.

from libc.stdint cimport int32_t, int64_t

from replay._ext.state cimport Record, State, Task

cdef int boundary(State state, Task *task, Record *record) except -1 nogil
cdef int fsync_begin(State state, Task *task, Record *record) except -1 nogil
cdef int fsync_end(State state, Task *task, Record *record) except -1 nogil
cdef int layout_begin(State state, Task *task, Record *record, int op, int64_t kind, bint ends) except -1 nogil
cdef int layout_end(State state, Task *task, Record *record) except -1 nogil
cdef int fallocate_begin(State state, Task *task, Record *record) except -1 nogil
cdef int truncate_begin(State state, Task *task, Record *record) except -1 nogil
cdef int inside(State state, Task *task, Record *record) except -1 nogil
cdef int cache_delete(State state, Task *task, Record *record) except -1 nogil
cdef int system_call_end(State state, Task *task, Record *record) except -1 nogil
cdef int lease_block(State state, Task *task, Record *record) except -1 nogil
cdef int lease_unblock(State state, Task *task, Record *record) except -1 nogil
cdef int scan_call(State state, Task *task, Record *record) except -1 nogil
cdef int scan_return(State state, Task *task, Record *record) except -1 nogil
cdef int task_exit(State state, Task *task, Record *record) except -1 nogil
