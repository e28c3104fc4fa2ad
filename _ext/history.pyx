"""The recorded rows as the replay walks them: 34 bytes a row, every number checked as it comes in.

Rows that no decision looks at are left out, unless their task was in a recorded wait then: they say that it was not over, for
a policy that takes the wait away. What few rows have (a duration, a range that no slots stand for, how many bytes)
lies aside: rows with ROW_MORE own one entry each of a table in the order of rows (see world.more_of).
"""

import numpy as np

from libc.stdint cimport INT32_MAX, int8_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from replay._ext.ops cimport (
    N_OPS, OP_BLOCK_ALLOC, OP_CACHE_ADD, OP_CACHE_DEL, OP_DIRTY, OP_EXIT, OP_FORK, OP_FSYNC, OP_LAYOUT_WAIT, OP_LEASE_BREAK, OP_LEASE_DEL,
    OP_MR_REG, OP_PIN, OP_REMOTE_READ, OP_REMOTE_WRITE, OP_UNPIN, OP_WB_END, OP_WB_START,
)
from replay._ext.world cimport AHEAD, Cost, Detail, MORE_ROWS, PAGE_BYTES, ROW_FAILED, ROW_MORE, ROW_RANGE, ROW_SHORT, Rows, push

cdef int64_t LONGEST_WRITE = <int64_t>1 << 42, MOST_WRITTEN = <int64_t>1 << 60
LIMIT = 1 << 61             # of times, in nanoseconds: sums of three stay in range
TYPES = {"i8": np.int8, "i32": np.int32, "i64": np.int64, "u8": np.uint8}

# Of a batch of rows.
ROW_COLUMNS = {
    "row_ts": "i64", "row_op": "i8", "row_task": "i32", "row_file": "i32", "row_slot": "i64", "row_nslots": "i64",
    "row_index": "i64", "row_npages": "i64", "row_dur": "i64", "row_bytes": "i64", "row_pin": "i32", "row_region": "i32",
    "row_flags": "u8",
}


def check_columns(columns, kinds):
    """The declared columns are there, each of its type."""
    for name, kind in kinds.items():
        if name not in columns:
            raise ValueError(f"column {name} is missing")
        array = columns[name]
        if array.dtype != TYPES[kind] or array.ndim != 1:
            raise ValueError(f"column {name}: expected one dimension of {kind}, got {array.dtype}")


def lie_within(values, low, high, what):
    """Every value in [low, high), else ValueError naming the first that is not."""
    bad = (values < low) | (values >= high)
    if bad.any():
        where = int(bad.argmax())
        raise ValueError(f"{what} {int(values[where])} at position {where}: expected {low} <= value < {high}")


def ranges_lie_in_files(slot, npages, file, tables, what):
    """Every non-empty range of slots lies within its file's slots."""
    at = np.flatnonzero(npages > 0)
    lie_within(file[at], 0, len(tables["file_slot"]), f"file of {what}")
    begin = tables["file_slot"][file[at]]
    size = tables["file_nslots"][file[at]]
    offset = slot[at] - begin
    bad = (offset < 0) | (offset > size) | (npages[at] > size - offset)
    if bad.any():
        where = int(at[bad.argmax()])
        raise ValueError(f"{what} {where}: slots {int(slot[where])} +{int(npages[where])} lie outside of its file")


cdef inline bint matters(int op) noexcept nogil:
    """Whether engine.dispatch looks at such rows; the others change nothing under any policy."""
    return (op <= OP_WB_START or (OP_FSYNC <= op and op <= OP_BLOCK_ALLOC) or op == OP_LEASE_DEL or op == OP_LEASE_BREAK
            or op == OP_FORK or op == OP_EXIT)


cdef inline bint is_short(const Batch* b, const Tables* t, int64_t i) noexcept nogil:
    """Whether a row's effect follows from its operation and one page, see shortcuts.pyx. Of DAX files and of memory only, it does not."""
    cdef int op = b.op[i]
    cdef int32_t file = b.file[i]
    if b.flags[i] & ROW_FAILED or (file >= 0 and (t.file_dax[file] or t.file_memory[file])):
        return False
    if op == OP_REMOTE_READ or op == OP_REMOTE_WRITE:
        return b.nslots[i] <= 1
    return b.nslots[i] == 1 and (op == OP_DIRTY or op == OP_WB_START or op == OP_CACHE_ADD)


