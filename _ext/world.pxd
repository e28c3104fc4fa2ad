# The state of one replay: what a policy has made of the recorded events so far.
#
# Every pointer into recorded columns was checked by engine.Trace (lengths, and every number that is used as an index),
# so the loop follows them without a check of its own.

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from replay._ext.memory cimport prefetch

cdef enum:
    PAGE_BYTES = 4096
    N_BINS = 256           # intervals of the cost series
    MORE_ROWS = 64
    RUN_SLOTS = 64
    AHEAD = 32             # rows that are fetched ahead of the main cursor; so many without a page follow the last

cdef enum:                 # flags of a row
    ROW_WRITE = 1
    ROW_SYNC = 2
    ROW_DIRTY = 4
    ROW_SHORT = 8          # at most one page, and nothing else that matters: see shortcuts.pyx
    ROW_OPEN = 16
    ROW_FAILED = 32        # the recorded call returned an error
    ROW_RANGE = 64         # the row names its range (index is known)
    ROW_MORE = 128         # see Rows.more

cdef enum:                 # flags of a page
    PAGE_DIRTY = 1         # dirty under this policy
    PAGE_RECORDED = 2      # dirty as recorded, whatever the policy
    PAGE_SKIPPED = 4       # its writeback was skipped and it was never written since
    PAGE_WRITTEN = 8       # the device wrote since the page was last cleaned
    PAGE_MAPPED = 16       # on-demand paging: the device has it mapped
    PAGE_CLEANED = 32      # written back under a write pin and not dirtied since
    PAGE_HOLE = 64         # its blocks were freed and nothing touched the page since
    PAGE_HELD = 128        # some pin is active: its Slot counts which
    PAGE_SHARED = 256      # a reflink shares its blocks and nothing was written since
    PAGE_HELD_WRITE = 512  # an active pin is for writing: Slot.n_write is not 0
    PAGE_RENEWED = 1024    # Slot.born is not 0: a pin may be older than the page's present instance
    N_PAGE_FLAGS = 2048    # combinations

cdef enum:                 # what to look for in a range of pages
    HELD                   # pinned
    HELD_LONG              # pinned long-term
    HELD_WRITE             # pinned for writing
    HELD_DIRTY             # pinned for writing, and dirty
    HELD_MISSED            # pinned for writing and clean, though the device may have written since it was cleaned
    HELD_KEPT              # pinned for writing, and dirty only because the policy kept it so
    HELD_TORN              # pinned for writing, and the device may be writing
    HELD_STALE             # cleaned under its write pin
    HELD_SHARED            # pinned, and its blocks are shared
    MAPPED                 # mapped by the device
    NOT_OWN                # no blocks, or shared ones

cdef enum:                 # states of a region
    REGION_NEW
    REGION_LIVE
    REGION_REFUSED
    REGION_REVOKED
    REGION_DEAD

cdef enum:                 # modes of a task
    ATTACHED               # no shift: the main cursor runs its rows
    DETACHED               # shifted: its own cursor runs them, through the heap
    BLOCKED
    GONE                   # killed: its later rows are removed

cdef enum:                 # what a blocked task waits for
    WAIT_NOTHING
    WAIT_PAGES             # no page of a range matches `look`
    WAIT_PINS              # every pin of a list has dropped
    WAIT_WRITTEN           # every page of a list of runs was written: without a write pin for once, in order
    WAIT_LOCK              # another task lets go of the file's inode lock

cdef enum:                 # how a pin's pages are left when it drops
    DROP_CLEAN
    DROP_DIRTY             # dirtied by its owner's release, as in the recording
    DROP_REVOKED           # dirtied too; the time that takes is part of the revocation

cdef enum:                 # kinds of heap entries; a tie of times goes to rows, then timers in order of creation
    AT_ROW
    AT_ANSWER              # an owner answers a lease break
    AT_DEADLINE            # a lease break times out
    AT_REREGISTER
    AT_UNLOCK              # an operation that others queue behind is through


cdef struct Detail:        # what few rows have
    int64_t index          # -1: not told
    int64_t npages         # -1: not told
    int64_t dur            # -1: none
    int64_t bytes          # -1: not told


cdef struct Rows:
    int64_t n
    const int64_t* ts
    const int32_t* slot    # 0 where the row has none
    const int32_t* nslots
    const int32_t* task
    const int32_t* file
    const int32_t* subject # the pin of a pin or unpin row, else the MR; -1: none
    const int32_t* next    # next row of the same task, or -1
    const int8_t* op
    const uint8_t* flags
    const int64_t* more    # one entry for each row with ROW_MORE: bytes of a remote access with slots, else a detail's number
    const int32_t* more_before # of every MORE_ROWS rows: entries that belong to rows before
    const Detail* details


