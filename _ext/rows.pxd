# Canonical rows on their way out of the in-order pass: fixed columns here, rare ones as patches.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint64_t

from replay._ext.memory cimport wrap_subtract

cdef enum:
    OP_NOTHING = 255   # a row that is not (yet) an event

# Truth values of a row: bit 2n says that flag n is told, bit 2n+1 its value.
cdef enum:
    FLAG_WRITE = 0
    FLAG_LONGTERM
    FLAG_DIRTY
    FLAG_SYNC
    FLAG_ODP
    FLAG_BUSY
    FLAG_OPEN
    FLAG_WEAK          # drop the row if the trace has a better source of the same operation

# What a patch sets.
cdef enum:
    PATCH_DUR
    PATCH_OPEN
    PATCH_RESULT
    PATCH_ADDR
    PATCH_OWNER
    PATCH_KIND
    PATCH_BLOCK
    PATCH_NBLOCKS
    PATCH_BLOCK_DEVICE
    PATCH_RDMA_DEVICE
    PATCH_OP
    PATCH_FILE
    PATCH_INDEX
    PATCH_NPAGES
    PATCH_PIN

cdef struct Row:
    int64_t seq
    int64_t ts
    int64_t index      # -1: none
    int64_t npages     # -1: none
    int64_t value      # pfn, bytes or result, depending on op; -1: none
    int32_t tid
    int32_t file       # file key; -1: none
    int32_t mr
    int32_t pin
    int16_t cpu
    uint16_t flags
    uint8_t op
    uint8_t source
    uint8_t confidence # per cent
    uint8_t touches    # its pages were counted as touched, see _ext/touched.pyx

cdef struct Patch:
    int64_t row
    int64_t value
    int64_t column

cdef struct Pin:
    int64_t ts_pin
    int64_t ts_unpin   # -1: alive
    int64_t index
    int64_t npages
    uint64_t addr
    int64_t row        # of its latest unpin, before that its own
    int32_t mr
    int32_t tid
    int32_t file
    uint8_t write
    uint8_t longterm
    uint8_t source
    uint8_t confidence
    int32_t held       # its number among those of which pages are let go one by one; -1: none

cdef struct Region:
    uint64_t umem
    uint64_t addr
    uint64_t device
    int64_t bytes
    int64_t ts_reg     # -1: before the trace
    int64_t ts_dereg   # -1: after the trace
    int64_t result
    int64_t index
    int64_t npages
    int32_t tid
    int32_t file
    uint8_t write
    uint8_t odp
    uint8_t preexisting
    uint8_t unused


cdef inline uint16_t told(int flag, bint value) noexcept nogil:
    return <uint16_t>((1 | (2 if value else 0)) << (2 * flag))


# From one time to a later one; what the clock of a damaged trace says backwards took no time.
cdef inline int64_t lasted(int64_t begin, int64_t end) noexcept nogil:
    cdef uint64_t dur
    if end <= begin:
        return 0
    dur = wrap_subtract(<uint64_t>end, <uint64_t>begin)
    return <int64_t>(dur if dur >> 63 == 0 else ~<uint64_t>0 >> 1)
