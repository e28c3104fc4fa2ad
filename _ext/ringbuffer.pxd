from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from replay._ext.clock cimport Clock
from replay._ext.rowgroups cimport RowGroups


cdef struct Cursor:
    const uint8_t *next_page
    const uint8_t *end       # of the segment
    const uint8_t *at        # next entry of the page
    const uint8_t *stop      # end of the page's committed bytes that we hold
    uint32_t page_bytes
    bint cut                 # the page is shorter than its commit field says
    uint64_t raw_ts
    Clock clock
    bint waiting             # in the heap, with the record below
    # the current record
    const uint8_t *data
    uint32_t bytes
    int32_t group
    uint64_t ts
    # what was met
    int64_t records
    int64_t unknown_records
    int64_t bad_bytes
    int64_t lost_events
    int64_t lost_unknown


cdef class RingMerge:
    cdef Cursor *cursors
    cdef RowGroups store
    cdef int32_t *group_of_type
    cdef int32_t *heap
    cdef int heap_size
    cdef int32_t stream_count
    cdef uint32_t header_bytes
    cdef uint32_t long_bytes
    cdef bint big_endian
    cdef int64_t next_seq
    cdef int64_t held_bytes
    cdef list samples
    cdef list held
    cdef list current

    cdef uint64_t read_long(self, const uint8_t *at) noexcept nogil
    cdef int advance(self, Cursor *cursor) noexcept nogil
    cdef bint open_page(self, Cursor *cursor) noexcept nogil
    cdef bint before(self, int32_t left, int32_t right) noexcept nogil
    cdef void sift_down(self, int place) noexcept nogil
    cdef void push(self, int32_t stream) noexcept nogil
    cdef bint append(self, int32_t stream) noexcept nogil
    cdef int32_t run_until(self, int64_t rows) noexcept nogil
