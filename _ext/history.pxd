from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

from replay._ext.world cimport Buffer, Cost, Rows

cdef struct Batch:                   # -1: none
    int64_t n
    const int64_t* ts
    const int8_t* op
    const int32_t* task
    const int32_t* file
    const int64_t* slot
    const int64_t* nslots
    const uint8_t* flags
    const int64_t* index
    const int64_t* npages
    const int64_t* dur
    const int64_t* bytes
    const int32_t* pin
    const int32_t* region


cdef struct Tables:                  # what rows point into
    int64_t n_tasks
    int64_t n_files
    int64_t n_pins
    int64_t n_regions
    int64_t n_slots
    const int64_t* file_slot
    const int64_t* file_nslots
    const uint8_t* file_dax
    const uint8_t* file_memory


cdef enum:
    WRITES = 4096


cdef struct Write:
    int64_t slot                     # plus one; 0: none
    int64_t ts


cdef class History:
    cdef Tables tables
    cdef dict columns                # what `tables` points into
    cdef int64_t room
    cdef readonly int64_t seen       # rows that came, kept or not
    cdef int64_t n                   # rows that were kept
    cdef readonly int64_t first      # times of the first and the last that came
    cdef readonly int64_t end
    cdef readonly bint remote        # any remote access is recorded
    cdef readonly bint deletes       # any page is seen to leave the cache
    cdef readonly int64_t writes     # writebacks of which beginning and end were seen, and how long they took together
    cdef readonly int64_t written_ns
    cdef Write writing[WRITES]       # those under way, by the low bits of their first slot
    # per kept row
    cdef int64_t[::1] ts
    cdef int32_t[::1] slot
    cdef int32_t[::1] nslots
    cdef int32_t[::1] task
    cdef int32_t[::1] file
    cdef int32_t[::1] subject
    cdef int32_t[::1] next
    cdef int8_t[::1] op
    cdef uint8_t[::1] flags
    cdef int32_t[::1] more_before    # per MORE_ROWS rows
    cdef Buffer more                 # int64_t
    cdef Buffer details              # Detail
    cdef Buffer allocations          # pairs of int64_t: a row's number as it came, and among the kept ones
    # per task
    cdef int32_t[::1] first_row
    cdef const int32_t[::1] owner
    cdef int32_t[::1] last_row
    cdef int32_t[::1] last_of_owner  # last row of each process, -1 where that was not kept
    cdef int64_t[::1] waits_until    # end of the longest recorded wait so far

    cdef int64_t take(self, const Batch* batch) except -2 nogil
    cdef void time_write(self, int op, int64_t slot) noexcept nogil
    cdef Cost service(self, Cost given)
    cdef int keep(self, const Batch* batch, int64_t i) except -1 nogil
    cdef int set_aside(self, const Batch* batch, int64_t i) except -1 nogil
    cdef Rows rows(self) except *