KEPT = frozenset(op for op in range(N_OPS) if matters(op))


cdef const int64_t* longs(object array, int64_t n) except? NULL:
    cdef const int64_t[::1] view = array
    if view.shape[0] != n:
        raise ValueError("columns row_* differ in length")
    return &view[0] if n > 0 else NULL


cdef const int32_t* ints(object array, int64_t n) except? NULL:
    cdef const int32_t[::1] view = array
    if view.shape[0] != n:
        raise ValueError("columns row_* differ in length")
    return &view[0] if n > 0 else NULL


cdef const uint8_t* octets(object array, int64_t n) except? NULL:
    cdef const uint8_t[::1] view = array
    if view.shape[0] < n:
        raise ValueError("columns row_* differ in length")
    return &view[0] if n > 0 else NULL


cdef bint is_good(const Batch* b, const Tables* t, int64_t i, int64_t before) noexcept nogil:
    """Whether every number of the row is one that the replay can follow without looking again."""
    cdef int64_t dur = b.dur[i], pin = b.pin[i], region = b.region[i], limit = <int64_t>1 << 61
    cdef int64_t slot = b.slot[i], nslots = b.nslots[i], offset
    cdef int32_t file = b.file[i]
    if b.ts[i] < before or limit <= b.ts[i] or dur < -1 or limit <= dur:
        return False
    if b.op[i] < 0 or N_OPS <= b.op[i] or b.task[i] < 0 or t.n_tasks <= b.task[i] or file < -1 or t.n_files <= file:
        return False
    if pin < -1 or t.n_pins <= pin or region < -1 or t.n_regions <= region:
        return False
    if slot < -1 or t.n_slots < slot or nslots < 0:
        return False
    if nslots == 0:
        return True
    if file < 0:
        return False
    offset = slot - t.file_slot[file]
    return 0 <= offset and offset <= t.file_nslots[file] and nslots <= t.file_nslots[file] - offset


