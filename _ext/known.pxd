# What is known of keys, files and threads once a trace has ended, and of rows by it.

from libc.stdint cimport int32_t, int64_t, uint8_t

from replay._ext.hashing cimport PairMap
from replay._ext.rows cimport FLAG_WEAK, OP_NOTHING, PATCH_FILE, PATCH_INDEX, PATCH_NPAGES, PATCH_OP, PATCH_PIN, Row
from replay._ext.settling cimport Settling


# A range of pages that an event touches.
cdef struct Touched:
    int64_t file
    int64_t begin
    int64_t npages


# A thread, and its events.
cdef struct Thread:
    int64_t events
    int64_t tid


# Numbers coded in order of appearance.
cdef class Codes:
    cdef int32_t[::1] code           # of each number; -1: has not appeared
    cdef int32_t[::1] numbers        # by code
    cdef Py_ssize_t used

    cdef int32_t _add(self, int64_t number) except -1 nogil


cdef inline int32_t code_of(Codes codes, int64_t number) except -1 nogil:
    cdef int32_t code = codes.code[number]
    return code if code >= 0 else codes._add(number)


# Threads, numbered: those that the trace names, then others as they appear.
cdef class Threads:
    cdef PairMap places
    cdef Thread *threads
    cdef size_t used, capacity
    cdef const int32_t[::1] tgid     # of the named ones; -1: not known
    cdef const int32_t[::1] comm     # the number of its name; -1: not known
    cdef int32_t last_tid
    cdef int64_t last

    cdef int _find(self, int32_t tid) except -1 nogil


cdef inline int64_t count_thread(Threads threads, int32_t tid) except -1 nogil:
    """The number of an event's thread, whose event is counted."""
    if tid != threads.last_tid or threads.last < 0:
        threads._find(tid)
    threads.threads[threads.last].events += 1
    return threads.last


# What is known at the end of a trace of its file keys, with one more entry for no key, and of the files that they mean.
cdef class Identity:
    cdef const int64_t[::1] file
    cdef const uint8_t[::1] source
    cdef const uint8_t[::1] confidence
    cdef const uint8_t[::1] wander
    cdef const uint8_t[::1] superseded
    cdef const uint8_t[::1] dax
    cdef bint any_dax


cdef inline bint changed(Row *row, int64_t column, int64_t value) noexcept nogil:
    """Whether a patch is about what the row is, and then done."""
    if column == PATCH_OP:
        row.op = <uint8_t>value
    elif column == PATCH_FILE:
        row.file = <int32_t>value
    elif column == PATCH_INDEX:
        row.index = value
    elif column == PATCH_NPAGES:
        row.npages = value
    elif column == PATCH_PIN:
        row.pin = <int32_t>value
    else:
        return False
    return True


cdef inline bint is_event(Identity identity, const Row *row) except -1 nogil:
    return row.op != OP_NOTHING and not (row.flags >> 2 * FLAG_WEAK & 2 and identity.superseded[row.op])


cdef inline int64_t file_of(Identity identity, Settling settling, const Row *row, int64_t key) except? -2 nogil:
    if settling is None:
        return identity.file[key]
    return settling.settle(row.file, row.op, row.index, identity.file[key])
