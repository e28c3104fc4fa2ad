"""State of the in-order pass over raw records: tasks, files, pins, regions, and the rows made so far."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from replay._ext.addresses cimport MAP_ANONYMOUS, MAP_PRIVATE_FILE, MAP_SHARED_FILE, AddressSpaces, Segment
from replay._ext.hashing cimport bytes_of, get, put, room
from replay._ext.memory cimport bytes_between
from replay._ext.rows cimport (
    FLAG_OPEN,
    OP_NOTHING,
    PATCH_FILE,
    PATCH_INDEX,
    PATCH_NPAGES,
    PATCH_OP,
    PATCH_OPEN,
    PATCH_PIN,
    Patch,
    Pin,
    Region,
    Row,
)


cdef enum:
    CLONE_THREAD = 0x10000   # include/uapi/linux/sched.h
    GENERATIONS = 64         # of an inode that are told apart at a time: files that are mapped, whose number others have by now
    # Steps that may be taken beyond one a record.
    EXTRA_STEPS = 0x40000
    EXTRA_STEPS_A_RECORD = 16


cdef class State:
    def __cinit__(self, dict tgids, frozenset reclaimers, int64_t longterm_flag, bint short_pins_last):
        """tgids: process id by thread id, where known. reclaimers: threads that do nothing but reclaim. short_pins_last: whether a
        short pin of which nothing shows the release is held."""
        self.spaces = AddressSpaces()
        self.tgids = tgids
        self.reclaimers = reclaimers
        self.longterm_flag = longterm_flag
        self.short_pins_last = short_pins_last
        self.last_key = -1
        self.generation = 1

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.regions_used):
            free(self.members[i].pins)
        free(self.tasks)
        free(self.rows)
        free(self.patches)
        free(self.pins)
        free(self.regions)
        free(self.members)
        free(self.keys)
        free(self.loose)
        free(self.held)
        free(self.live)
        free(self.task_of.entries)
        free(self.space_of.entries)
        free(self.key_of.entries)
        free(self.region_of.entries)
        free(self.folio_of.entries)
        free(self.held_at.entries)

    cdef int32_t task(self, int32_t tid) except -1 nogil:
        """Position of a thread in `tasks`. A new one shares its process' address space if the trace tells the process."""
        cdef int64_t found = get(&self.task_of, <uint64_t>tid, 0)
        cdef Task *task
        if found >= 0:
            return <int32_t>found
        self.tasks = <Task *>room(self.tasks, self.tasks_used, &self.tasks_capacity, sizeof(Task))
        task = &self.tasks[self.tasks_used]
        task.tid = tid
        with gil:
            task.tgid = self.tgids.get(tid, -1)
            task.space = self._space(task.tgid)
            task.reclaimer = tid in self.reclaimers
        task.registering = task.releasing = task.first_call = task.last_call = task.pin_first = -1
        task.fsync.row = task.layout.row = task.burst.row = task.lease.row = task.scan.row = task.wait.row = -1
        task.waited_row = task.told_index = task.told_npages = task.told_mode = -1
        task.sync = -1
        put(&self.task_of, <uint64_t>tid, 0, <int64_t>self.tasks_used)
        self.tasks_used += 1
        return <int32_t>(self.tasks_used - 1)

    cdef int32_t _space(self, int32_t tgid) except -1:
        cdef int32_t space
        if tgid >= 0 and get(&self.space_of, <uint64_t>tgid, 0) >= 0:
            return <int32_t>get(&self.space_of, <uint64_t>tgid, 0)
        space = self.spaces.new_space(-1)
        if tgid >= 0:
            put(&self.space_of, <uint64_t>tgid, 0, space)
        return space

    def precede(self, int32_t tgid, list ranges):
        """Mappings that a process had before the trace: start, end, page, device, inode, whether shared. To be told before any record."""
        cdef int32_t space = self._space(tgid)
        cdef Segment segment
        cdef int64_t device
        cdef uint64_t ino
        cdef bint shared
        for segment.start, segment.end, segment.pgoff, device, ino, shared in ranges:
            segment.key, segment.kind = -1, MAP_ANONYMOUS
            if device and ino:
                segment.kind = MAP_SHARED_FILE if shared else MAP_PRIVATE_FILE
                segment.key = self.key(KEY_DEVICE, device, ino)
                self.keys[segment.key].before = 1
            self.spaces.precede(space, segment)

    cdef int fork(self, int32_t parent, int32_t child) except -1 nogil:
        """sched_process_fork: a thread or a process, nobody knows; unless task_newtask or the trace's process ids have told."""
        cdef int32_t at = self.task(child)
        if self.tasks[at].cloned or (self.tasks[at].tgid >= 0 and self.tasks[at].tgid == self.tasks[parent].tgid):
            return 0
        return self._separate(parent, at)

    cdef int clone(self, int32_t parent, int32_t child, int64_t flags) except -1 nogil:
        """task_newtask: a thread shares its parent's address space, any other child starts with a copy. One made by vfork borrows its
        parent's only until it executes a program, hence counts as a copy too."""
        cdef int32_t at = self.task(child)
        self.tasks[at].cloned = True
        if flags & CLONE_THREAD:
            self.tasks[at].space, self.tasks[at].tgid = self.tasks[parent].space, self.tasks[parent].tgid
            return 0
        self.tasks[at].tgid = child
        self._separate(parent, at)
        return self.spaces.copy_base(self.tasks[at].space, self.tasks[parent].space)

    cdef int _separate(self, int32_t parent, int32_t at) except -1 nogil:
        """A space of its own, in the parent's group."""
        cdef int32_t space = self.spaces.new_space(self.tasks[parent].space)
        self.tasks[at].space = space
        if self.tasks[at].tgid >= 0:
            put(&self.space_of, <uint64_t>self.tasks[at].tgid, 0, space)
        return 0

    cdef int32_t key(self, int kind, int64_t place, uint64_t ino) except -1 nogil:
        """Number of a file identity; neighbours mostly ask for the same one."""
        cdef int64_t found
        cdef uint64_t where = (<uint64_t>kind << 60) ^ <uint64_t>place
        if self.last_key >= 0 and self.last_ino == ino and self.last_place == place and self.last_kind == kind:
            return self.last_key
        found = get(&self.key_of, ino, where)
        if found < 0:
            found = self._new_key(kind, place, ino)
        self.last_kind, self.last_place, self.last_ino, self.last_key = kind, place, ino, <int32_t>found
        return self.last_key

    cdef int32_t _new_key(self, int kind, int64_t place, uint64_t ino) except -1 nogil:
        """From now on, the identity means this key."""
        cdef int32_t at = <int32_t>self.keys_used
        self.keys = <FileKey *>room(self.keys, self.keys_used, &self.keys_capacity, sizeof(FileKey))
        self.keys[at].kind, self.keys[at].place, self.keys[at].ino, self.keys[at].older = kind, place, ino, -1
        self.keys_used += 1
        put(&self.key_of, ino, (<uint64_t>kind << 60) ^ <uint64_t>place, at)
        self.last_key = -1
        return at

    cdef int32_t key_of_generation(self, int64_t place, uint64_t ino, int64_t generation) except -1 nogil:
        """A file system uses the inode numbers of deleted files again, with another generation. Only mappings tell it: from the
        first one of a new generation on, all events that name the inode mean the new file."""
        cdef int32_t latest = self.key(KEY_DEVICE, place, ino), at = latest, i
        if generation <= 0:
            return latest
        if self.keys[latest].generation == 0:
            self.keys[latest].generation = <uint64_t>generation
        for i in range(GENERATIONS):
            if at < 0:
                break
            if self.keys[at].generation == <uint64_t>generation:
                return at
            at = self.keys[at].older
        at = self._new_key(KEY_DEVICE, place, ino)
        self.keys[at].generation, self.keys[at].older = <uint64_t>generation, latest
        return at

    cdef int32_t file_of(self, Record *record) except -2 nogil:
        """The file that a record names, as far as it names one."""
        cdef int32_t key
        if record.dev >= 0:
            key = self.key(KEY_DEVICE, record.dev, record.ino)
        elif record.name >= 0:
            key = self.key(KEY_BACKING, record.name, record.ino)
        elif record.ino:
            key = self.key(KEY_INODE, 0, record.ino)
        else:
            return -1
        self.keys[key].direct = 1
        return key

    cdef Row *emit(self, Record *record, int op) except NULL nogil:
        cdef Row *row
        self.rows = <Row *>room(self.rows, self.rows_used, &self.rows_capacity, sizeof(Row))
        row = &self.rows[self.rows_used]
        self.rows_used += 1
        memset(row, 0, sizeof(Row))
        row.seq, row.ts, row.tid, row.cpu, row.op = record.seq, record.ts, <int32_t>record.tid, <int16_t>record.cpu, op
        row.index = row.npages = row.value = -1
        row.file = row.mr = row.pin = -1
        return row

    cdef int64_t latest(self) noexcept nogil:
        """Number of the row made last, counted from the beginning of the trace."""
        return self.rows_taken + <int64_t>self.rows_used - 1

    cdef bint afford(self) noexcept nogil:
        """Whether a record may go on to one more range than its first. A pin may cross any number of mappings: without a limit
        n mappings and n pins across them all would make n * n rows. What is over the limit is one unresolved range."""
        if self.extra_steps >= EXTRA_STEPS + EXTRA_STEPS_A_RECORD * self.records:
            return False
        self.extra_steps += 1
        return True

    cdef int patch(self, int64_t row, int column, int64_t value) except -1 nogil:
        self.patches = <Patch *>room(self.patches, self.patches_used, &self.patches_capacity, sizeof(Patch))
        self.patches[self.patches_used].row = row
        self.patches[self.patches_used].column = column
        self.patches[self.patches_used].value = value
        self.patches_used += 1
        return 0

    cdef int move(self, Task *task, uint64_t ino) noexcept nogil:
        """The task's pin call or release has got further on this file. Of too many at once the first is forgotten: it then counts as over."""
        task.moving_ino = ino
        if task.moving:
            return 0
        if self.n_moving == N_MOVING:
            self.tasks[self.moving[0]].moving = False
            self.n_moving -= 1
            self.moving[0] = self.moving[self.n_moving]
        self.moving[self.n_moving] = <int32_t>(bytes_between(<uint8_t *>self.tasks, <uint8_t *>task) // <int64_t>sizeof(Task))
        self.n_moving += 1
        task.moving = True
        return 0

    cdef int32_t add_pin(self) except -1 nogil:
        self.pins = <Pin *>room(self.pins, self.pins_used, &self.pins_capacity, sizeof(Pin))
        self.pins_used += 1
        return <int32_t>(self.pins_used - 1)

    cdef int32_t add_region(self) except -1 nogil:
        self.members = <Members *>room(self.members, self.regions_used, &self.members_capacity, sizeof(Members))
        self.regions = <Region *>room(self.regions, self.regions_used, &self.regions_capacity, sizeof(Region))
        self.regions_used += 1
        return <int32_t>(self.regions_used - 1)

    cdef void settle(self) noexcept nogil:
        """Write the patches of what a row has a field for into the rows that are still here. Most of them are: a release that other
        tasks interrupt takes back what it has just made."""
        cdef size_t i, kept = self.patches_settled
        cdef Patch *patch
        cdef Row *row
        cdef Row blank
        memset(&blank, 0, sizeof(Row))
        blank.op = OP_NOTHING
        for i in range(self.patches_settled, self.patches_used):
            patch = &self.patches[i]
            if patch.row < self.rows_taken or patch.column not in (PATCH_OP, PATCH_FILE, PATCH_INDEX, PATCH_NPAGES, PATCH_PIN):
                self.patches[kept] = patch[0]
                kept += 1
                continue
            row = &self.rows[patch.row - self.rows_taken]
            if patch.column == PATCH_OP and patch.value == OP_NOTHING:
                blank.seq, blank.ts = row.seq, row.ts       # all alike, so that they pack well
                row[0] = blank
            elif patch.column == PATCH_OP:
                row.op = <uint8_t>patch.value
            elif patch.column == PATCH_FILE:
                row.file = <int32_t>patch.value
            elif patch.column == PATCH_INDEX:
                row.index = patch.value
            elif patch.column == PATCH_PIN:
                row.pin = <int32_t>patch.value
            else:
                row.npages = patch.value
        self.patches_settled = self.patches_used = kept

    cdef void drop_rows(self) noexcept nogil:
        """Let go of the rows made so far."""
        self.rows_taken += <int64_t>self.rows_used
        self.rows_used = 0

    def take_patches(self):
        """The patches made since the last time, as bytes of struct Patch."""
        cdef bytearray patches = bytes_of(self.patches, self.patches_used * sizeof(Patch))
        self.patches_used = self.patches_settled = 0
        return patches

    def processes(self):
        """Process id by thread id, as far as the trace told."""
        return {self.tasks[i].tid: self.tasks[i].tgid for i in range(self.tasks_used) if self.tasks[i].tgid >= 0}

    def close(self):
        """Mark what is still under way at the end of the trace."""
        cdef size_t i
        cdef Task *task
        for i in range(self.tasks_used):
            task = &self.tasks[i]
            self._leave_open(&task.fsync)
            self._leave_open(&task.lease)
            if task.pin_guess.npages:
                self.patch(task.pin_guess_row, PATCH_OP, OP_NOTHING)
            if task.scan.row >= 0:
                task.layout.ends = True
            self._leave_open(&task.scan)
            self._leave_open(&task.layout)
            if task.registering >= 0:
                self.patch(task.register_row, PATCH_OPEN, 1)
                self.counts[COUNT_BEGINS_UNPAIRED] += 1
        if not self.short_pins_last:
            for i in range(self.pins_used):
                if self.pins[i].mr < 0 and not self.pins[i].longterm:
                    self._leave_unreleased(<int32_t>i)

    cdef int _leave_unreleased(self, int32_t number) except -1:
        """A short pin that nothing shows to be let go is not held: for how long it was, nobody can say. Pages of which the release
        is not told go with the last that is."""
        cdef Pin *pin = &self.pins[number]
        cdef Held *held
        if pin.ts_unpin >= 0:
            return 0
        if pin.held >= 0 and self.held[pin.held].released:
            held = &self.held[pin.held]
            pin.ts_unpin = held.ts
            self.counts[COUNT_SHORT_UNRELEASED] += pin.npages - held.released - held.early
            return self.patch(pin.row, PATCH_NPAGES, pin.npages - held.part)
        pin.ts_unpin = pin.ts_pin
        if pin.file >= 0:
            self.counts[COUNT_SHORT_UNRELEASED] += pin.npages
        return self.patch(pin.row, PATCH_PIN, -1)

    cdef int _leave_open(self, Operation *operation) except -1:
        if operation.row >= 0 and operation.ends:
            self.patch(operation.row, PATCH_OPEN, 1)
            self.counts[COUNT_BEGINS_UNPAIRED] += 1
        return 0

    def tables(self):
        """Pins, regions and file keys as bytes of their structs, and the counts."""
        return (
            bytes_of(self.pins, self.pins_used * sizeof(Pin)),
            bytes_of(self.regions, self.regions_used * sizeof(Region)),
            bytes_of(self.keys, self.keys_used * sizeof(FileKey)),
            [self.counts[i] for i in range(N_COUNTS)],
        )
