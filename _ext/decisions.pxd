# A policy as numbers. replay/policies.py and replay/outcomes.py name them; tests hold names and numbers together.

cdef enum:                 # admit: a set of rules
    ADMIT_REFUSE_DAX = 1
    ADMIT_REFUSE_SHARED_FILE = 2
    ADMIT_REFUSE_UNREVOCABLE = 4
    ADMIT_NEED_LEASE = 8
    ADMIT_NEED_ALLOCATED = 16
    ADMIT_NO_PIN = 32

cdef enum:                 # writeback
    WB_WRITE
    WB_HOLD
    WB_BOUNCE
    WB_BOUNCE_SYNC
    WB_INVALIDATE

cdef enum:                 # layout, of page cache files and of DAX files
    LAYOUT_ORPHAN
    LAYOUT_WAIT
    LAYOUT_BREAK_LEASE
    LAYOUT_FAIL
    LAYOUT_PROCEED_BUSY
    LAYOUT_INVALIDATE

cdef enum:                 # reclaim
    RECLAIM_STRIP
    RECLAIM_REFUSE
    RECLAIM_INVALIDATE

cdef enum:                 # free
    FREE_FREE
    FREE_BUSY

cdef enum:                 # lease.on_timeout
    TIMEOUT_WAIT
    TIMEOUT_FAIL_IO
    TIMEOUT_KILL

cdef enum:                 # lease.scope
    SCOPE_INODE
    SCOPE_RANGE

cdef enum:                 # lease.reregister
    REREGISTER_AFTER_OP
    REREGISTER_NEVER

cdef enum:                 # hw.revoke
    REVOKE_MR
    REVOKE_UCONTEXT
    REVOKE_DEVICE
    REVOKE_NONE

cdef enum:                 # remote.activity; larger numbers: nanoseconds from one access of a page to the next
    ACTIVITY_RECORDED
    ACTIVITY_ALWAYS

cdef enum:                 # propagate
    PROPAGATE_TASK
    PROPAGATE_INODE

cdef enum:                 # conflict classes
    WB_WHILE_PINNED
    DIRTY_AFTER_CLEAN
    FSYNC_MISSES_PINNED
    TORN_SNAPSHOT
    PRIV_RELEASED_PINNED
    UNMAP_REFUSED
    MIGRATE_REFUSED
    TRUNCATE_WHILE_PINNED
    REUSE_WHILE_PINNED
    LAYOUT_BREAK
    LEASE_BREAK
    LEASE_BREAK_TIMEOUT
    LEASE_DENIED
    LEASE_ZOMBIE
    PIN_REFUSED
    COLLATERAL_REVOKE
    REMOTE_OP_FAILED
    KILLED
    SPACE_HELD
    ENOSPC_INDUCED
    COW_DIVERGENCE
    FAILED_FS_OP

cdef enum:                 # costs
    BOUNCE_BYTES
    REWRITE_BYTES
    UNRECLAIMABLE_PAGE_SECONDS   # pages x nanoseconds until reported
    HELD_BLOCK_SECONDS           # pages x nanoseconds until reported
    PINNED_PAGE_SECONDS          # pages x nanoseconds until reported
    FAILED_FS_OPS
    FAILED_REMOTE_OPS
    KILLED_TASKS
    REFUSED_PAGES
    REVOKED_MRS
    COLLATERAL_MRS
    ODP_FAULTS
    ODP_INVALIDATIONS
    LOST_REMOTE_OPS
    LOST_REMOTE_BYTES
    ORPHANED_WRITE_BYTES
    N_METRICS

cdef enum:                 # why a pin was refused
    REFUSED_DAX
    REFUSED_SHARED_FILE
    REFUSED_UNREVOCABLE
    REFUSED_NOT_ALLOCATED
    REFUSED_TORN_DOWN
    NOT_REFUSED

cdef enum:                 # why an MR was revoked
    REVOKED_LEASE_BREAK
    REVOKED_COLLATERAL
    REVOKED_FAIL_IO
    REVOKED_KILL

cdef enum:                 # who waited
    ROLE_APP
    ROLE_KWORKER
    ROLE_BREAKER
    ROLE_REMOTE
