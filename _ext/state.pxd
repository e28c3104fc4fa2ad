# State of the in-order pass over raw records: tasks and what they are doing, files, pins and regions, and the rows made so far.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from replay._ext.addresses cimport AddressSpaces
from replay._ext.hashing cimport PairMap
from replay._ext.rows cimport Patch, Pin, Region, Row


# One raw record: seq, then the words that every mapping fills. -1 stands for a field that the record does not have.
cdef struct Record:
    int64_t seq
    int64_t ts
    int64_t cpu
    int64_t tid
    int64_t dev
    uint64_t ino
    int64_t name
    int64_t index
    int64_t npages
    int64_t a
    int64_t b
    int64_t c
    int64_t d
    int64_t step


cdef inline int64_t *words_in(Record *record) noexcept nogil:
    """The words, in the order of feed.WORDS."""
    return &record.ts


# An operation under way in a task.
cdef struct Operation:
    int64_t row        # -1: none
    int64_t ts
    int64_t last_ts    # of the latest event inside
    uint64_t ino
    int64_t index
    int64_t low        # lowest index deleted inside; -1: none
    int32_t file
    int32_t op
    bint ends          # the trace tells its end


# How far a release has come, in pages of its region's pins in their order.
cdef struct Release:
    int64_t done        # pages that the task's own events show to be released
    int64_t told        # pages that nested unpins have named
    int64_t total
    size_t cursor       # the pin that `done` lies in
    int64_t base        # pages of the pins before it
    size_t ended        # pins with an unpin row that goes to their end
    int64_t part        # pages of the next pin with an unpin row
    size_t parted       # the latest pin with more than one row
    int64_t begin       # the page of it that its latest row begins with
    bint disturbed      # another task has met the file since


cdef struct Task:
    int32_t tid
    int32_t tgid       # -1: not known
    int32_t space
    bint cloned        # its birth told whether it is a thread
    bint reclaimer
    # pin_user_pages*
    bint pinning
    uint64_t pin_addr
    int64_t pin_npages
    int64_t pin_flags
    int64_t pin_shown   # pages of the call that the task's own events show to be pinned already
    int64_t pin_taken   # of them, those whose pins are made
    int32_t pin_first   # the first of these; -1: none
    bint pin_moves_on   # it has done with the latest page shown, or begins
    Pin pin_guess       # a pin of how many pages the next page tells; of none: none
    int64_t pin_guess_row
    # ib_umem_get and ib_umem_release
    int32_t registering
    int64_t register_row
    int32_t releasing
    Release release
    bint moving         # in State.moving: a pin call or a release has got further
    uint64_t moving_ino
    # ext4_writepages and wbc_writepage
    bint writing
    int64_t write_dev
    uint64_t write_ino
    int sync
    # file operations
    Operation fsync
    Operation layout    # truncate, punch, fallocate, ...
    Operation burst     # a place kept for a truncate that may turn out to have begun here
    Operation lease
    Operation scan      # waits for busy DAX pages
    Operation wait      # waits for the end of a page's writeback
    bint scanning
    uint64_t scan_ino
    int64_t scan_index
    int64_t scan_npages
    int64_t waited_row
    int64_t waited_ts
    int64_t told_index  # of a system call under way; -1: none
    int64_t told_npages
    int64_t told_mode
    bint truncates_inside
    # pins without a region: the task's calls in order
    int32_t first_call
    int32_t last_call


cdef struct FileKey:
    int64_t place       # device number, or number of the backing device's name
    uint64_t ino
    uint8_t kind
    uint8_t direct      # an event that knows the file told it, not only a mapping
    uint8_t dax
    uint8_t before      # only a mapping of before the trace told it
    int32_t older       # the file that had the same inode number before; -1: none
    uint64_t generation # of the inode; 0: not told


cdef struct Loose:
    int64_t npages
    int64_t left
    int32_t first_pin
    int32_t end_pin
    int32_t next


# A pin of file pages outside of any region: its pages are let go one by one, perhaps in interrupts.
cdef struct Held:
    int64_t released    # of its first pages
    int64_t early       # of others, before their turn
    int64_t part        # the page that its latest unpin row begins with
    int64_t ts          # of that row
    int32_t pin
    int32_t call
    int32_t next        # the one before in the same part of the file; -1: none