cdef class History:
    def __init__(self, dict tables not None, int64_t n_slots, int64_t room):
        """`tables`: checked columns of the tables that rows point into. `room`: the most rows that will come."""
        cdef const int64_t[::1] file_slot = tables["file_slot"], file_nslots = tables["file_nslots"]
        if not 0 <= room < INT32_MAX:
            raise ValueError(f"{room} rows are more than {INT32_MAX - 1}")
        self.columns = tables
        self.tables = Tables(
            n_tasks=len(tables["task_owner"]), n_files=file_slot.shape[0], n_pins=len(tables["pin_slot"]),
            n_regions=len(tables["region_task"]), n_slots=n_slots, file_slot=longs(file_slot, file_slot.shape[0]),
            file_nslots=longs(file_nslots, file_slot.shape[0]), file_dax=octets(tables["file_dax"], file_slot.shape[0]),
            file_memory=octets(tables["file_memory"], file_slot.shape[0]),
        )
        self.room = room
        self.ts = np.empty(room, np.int64)
        self.nslots, self.task, self.file, self.subject, self.next = (np.empty(room, np.int32) for _ in range(5))
        self.slot = np.empty(room + AHEAD, np.int32)
        self.op = np.empty(room + AHEAD, np.int8)
        self.flags = np.empty(room, np.uint8)
        self.more_before = np.empty(room // MORE_ROWS + 1, np.int32)
        self.first_row = np.full(self.tables.n_tasks, -1, np.int32)
        self.last_row = np.full(self.tables.n_tasks, -1, np.int32)
        self.owner = tables["task_owner"]
        self.last_of_owner = np.full(self.tables.n_tasks, -1, np.int32)
        self.waits_until = np.zeros(self.tables.n_tasks, np.int64)

    def __dealloc__(self):
        free(self.more.data)
        free(self.details.data)
        free(self.allocations.data)

    def add(self, dict group not None):
        """The next rows, named as in ROW_COLUMNS. ValueError where a number points outside of a table or time runs backwards."""
        cdef int64_t n = len(group["row_ts"]), before = self.end, bad
        cdef Batch batch
        check_columns(group, ROW_COLUMNS)
        batch = Batch(
            n=n, ts=longs(group["row_ts"], n), op=<const int8_t*>octets(group["row_op"].view(np.uint8), n),
            task=ints(group["row_task"], n), file=ints(group["row_file"], n), slot=longs(group["row_slot"], n),
            nslots=longs(group["row_nslots"], n), flags=octets(group["row_flags"], n), index=longs(group["row_index"], n),
            npages=longs(group["row_npages"], n), dur=longs(group["row_dur"], n), bytes=longs(group["row_bytes"], n),
            pin=ints(group["row_pin"], n), region=ints(group["row_region"], n),
        )
        if self.room - self.seen < n:
            raise ValueError("more rows than were announced")
        with nogil:
            bad = self.take(&batch)
        if bad >= 0:
            explain_bad_rows(group, self.columns, self.tables.n_slots, before)
            raise ValueError(f"row {self.seen} is corrupt")

    cdef int64_t take(self, const Batch* batch) except -2 nogil:
        """Keep what matters of the batch; the first row that is not good, or -1."""
        cdef int64_t i
        cdef int op
        for i in range(batch.n):
            if not is_good(batch, &self.tables, i, self.end):
                return i
            if self.seen == 0:
                self.first = batch.ts[i]
            self.end = batch.ts[i]
            self.seen += 1
            op = batch.op[i]
            self.remote |= op == OP_REMOTE_WRITE or op == OP_REMOTE_READ
            self.deletes |= op == OP_CACHE_DEL
            if op == OP_WB_START or op == OP_WB_END:
                self.time_write(op, batch.slot[i])
            if op == OP_LAYOUT_WAIT or op == OP_LEASE_BREAK:
                self.waits_until[batch.task[i]] = max(self.waits_until[batch.task[i]], self.end + batch.dur[i])
            if matters(op) or self.end < self.waits_until[batch.task[i]]:
                self.keep(batch, i)
            else:
                self.last_of_owner[self.owner[batch.task[i]]] = -1
        return -1

    cdef void time_write(self, int op, int64_t slot) noexcept nogil:
        """How long writing takes: from a row's first page to the end of its writeback. Of two in one place the later counts."""
        cdef Write* write = &self.writing[slot & (WRITES - 1)]
        if op == OP_WB_START:
            write.slot = slot + 1
            write.ts = self.end
        elif write.slot == slot + 1 and slot >= 0:
            write.slot = 0
            if self.end - write.ts < LONGEST_WRITE and self.written_ns < MOST_WRITTEN:
                self.written_ns += self.end - write.ts
                self.writes += 1

    cdef Cost service(self, Cost given):
        """Of writing pages. A negative base: as the trace shows, where it does. Pages of one fsync are under writeback together, so
        it takes as long for many as for one."""
        if given.base_ps >= 0:
            return given
        if self.writes > 0:
            return Cost(base_ps=self.written_ns // self.writes * 1000, slope_ps=0)
        return Cost(base_ps=-given.base_ps, slope_ps=given.slope_ps)

    cdef int keep(self, const Batch* batch, int64_t i) except -1 nogil:
        cdef int32_t row = <int32_t>self.n, task = batch.task[i]
        cdef int64_t came
        cdef int op = batch.op[i]
        if row % MORE_ROWS == 0:
            self.more_before[row // MORE_ROWS] = <int32_t>self.more.n
        self.ts[row] = batch.ts[i]
        self.op[row] = <int8_t>op
        self.task[row] = task
        self.file[row] = batch.file[i]
        self.slot[row] = <int32_t>batch.slot[i] if batch.nslots[i] > 0 else 0
        self.nslots[row] = <int32_t>batch.nslots[i]
        self.subject[row] = batch.pin[i] if op == OP_PIN or op == OP_UNPIN else batch.region[i]
        self.flags[row] = batch.flags[i] & ~(ROW_MORE | ROW_RANGE | ROW_SHORT)
        if is_short(batch, &self.tables, i):
            self.flags[row] |= ROW_SHORT
        if batch.index[i] >= 0:
            self.flags[row] |= ROW_RANGE
        if self.set_aside(batch, i):
            self.flags[row] |= ROW_MORE
        self.next[row] = -1
        if self.last_row[task] < 0:
            self.first_row[task] = row
        else:
            self.next[self.last_row[task]] = row
        self.last_row[task] = row
        self.last_of_owner[self.owner[task]] = row
        if op == OP_BLOCK_ALLOC:
            came = self.seen - 1
            push(&self.allocations, &came, sizeof(int64_t))
            push(&self.allocations, &self.n, sizeof(int64_t))
        self.n += 1
        return 0

    cdef int set_aside(self, const Batch* batch, int64_t i) except -1 nogil:
        """Keep what the row has more than its columns; 1 if it has."""
        cdef int op = batch.op[i]
        cdef int64_t entry, bytes = batch.bytes[i]
        cdef Detail detail
        if batch.nslots[i] > 0 and (op == OP_REMOTE_WRITE or op == OP_REMOTE_READ):
            if bytes == batch.nslots[i] * PAGE_BYTES:
                return 0
            push(&self.more, &bytes, sizeof(bytes))
            return 1
        detail = Detail(index=batch.index[i], npages=batch.npages[i], dur=batch.dur[i], bytes=bytes)
        if batch.nslots[i] > 0 and detail.dur < 0 and op != OP_MR_REG and op != OP_LAYOUT_WAIT:
            return 0
        entry = self.details.n
        push(&self.details, &detail, sizeof(detail))
        push(&self.more, &entry, sizeof(entry))
        return 1

    def find_allocations(self, rows):
        """Numbers among the kept rows, of rows that are counted as they came; -1 for those that allocate no blocks."""
        pairs = np.full((self.allocations.n // 2 + 1, 2), -1, np.int64)
        cdef int64_t[:, ::1] to = pairs
        if self.allocations.n > 0:
            memcpy(&to[0, 0], self.allocations.data, <size_t>self.allocations.n * sizeof(int64_t))
        at = np.searchsorted(pairs[: len(pairs) - 1, 0], rows)
        return np.where(pairs[at, 0] == rows, pairs[at, 1], -1).astype(np.int32)

    cdef Rows rows(self) except *:
        """What was kept; the history keeps the memory and must not be added to any more."""
        self.slot[self.n : self.n + AHEAD] = 0
        self.op[self.n : self.n + AHEAD] = 0
        return Rows(
            n=self.n, ts=longs(self.ts, self.room), slot=ints(self.slot, self.room + AHEAD), nslots=ints(self.nslots, self.room),
            task=ints(self.task, self.room), file=ints(self.file, self.room), subject=ints(self.subject, self.room),
            next=ints(self.next, self.room), op=<const int8_t*>octets(np.asarray(self.op).view(np.uint8), self.room + AHEAD),
            flags=octets(self.flags, self.room), more_before=ints(self.more_before, self.room // MORE_ROWS + 1),
            more=<const int64_t*>self.more.data, details=<const Detail*>self.details.data,
        )


def explain_bad_rows(group, tables, n_slots, before):
    """ValueError naming what is wrong with the first bad number of a batch."""
    ts = group["row_ts"]
    lie_within(ts, 0, LIMIT, "time of row")
    if (np.diff(ts, prepend=before) < 0).any():
        raise ValueError("rows are not in order of time")
    lie_within(group["row_op"], 0, N_OPS, "operation of row")
    lie_within(group["row_task"], 0, len(tables["task_owner"]), "task of row")
    lie_within(group["row_file"], -1, len(tables["file_slot"]), "file of row")
    lie_within(group["row_pin"], -1, len(tables["pin_slot"]), "pin of row")
    lie_within(group["row_region"], -1, len(tables["region_task"]), "region of row")
    lie_within(group["row_dur"], -1, LIMIT, "duration of row")
    lie_within(group["row_nslots"], 0, INT32_MAX, "slots of row")
    lie_within(group["row_slot"], -1, n_slots + 1, "slot of row")
    ranges_lie_in_files(group["row_slot"], group["row_nslots"], group["row_file"], tables, "row")
