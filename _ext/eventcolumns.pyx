"""Columns of the events table from packed rows, in one pass over a chunk, once the whole trace is known."""

from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from replay._ext.hashing cimport bytes_of, room
from replay._ext.known cimport Codes, Identity, Threads, changed, code_of, count_thread, file_of, is_event
from replay._ext.ops cimport (
    N_OPS,
    OP_CACHE_ADD,
    OP_CACHE_DEL,
    OP_COLLAPSE,
    OP_FORK,
    OP_LAYOUT_WAIT,
    OP_MIGRATE,
    OP_MMAP,
    OP_MR_DEREG,
    OP_MR_REG,
    OP_MUNMAP,
    OP_PIN,
    OP_REMOTE_READ,
    OP_REMOTE_WRITE,
    OP_TRUNCATE,
)
from replay._ext.rows cimport (
    PATCH_ADDR,
    PATCH_BLOCK,
    PATCH_BLOCK_DEVICE,
    PATCH_DUR,
    PATCH_KIND,
    PATCH_NBLOCKS,
    PATCH_OPEN,
    PATCH_OWNER,
    PATCH_RDMA_DEVICE,
    PATCH_RESULT,
    Row,
)
from replay._ext.settling cimport Settling
from replay._ext.slotruns cimport SlotRuns, rank
from replay._ext.touched import INDEX_END as _INDEX_END
from replay._ext.unpacking cimport Unpacking, next_row, start

LONGS = ("seq", "ts", "index", "npages", "dur", "bytes", "result", "addr", "owner", "block", "nblocks", "pfn", "lead", "nslots")
"""Columns of 64 bits, in the order of the enum."""

INTS = ("cpu", "op", "tid", "tgid", "comm", "file", "pin", "mr", "device", "kind", "bits")
"""Columns of 32 bits; those of words hold codes. Of threads' and files' names 0 is none."""

TOLD = ("device", "result", "addr", "owner", "kind", "block", "nblocks")
"""Columns that not every row has a value of: bitmaps say which."""

# Grades that rows get which their key alone does not grade; sources in the order of the enum in addresses.pxd.
cdef enum:
    SOURCE_OF_KEY = 0
    SOURCE_MAPPING = 2
    SOURCE_COOCCURRENCE = 6
    MAPPING_PER_CENT = 90
    DECIDED_PER_CENT = 60

cdef int64_t END = _INDEX_END


cdef inline bint _ranged(const Row *row) noexcept nogil:
    """Whether the row is about pages: without a length only operations that concern their file from an index to its end."""
    if row.npages < 0:
        return row.op == OP_TRUNCATE or row.op == OP_COLLAPSE or row.op == OP_LAYOUT_WAIT
    return row.npages > 0 and row.op != OP_MMAP