cdef struct Members:
    int32_t *pins
    size_t used
    size_t capacity
    size_t live_at      # position in the list of live regions


cdef struct Hit:
    uint64_t low
    uint64_t high
    int64_t generation
    int32_t region


# What the pass could not pair or place; counted here, named in ingest/lowering.py.
cdef enum:
    COUNT_PIN_CALLS
    COUNT_PINS_UNRESOLVED
    COUNT_RELEASES_UNKNOWN
    COUNT_ENDS_UNPAIRED
    COUNT_BEGINS_UNPAIRED
    COUNT_TRUNCATES_BLIND
    COUNT_REMOTE
    COUNT_REMOTE_UNRESOLVED
    COUNT_UNPINS_UNMATCHED
    COUNT_SHORT_UNRELEASED
    N_COUNTS


cdef enum:
    N_MOVING = 64
    HELD_PAGES = 512    # pages of a file whose pins are looked through together

cdef enum:
    KEY_DEVICE         # (device number, inode)
    KEY_BACKING        # (number of a backing device's name, inode)
    KEY_INODE          # an inode alone


cdef class State:
    cdef AddressSpaces spaces
    cdef dict tgids
    cdef frozenset reclaimers
    cdef int64_t longterm_flag
    cdef bint short_pins_last   # short pins that nothing shows to be let go last: the kernel had no other way to let go of them
    cdef Task *tasks
    cdef size_t tasks_used, tasks_capacity
    cdef Row *rows
    cdef size_t rows_used, rows_capacity
    cdef int64_t rows_taken
    cdef Patch *patches
    cdef size_t patches_used, patches_capacity
    cdef size_t patches_settled   # those before them stay
    cdef Pin *pins
    cdef size_t pins_used, pins_capacity
    cdef Region *regions
    cdef size_t regions_used, regions_capacity
    cdef Members *members
    cdef size_t members_capacity
    cdef FileKey *keys
    cdef size_t keys_used, keys_capacity
    cdef Loose *loose
    cdef size_t loose_used, loose_capacity
    cdef Held *held
    cdef size_t held_used, held_capacity
    cdef int32_t *live
    cdef size_t live_used, live_capacity
    cdef int64_t generation
    cdef Hit hits[256]
    cdef int32_t moving[N_MOVING]
    cdef size_t n_moving
    cdef PairMap task_of, space_of, key_of, region_of, folio_of, held_at
    cdef int64_t last_place
    cdef uint64_t last_ino
    cdef int last_kind
    cdef int32_t last_key
    cdef int64_t waiting
    cdef int64_t records
    cdef int64_t extra_steps
    cdef int64_t counts[N_COUNTS]

    cdef int32_t task(self, int32_t tid) except -1 nogil
    cdef int32_t key(self, int kind, int64_t place, uint64_t ino) except -1 nogil
    cdef int32_t _new_key(self, int kind, int64_t place, uint64_t ino) except -1 nogil
    cdef int32_t key_of_generation(self, int64_t place, uint64_t ino, int64_t generation) except -1 nogil
    cdef int32_t file_of(self, Record *record) except -2 nogil
    cdef Row *emit(self, Record *record, int op) except NULL nogil
    cdef int patch(self, int64_t row, int column, int64_t value) except -1 nogil
    cdef int64_t latest(self) noexcept nogil
    cdef bint afford(self) noexcept nogil
    cdef int32_t add_pin(self) except -1 nogil
    cdef int32_t add_region(self) except -1 nogil
    cdef void settle(self) noexcept nogil
    cdef void drop_rows(self) noexcept nogil
    cdef int move(self, Task *task, uint64_t ino) noexcept nogil
    cdef int fork(self, int32_t parent, int32_t child) except -1 nogil
    cdef int clone(self, int32_t parent, int32_t child, int64_t flags) except -1 nogil
    cdef int _separate(self, int32_t parent, int32_t at) except -1 nogil
    cdef int32_t _space(self, int32_t tgid) except -1
    cdef int _leave_unreleased(self, int32_t number) except -1
    cdef int _leave_open(self, Operation *operation) except -1
