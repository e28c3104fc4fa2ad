# Columns of the events table on their way to Arrow.

from libc.stdint cimport int32_t, int64_t, uint32_t

from replay._ext.known cimport Codes, Identity, Threads
from replay._ext.ops cimport N_OPS
from replay._ext.rows cimport Row
from replay._ext.settling cimport Settling
from replay._ext.slotruns cimport SlotRuns
from replay._ext.unpacking cimport Unpacking

# Columns of 64 and of 32 bits, in the order of eventcolumns.LONGS and INTS.
cdef enum:
    L_SEQ
    L_TS
    L_INDEX
    L_NPAGES
    L_DUR
    L_PIN
    L_MR
    L_BYTES
    L_RESULT
    L_ADDR
    L_OWNER
    L_BLOCK
    L_NBLOCKS
    L_PFN
    L_SLOT
    L_NSLOTS
    N_LONGS

cdef enum:
    I_CPU
    I_OP
    I_TID
    I_TGID
    I_COMM
    I_FILE
    I_DEVICE
    I_KIND
    I_SOURCE
    N_INTS

# Bitmaps, in the order of eventcolumns.BITMAPS. The first twelve are the flags of a row as they lie there: whether told, and the value.
cdef enum:
    FLAG_BITS = 12
    B_OPEN = 12
    B_DAX
    B_TGID
    B_COMM
    B_FILE
    B_INDEX
    B_NPAGES
    B_DUR
    B_PIN
    B_MR
    B_DEVICE
    B_BYTES
    B_RESULT
    B_ADDR
    B_OWNER
    B_KIND
    B_BLOCK
    B_NBLOCKS
    B_PFN
    B_SOURCE
    N_BITMAPS


# The device of an event, by its place in the chunk. `block`: a block device's number, else a pointer to an RDMA device.
cdef struct Device:
    int64_t place
    int64_t value
    int64_t block


# A wait for busy pages.
cdef struct Wait:
    int64_t file
    int64_t ts


cdef class EventColumns:
    cdef Identity identity
    cdef Settling settling           # None: no key wanders
    cdef SlotRuns slots
    cdef Threads threads
    cdef Codes files
    cdef Codes comms
    # Where the columns of the present chunk go
    cdef int64_t *longs[N_LONGS]
    cdef int32_t *ints[N_INTS]
    cdef double *confidence
    cdef uint32_t *bitmaps[N_BITMAPS]
    cdef uint32_t masks[32]
    cdef Py_ssize_t size, capacity
    # About the row that is being made
    cdef uint32_t bits
    cdef int64_t rdma_device, block_device
    # Lists of the present chunk, or of all
    cdef Device *devices
    cdef size_t devices_used, devices_capacity
    cdef Wait *waits
    cdef size_t waits_used, waits_capacity
    # Counts of all chunks
    cdef int64_t[::1] file_events
    cdef int64_t operations[N_OPS]
    cdef int64_t fileless[N_OPS]

    cdef int _fill(self, Unpacking *packed, Py_ssize_t rows, const int64_t[:, ::1] patches) except -1 nogil
    cdef int _tell(self, int64_t column, int64_t value) except -1 nogil
    cdef int _put(self, const Row *row) except -1 nogil
    cdef int _locate(self, const Row *row, int64_t file, uint32_t bits) except -1 nogil
    cdef uint32_t _grade(self, const Row *row, int64_t key, int64_t file) except? 1 nogil
    cdef int _wait(self, int64_t file, int64_t ts) except -1 nogil
    cdef bint _keep_device(self) except -1 nogil
    cdef void _flush(self, Py_ssize_t block) noexcept nogil
    cdef uint32_t _value(self, const Row *row, uint32_t bits) noexcept nogil
    cdef bint _failed_pin(self, const Row *row, uint32_t bits) noexcept nogil