cdef struct Policy:
    int32_t admit
    int32_t writeback
    int32_t layout_cache
    int32_t layout_dax
    int32_t reclaim
    int32_t free


cdef struct Cost:          # of an operation on n pages: base + slope * n, in picoseconds
    int64_t base_ps
    int64_t slope_ps


cdef struct Params:
    int64_t break_time
    int64_t timer_rounding
    int64_t app
    int64_t rtt
    int64_t rounds
    int64_t on_timeout
    int64_t scope
    int64_t reregister
    int64_t revoke
    int64_t activity
    int64_t expire
    int64_t interval
    int64_t reserve        # free blocks that the trace does not show
    int64_t propagate
    int64_t mainline       # version of the kernel: 1000 * major + minor
    Cost reg
    Cost dereg
    Cost dirty
    Cost fault
    Cost invalidate
    Cost copy
    Cost service


# Of a page: how many pin it. All zero while nobody ever did; only a flag of PAGE_HELD gives the counts a meaning. So a page
# that nobody pins costs the loop and the memory its flags and no more.
cdef struct Slot:
    int32_t born           # step at which an instance that was pinned last ended: an older pin does not hold the present one
    uint32_t n_write
    uint32_t n_long        # active long-term pins of its current instance
    uint32_t n_short


cdef struct Pin:
    int64_t slot           # -1: memory of no file
    int64_t npages
    int64_t live           # pages of it that a re-registration still covers
    int32_t file
    int32_t region         # -1: a short-term pin of no registration
    int32_t task
    uint8_t write
    uint8_t longterm
    int32_t step           # when it was taken, -1 while it is not active
    int32_t before         # the file's list of active pins
    int32_t after
    int32_t holds          # list of freed blocks that it keeps busy


cdef struct Region:        # an MR, or a long-term pin that belongs to none
    int32_t first          # its pins: region_pins[first : first + n]
    int32_t n
    int32_t held           # of them active
    int64_t npages
    int64_t since          # when it was registered, or registered again
    int32_t task
    int32_t owner          # process
    int32_t device
    int32_t last           # the pin that the last remote access hit
    int32_t lease_break    # the break that revoked it, -1: revoked for good
    uint8_t write
    uint8_t state
    uint8_t torn_down      # its context is gone: nothing is registered in it any more


cdef struct File:
    int64_t slot
    int64_t nslots
    int32_t pins           # head of its list of active pins
    int32_t n_pins
    int32_t n_write
    uint8_t dax
    uint8_t memory         # its pages are in memory only, nothing writes them back: shmem
    uint8_t drops_late     # its pages leave the cache at cache_del rows
    uint8_t loose          # pages without a write pin may be dirty here though the recording shows no write of them


cdef struct InodeLock:     # see inodelock.pyx
    int64_t until          # when its owner lets go of it; INT64_MAX: not known yet
    int32_t owner          # task, -1
    int32_t queued         # tasks that wait for it
    int32_t pin            # the pin that made the owner late, -1
    uint8_t late           # a pin, shown or not, made the owner late
    uint8_t passed         # the owner got it from another task and has yet to run


cdef struct Queued:        # a row whose operation, as recorded, waited for the inode lock
    int64_t row
    int64_t dur            # -1: it went on beside the operation that should have held the lock


cdef struct Task:
    int64_t shift
    int64_t stall_end      # a recorded stall that this replay removes, from its recorded end on
    int64_t stall_dur
    int64_t sync_end       # recorded end of its current fsync
    int64_t op_end         # recorded end of its current layout operation
    int64_t block_first    # start of its current stall, -1 if it is not in one
    int64_t block_last     # start of the current wait in it
    int64_t wait_lo        # WAIT_PAGES: slots; else: places in the arena
    int64_t wait_hi
    int64_t watch          # the first that still holds the task up
    int64_t stall_lo       # what the stall's row will say
    int64_t stall_hi
    int32_t stall_op
    int32_t stall_pin
    int32_t wait_file
    int32_t wait_step      # when the wait began: younger page instances and pins are not waited for
    int32_t op_row
    int32_t last           # last row that ran
    int64_t place          # of its next row in the heap, -1
    int32_t first          # first row
    int32_t owner
    int32_t lease_break    # latest break of the current operation, -1
    uint8_t wait
    uint8_t look
    uint8_t mode
    uint8_t retry          # the row runs again after a wait
    uint8_t op_failed
    uint8_t op_waited      # the replay found the pins that its layout waits are about
    uint8_t op_reported    # its layout_break is written
    uint8_t kworker


