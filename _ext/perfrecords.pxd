# Records of perf.data: an index of them all by time, and rows of their parts.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from replay._ext.hashing cimport PairMap
from replay._ext.perfsamples cimport Layout, Piece
from replay._ext.rowgroups cimport RowGroups


# Records other than samples.
cdef struct Side:
    int32_t group                # -1: no table is made of them
    int32_t trailer_group
    int32_t time_at              # of a time of their own; -1: they have none


cdef struct Entry:
    const uint8_t *data
    uint64_t time
    int32_t layout
    int32_t cpu


cdef class PerfRecords:
    cdef readonly RowGroups groups
    cdef Layout *layouts
    cdef int32_t layout_count
    cdef const int32_t[::1] id_layouts       # one for each place of the id
    cdef const int32_t[::1] trailer_layouts
    cdef Side *sides
    cdef bint same_trailers
    cdef bint big_endian
    cdef PairMap layout_of       # by id
    cdef PairMap process_of      # by thread
    cdef int64_t last_thread
    cdef uint64_t last_id
    cdef int32_t last_layout
    cdef Entry *entries
    cdef size_t used
    cdef size_t capacity
    cdef size_t *naming          # which entries name tasks
    cdef size_t naming_used
    cdef size_t naming_capacity
    cdef const int64_t[::1] order
    cdef bint _rows_of(self, const Entry *entry, int64_t seq) noexcept nogil
    cdef int _set_layout(self, Layout *layout, dict told) except -1
    cdef list held
    cdef readonly int64_t samples
    cdef readonly int64_t samples_undated
    cdef readonly int64_t samples_unknown
    cdef readonly int64_t skipped
    cdef readonly int64_t bad_bytes
    cdef readonly int32_t cpus
    cdef uint64_t first_time

    cdef int take(self, const uint8_t *record, uint32_t kind, uint32_t size) except -1 nogil
    cdef int take_sample(self, const uint8_t *record, uint32_t size) except -1 nogil
    cdef int take_side(self, const uint8_t *record, uint32_t kind, uint32_t size) except -1 nogil
    cdef int enter(self, const uint8_t *record, uint64_t time, int32_t layout, uint32_t cpu) except -1 nogil
    cdef int belongs(self, const uint8_t *thread_at, const uint8_t *process_at) except -1 nogil
    cdef int32_t layout_of_sample(self, const uint8_t *record, uint32_t size) noexcept nogil
    cdef int32_t layout_of_trailer(self, const uint8_t *record, uint32_t size) noexcept nogil
    cdef bint add_row(self, int32_t group, const Piece *piece, const Entry *entry, int64_t seq) noexcept nogil