@final
cdef class EventColumns:
    """The columns of some chunks that follow each other, one chunk at a time, and counts of all of them."""

    def __init__(
        self,
        Identity identity not None,
        Settling settling,
        SlotRuns slots not None,
        Threads threads not None,
        Codes files not None,
        Codes comms not None,
        int64_t[::1] file_events not None,
    ):
        """`settling`: None where no key means several files. `file_events` is counted up."""
        self.identity, self.settling, self.slots, self.threads = identity, settling, slots, threads
        self.files, self.comms, self.file_events = files, comms, file_events

    def __dealloc__(self):
        free(self.devices)
        free(self.waits)

    def fill(
        self,
        const uint8_t[::1] packed not None,
        Py_ssize_t rows,
        const int64_t[:, ::1] patches not None,
        int64_t[:, ::1] longs not None,
        int32_t[:, ::1] ints not None,
        uint32_t[:, ::1] told not None,
    ):
        """Make the columns of a chunk's rows, of which some are no events; gives how many are. `patches`: row, value, column, by row.

        Where a bitmap tells that there is no value, the column holds anything."""
        cdef Unpacking source
        cdef int column
        self.capacity = longs.shape[1]
        if not (longs.shape[0] == N_LONGS and ints.shape[0] == N_INTS and told.shape[0] == N_TOLD):
            raise ValueError("not the columns of events")
        if self.capacity != ints.shape[1] or 32 * told.shape[1] < self.capacity:
            raise ValueError("columns differ in length")
        for column in range(N_LONGS):
            self.longs[column] = &longs[column, 0]
        for column in range(N_INTS):
            self.ints[column] = &ints[column, 0]
        for column in range(N_TOLD):
            self.told[column] = &told[column, 0]
            memset(self.told[column], 0, told.shape[1] * sizeof(uint32_t))
        self.size, self.devices_used = 0, 0
        start(&source, packed)
        with nogil:
            self._fill(&source, rows, patches)
        return self.size

    cdef int _fill(self, Unpacking *packed, Py_ssize_t rows, const int64_t[:, ::1] patches) except -1 nogil:
        cdef Row row
        cdef Py_ssize_t i, patch = 0
        cdef int64_t patched = patches[0, 0] if patches.shape[0] else -1
        for i in range(rows):
            if self.size >= self.capacity:
                with gil:
                    raise ValueError("more events than the columns are long")
            next_row(packed, &row)
            self.patched = 0
            if i == patched:
                self.rdma_device = self.block_device = -1
            while i == patched:
                if not changed(&row, patches[patch, 2], patches[patch, 1]):
                    self._take(patches[patch, 2], patches[patch, 1])
                patch += 1
                patched = patches[patch, 0] if patch < patches.shape[0] else -1
            if is_event(self.identity, &row):
                self._put(&row)
        if patch < patches.shape[0]:
            with gil:
                raise ValueError("patches that are not in order of rows")
        return 0

    cdef int _take(self, int64_t column, int64_t value) except -1 nogil:
        """Take a patch that only the columns show; of several for the same the last counts."""
        cdef Py_ssize_t n = self.size
        if column == PATCH_DUR:
            self.dur = value
            self.patched |= PATCHED_DUR
        elif column == PATCH_OPEN:
            self.patched |= PATCHED_OPEN
        elif column == PATCH_RESULT:
            self.longs[L_RESULT][n] = value
            self.patched |= 1 << T_RESULT
        elif column == PATCH_ADDR:
            self.longs[L_ADDR][n] = value
            self.patched |= 1 << T_ADDR
        elif column == PATCH_OWNER:
            self.longs[L_OWNER][n] = value
            self.patched |= 1 << T_OWNER
        elif column == PATCH_BLOCK:
            self.longs[L_BLOCK][n] = value
            self.patched |= 1 << T_BLOCK
        elif column == PATCH_NBLOCKS:
            self.longs[L_NBLOCKS][n] = value
            self.patched |= 1 << T_NBLOCKS
        elif column == PATCH_KIND:
            self.ints[I_KIND][n] = <int32_t>value
            self.patched |= 1 << T_KIND
        elif column == PATCH_RDMA_DEVICE:
            self.rdma_device = value
            self.patched |= 1 << T_DEVICE
        elif column == PATCH_BLOCK_DEVICE:
            self.block_device = value
            self.patched |= 1 << T_DEVICE
        else:
            with gil:
                raise ValueError("a patch of no column")
        return 0

    cdef int _put(self, const Row *row) except -1 nogil:
        """Make the next event's columns."""
        cdef Py_ssize_t n = self.size
        cdef int64_t key = row.file if row.file >= 0 else self.identity.file.shape[0] - 1
        cdef int64_t file = file_of(self.identity, self.settling, row, key)
        cdef int64_t thread = count_thread(self.threads, row.tid)
        cdef int32_t bits = row.flags & FLAGS_OF_ROW | OPEN_TOLD
        if row.op >= N_OPS:
            with gil:
                raise ValueError("a row of no operation")
        self.longs[L_SEQ][n], self.longs[L_TS][n] = row.seq, row.ts
        self.longs[L_INDEX][n], self.longs[L_NPAGES][n] = max(row.index, -1), max(row.npages, -1)
        self.ints[I_CPU][n], self.ints[I_OP][n], self.ints[I_TID][n] = row.cpu, row.op, row.tid
        self.ints[I_PIN][n], self.ints[I_MR][n] = max(row.pin, -1), max(row.mr, -1)
        self.longs[L_DUR][n] = -1
        if self.patched:
            bits |= self._patch()
        self._value(row)
        self.ints[I_FILE][n] = 0
        if file >= 0:
            self.ints[I_FILE][n] = 1 + code_of(self.files, file)
            self.file_events[file] += 1
            if self.identity.any_dax and self.identity.dax[file]:
                bits |= DAX
        self.ints[I_TGID][n], self.ints[I_COMM][n] = -1, 0
        if thread < self.threads.tgid.shape[0]:
            self.ints[I_TGID][n] = self.threads.tgid[thread]
            if self.threads.comm[thread] >= 0:
                self.ints[I_COMM][n] = 1 + code_of(self.comms, self.threads.comm[thread])
        self.ints[I_BITS][n] = bits | self._grade(row, key, file)
        self._locate(row, file)
        self.operations[row.op] += 1
        self.fileless[row.op] += file < 0
        if row.op == OP_LAYOUT_WAIT:
            self._wait(file, row.ts)
        self.size += 1
        return 0

    cdef void _tell(self, int column) noexcept nogil:
        """The event has a value in this column."""
        self.told[column][self.size >> 5] |= <uint32_t>1 << (self.size & 31)

    cdef int32_t _patch(self) except -1 nogil:
        """Show what patches told; gives its bits. What never ended has no duration."""
        cdef int column
        if self.patched & 1 << T_DEVICE and not self._keep_device():
            self.patched &= ~(<uint32_t>1 << T_DEVICE)
        for column in range(N_TOLD):
            if self.patched >> column & 1:
                self._tell(column)
        if self.patched & PATCHED_OPEN:
            return OPEN
        if self.patched & PATCHED_DUR:
            self.longs[L_DUR][self.size] = self.dur
        return 0

    cdef void _value(self, const Row *row) noexcept nogil:
        """What `value` means depends on the operation. A result that a patch told is a better one."""
        cdef Py_ssize_t n = self.size
        self.longs[L_PFN][n] = self.longs[L_BYTES][n] = -1
        if row.value < 0:
            return
        if row.op == OP_CACHE_ADD or row.op == OP_CACHE_DEL:
            self.longs[L_PFN][n] = row.value
        elif row.op == OP_REMOTE_WRITE or row.op == OP_REMOTE_READ or row.op == OP_MR_REG or row.op == OP_MMAP or row.op == OP_MUNMAP:
            self.longs[L_BYTES][n] = row.value
        elif (row.op == OP_PIN or row.op == OP_FORK or row.op == OP_MIGRATE) and not self.patched & 1 << T_RESULT:
            self.longs[L_RESULT][n] = row.value
            self.patched |= 1 << T_RESULT
            self._tell(T_RESULT)

    cdef int32_t _grade(self, const Row *row, int64_t key, int64_t file) except -1 nogil:
        """How the file was found, and how sure that is, as bits. Rows that their key's identity names have that one's grade."""
        cdef int source = row.source, sure = row.confidence
        if source == SOURCE_OF_KEY:
            source, sure = self.identity.source[key], self.identity.confidence[key]
            if file >= 0 > self.identity.file[key]:
                # Decided row by row: less sure.
                source, sure = SOURCE_COOCCURRENCE, DECIDED_PER_CENT
            elif row.op == OP_MR_REG or row.op == OP_MR_DEREG:
                # The file of a region is that of its pins, which mappings told.
                source, sure = SOURCE_MAPPING if file >= 0 else SOURCE_OF_KEY, MAPPING_PER_CENT
        return 0 if source == SOURCE_OF_KEY else source << FIRST_OF_SOURCE | (1 + sure) << FIRST_OF_CONFIDENCE

    cdef int _locate(self, const Row *row, int64_t file) except -1 nogil:
        """Slots, by the lead of the first over the page's index, and their number. A touched range holds all of its pages, another those
        that something touches: from `index` to the end of the file where the operation has no length."""
        cdef int64_t slot = 0, count = 0, length
        if file >= 0 and row.touches:
            slot, count = rank(self.slots, file, row.index), row.npages
        elif file >= 0 and 0 <= row.index < END and _ranged(row) and not self._failed_pin(row):
            length = END - 1 - row.index
            if row.npages >= 0:
                length = min(length, row.npages)
            slot = rank(self.slots, file, row.index)
            count = max(rank(self.slots, file, row.index + length) - slot, 0)
        self.longs[L_LEAD][self.size], self.longs[L_NSLOTS][self.size] = slot - row.index if count > 0 else 0, count
        return 0

    cdef bint _failed_pin(self, const Row *row) noexcept nogil:
        """A pin call that returned an error holds no page."""
        return row.op == OP_PIN and self.patched & 1 << T_RESULT and self.longs[L_RESULT][self.size] < 0

    cdef int _wait(self, int64_t file, int64_t ts) except -1 nogil:
        """Put a wait for busy pages into the list."""
        self.waits = <Wait *>room(self.waits, self.waits_used, &self.waits_capacity, sizeof(Wait))
        self.waits[self.waits_used].file, self.waits[self.waits_used].ts = file, ts
        self.waits_used += 1
        return 0

    cdef bint _keep_device(self) except -1 nogil:
        """Put the device that patches told into the list, if it is any: a block device if there is one."""
        cdef bint block = self.block_device != -1
        cdef int64_t value = self.block_device if block else self.rdma_device
        if value == -1:
            return False
        self.devices = <Device *>room(self.devices, self.devices_used, &self.devices_capacity, sizeof(Device))
        self.devices[self.devices_used].place, self.devices[self.devices_used].value = self.size, value
        self.devices[self.devices_used].block = block
        self.devices_used += 1
        return True

    def chunk_devices(self):
        """The devices of the chunk's events, in order, as bytes of struct Device."""
        return bytes_of(self.devices, self.devices_used * sizeof(Device))

    def layout_waits(self):
        """File and time of each wait for busy pages, as bytes of struct Wait."""
        return bytes_of(self.waits, self.waits_used * sizeof(Wait))

    def counts(self):
        """How many events there have been of each operation, and how many of those without a file."""
        return [self.operations[op] for op in range(N_OPS)], [self.fileless[op] for op in range(N_OPS)]