cdef struct Entry:
    int64_t time
    int64_t order
    int32_t kind
    int32_t who
    int32_t what


cdef struct Heap:
    Entry* at
    int64_t n
    int64_t room
    int64_t timers


cdef struct Break:
    int32_t row
    int32_t task
    int32_t file
    int32_t before         # earlier break of the same operation, -1
    int64_t lo
    int64_t hi
    int64_t pins_at        # arena: pins whose drop ends the break
    int64_t n_pins
    int64_t regions_at     # arena: regions that will be revoked
    int64_t n_regions
    int64_t n_holders      # the first of them hold the file; the others go with them because the device cannot do less
    int64_t op_done        # when the operation ends, once it has begun
    int32_t step           # when it began
    uint8_t over           # the operation goes on
    uint8_t ranged         # the operation's range is known


cdef struct Hold:          # freed blocks of pages that are still pinned
    int64_t npages
    int64_t lent           # of them, how many an allocation found busy and took from the reserve instead
    int32_t remaining      # pins
    int32_t pin            # one of them
    uint8_t busy           # the allocator passes over them


cdef struct Link:          # of a pin's list of holds
    int32_t hold
    int32_t after


cdef struct Buffer:
    void* data
    int64_t n
    int64_t room


cdef struct Conflicts:     # one array for each column, which leaves as it is: of what a replay writes down, only these are many
    void* blocks           # whose present block this is: outcomes.Blocks
    int64_t n
    int64_t room
    int64_t* ts
    int64_t* index
    int64_t* npages
    int32_t* file
    int32_t* pin
    int32_t* region
    int32_t* culprit
    int32_t* victim
    uint8_t* cls
    uint8_t* op


cdef struct Integral:
    int64_t n
    int64_t since


cdef struct World:
    Rows rows
    Policy policy
    Params params
    # entities
    uint16_t* flags        # per slot: PAGE_ flags
    uint16_t* effects      # [operation][flags of a page]: see shortcuts.pyx
    Slot* slots
    int32_t* holders       # per slot: the latest pin, or what the device has mapped it for; of PAGE_HELD and PAGE_MAPPED only
    int64_t n_slots
    Pin* pins
    int32_t n_pins
    Region* regions
    uint8_t lost           # a region was refused or revoked
    int32_t n_regions
    const int32_t* region_pins
    File* files
    int32_t n_files
    const uint8_t* pin_released
    Task* tasks
    int32_t n_tasks
    int32_t n_owners
    const int32_t* last_row # of each process
    int32_t* forked        # per process: the step of its latest fork, -1
    # how slots lie in files: runs of consecutive pages
    const int64_t* run_slot
    const int64_t* run_index
    int64_t n_runs
    const int32_t* run_at  # of every RUN_SLOTS slots: the run that holds the first
    # time
    int64_t first
    int64_t end
    int64_t now
    int64_t main           # next row of the main cursor
    int32_t step           # counts what was processed, from 1
    int32_t current        # the task whose row runs, -1 in a timer
    Heap heap
    int32_t* waiting       # blocked tasks
    int32_t n_waiting
    uint8_t active         # the device is assumed to write all the time
    uint8_t maps_at_once   # it is assumed to access what it has not mapped at once
    uint8_t over           # the trace's end has passed
    int64_t period         # of the device's accesses through each region, one page each; 0: no rate is assumed
    int64_t* cleaned_at    # per slot: when it was last written back; NULL without a period
    int64_t* bounced       # per slot: one more than when a page that stays dirty was last written, 0: not since; NULL but for WB_BOUNCE
    # leases
    Buffer breaks          # Break
    Buffer arena           # int32_t
    int32_t* mark          # per region: the break that lists it, plus one
    int64_t* owner_ns      # per owner: scratch
    # inode locks
    InodeLock* locks       # per file; NULL unless delays propagate through them
    Buffer queues          # Queued, in the order of rows
    # blocks
    Buffer holds           # Hold
    Buffer links           # Link
    int32_t* freed         # per slot: the hold of the latest instance that was freed while pinned, plus one; NULL: nothing is reused
    int64_t n_reuses
    const int32_t* reuse_row
    const int64_t* reuse_slot
    const int64_t* reuse_npages
    int64_t reserve
    # outcomes
    Conflicts conflicts
    Buffer stalls
    Buffer refusals
    Buffer revocations
    Integral unreclaimable
    Integral held
    Integral pinned        # a page counts for each pin that was taken of it, wherever it is now
    int64_t bin_ns
    uint64_t* bins         # [metric][interval][half]: a terabyte pinned for hours is more page nanoseconds than 64 bits hold


