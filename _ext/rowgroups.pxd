# Records sorted by event type: where each lies in memory, and what all records have.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef struct Row:
    const uint8_t *data      # payload, the event's fields
    uint64_t ts
    int64_t seq
    uint32_t bytes           # of the payload
    int32_t stream


cdef struct Group:
    Row *rows
    int64_t count
    int64_t capacity
    uint32_t need_bytes      # a shorter payload lacks scalar fields: no row is made of it


cdef class RowGroups:
    cdef Group *groups
    cdef int32_t group_count
    cdef int64_t batch_rows
    cdef bint big_endian     # the numbers in the payloads

    cdef Group *group_at(self, int group) except NULL
    cdef Row *new_row(self, int32_t group) noexcept nogil
