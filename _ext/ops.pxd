# The canonical operations, numbered as in replay/schema.py OPS; a test holds the two together.

cdef enum:
    OP_PIN
    OP_UNPIN
    OP_MR_REG
    OP_MR_DEREG
    OP_REMOTE_WRITE
    OP_REMOTE_READ
    OP_DIRTY
    OP_WB_START
    OP_WB_END
    OP_WB_WAIT
    OP_FSYNC
    OP_TRUNCATE
    OP_PUNCH
    OP_FALLOCATE
    OP_COLLAPSE
    OP_REFLINK
    OP_LAYOUT_WAIT
    OP_RECLAIM
    OP_MIGRATE
    OP_CACHE_ADD
    OP_CACHE_DEL
    OP_BLOCK_ALLOC
    OP_BLOCK_FREE
    OP_LEASE_ADD
    OP_LEASE_DEL
    OP_LEASE_BREAK
    OP_MMAP
    OP_MUNMAP
    OP_FORK
    OP_EXEC
    OP_EXIT
    N_OPS
    # Names for what an outcome row happened in, where no canonical operation fits.
    OP_EVICT = N_OPS      # a page left the cache outside any recorded layout operation
    OP_WRITEBACK          # a page was about to be written