cdef inline int64_t more_of(const Rows* rows, int64_t row) noexcept nogil:
    """The entry of a row that has ROW_MORE."""
    cdef int64_t other, at = rows.more_before[row // MORE_ROWS]
    for other in range(row - row % MORE_ROWS, row):
        at += rows.flags[other] // ROW_MORE
    return rows.more[at]


cdef inline Detail detail_of(const Rows* rows, int64_t row) noexcept nogil:
    """What is told of the row beside its columns; of a remote access with slots see bytes_of."""
    if rows.flags[row] & ROW_MORE:
        return rows.details[more_of(rows, row)]
    return Detail(index=-1, npages=-1, dur=-1, bytes=-1)


cdef inline int64_t bytes_of(const Rows* rows, int64_t row) noexcept nogil:
    """Bytes of a remote access, -1 if not told."""
    if rows.nslots[row] == 0:
        return detail_of(rows, row).bytes
    return more_of(rows, row) if rows.flags[row] & ROW_MORE else <int64_t>rows.nslots[row] * PAGE_BYTES


cdef inline int32_t born(World* w, int64_t slot) noexcept nogil:
    """Its Slot.born, which few pages have."""
    return w.slots[slot].born if w.flags[slot] & PAGE_RENEWED else 0


cdef inline bint held_to_write(World* w, int64_t slot) noexcept nogil:
    return (w.flags[slot] & PAGE_HELD_WRITE) != 0


cdef bint was_accessed(World* w, int64_t slot) noexcept nogil


cdef inline bint matches(World* w, int64_t slot, int look) noexcept nogil:
    cdef int flags = w.flags[slot]
    if look == MAPPED:
        return (flags & PAGE_MAPPED) != 0
    if look == NOT_OWN:
        return (flags & (PAGE_HOLE | PAGE_SHARED)) != 0
    if not flags & PAGE_HELD:
        return False
    if look == HELD:
        return True
    if look == HELD_SHARED:
        return (flags & PAGE_SHARED) != 0
    if look == HELD_LONG:
        return w.slots[slot].n_long != 0
    if not flags & PAGE_HELD_WRITE:
        return False
    if look == HELD_WRITE:
        return True
    if look == HELD_DIRTY:
        return (flags & PAGE_DIRTY) != 0
    if look == HELD_MISSED:
        if flags & PAGE_DIRTY:
            return False
        if flags & PAGE_WRITTEN:
            return True
        return (flags & PAGE_CLEANED) != 0 and (w.active or (w.cleaned_at != NULL and was_accessed(w, slot)))
    if look == HELD_KEPT:
        return (flags & (PAGE_DIRTY | PAGE_RECORDED)) == PAGE_DIRTY
    if look == HELD_TORN:
        return w.active or (flags & PAGE_WRITTEN) != 0 or (w.cleaned_at != NULL and was_accessed(w, slot))
    return (flags & (PAGE_DIRTY | PAGE_CLEANED)) == PAGE_CLEANED     # HELD_STALE


cdef inline uint16_t cleaned(int flags) noexcept nogil:
    """Of a page that was written back."""
    flags &= ~(PAGE_DIRTY | PAGE_RECORDED | PAGE_SKIPPED | PAGE_WRITTEN)
    return <uint16_t>(flags | PAGE_CLEANED if flags & PAGE_HELD_WRITE else flags)


cdef inline uint16_t dirtied(int flags) noexcept nogil:
    """Of a page that turned dirty."""
    return <uint16_t>((flags | PAGE_DIRTY) & ~(PAGE_SKIPPED | PAGE_CLEANED | PAGE_HOLE | PAGE_SHARED))


cdef inline void clean(World* w, int64_t slot) noexcept nogil:
    w.flags[slot] = cleaned(w.flags[slot])
    if w.cleaned_at != NULL and held_to_write(w, slot):
        w.cleaned_at[slot] = w.now


cdef inline Break* break_at(World* w, int64_t broken) noexcept nogil:
    return &(<Break*>w.breaks.data)[broken]


cdef inline int32_t listed(World* w, int64_t place) noexcept nogil:
    return (<int32_t*>w.arena.data)[place]


cdef inline bint outlives(World* w, int32_t p, int32_t step) noexcept nogil:
    """Whether the pin is active since before that step."""
    return 0 <= w.pins[p].step < step


cdef inline int64_t price(Cost cost, int64_t npages) noexcept nogil:
    """Nanoseconds, rounded to nearest."""
    return (cost.base_ps + cost.slope_ps * npages + 500) // 1000


cdef int push(Buffer* buffer, const void* item, size_t size) except -1 nogil
cdef void release(World* w) noexcept nogil
cdef int allocate(World* w) except -1 nogil
