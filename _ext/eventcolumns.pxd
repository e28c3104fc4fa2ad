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
    L_BYTES
    L_RESULT
    L_ADDR
    L_OWNER
    L_BLOCK
    L_NBLOCKS
    L_PFN
    L_LEAD
    L_NSLOTS
    N_LONGS

cdef enum:
    I_CPU
    I_OP
    I_TID
    I_TGID
    I_COMM
    I_FILE
    I_PIN
    I_MR
    I_DEVICE
    I_KIND
    I_BITS
    N_INTS

# Columns that not every row has a value of, in the order of eventcolumns.TOLD.
cdef enum:
    T_DEVICE
    T_RESULT
    T_ADDR
    T_OWNER
    T_KIND
    T_BLOCK
    T_NBLOCKS
    N_TOLD
    PATCHED_DUR = 0x10000
    PATCHED_OPEN = 0x20000

# What lies in the column `bits`, as in schema.EVENTS: the flags of a row as they lie there, whether its file is DAX, how that was found,
# and how sure that is.
cdef enum:
    FLAGS_OF_ROW = 0xFFF
    OPEN_TOLD = 0x1000
    OPEN = 0x2000
    DAX = 0xC000
    FIRST_OF_SOURCE = 16
    FIRST_OF_CONFIDENCE = 20


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
    cdef uint32_t *told[N_TOLD]
    cdef Py_ssize_t size, capacity
    # About the row that is being made: which columns a patch told, and what lies in one of them
    cdef uint32_t patched
    cdef int64_t dur
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
    cdef int _take(self, int64_t column, int64_t value) except -1 nogil
    cdef int _put(self, const Row *row) except -1 nogil
    cdef void _tell(self, int column) noexcept nogil
    cdef int32_t _patch(self) except -1 nogil
    cdef void _value(self, const Row *row) noexcept nogil
    cdef int32_t _grade(self, const Row *row, int64_t key, int64_t file) except -1 nogil
    cdef int _locate(self, const Row *row, int64_t file) except -1 nogil
    cdef int _wait(self, int64_t file, int64_t ts) except -1 nogil
    cdef bint _keep_device(self) except -1 nogil
    cdef bint _failed_pin(self, const Row *row) noexcept nogil
