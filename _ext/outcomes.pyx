"""What a replay writes down: conflicts with their culprits, stalls, and costs over time."""

import sys

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from replay._ext.decisions cimport N_METRICS
from replay._ext.memory cimport add_product
from replay._ext.world cimport (
    Buffer, Conflicts, HELD, HELD_LONG, HELD_SHARED, HELD_STALE, Integral, MAPPED, N_BINS, PAGE_BYTES, Pin, RUN_SLOTS, World, born, matches, push,
)


# -- where a page lies ------------------------------------------------------------------------------------------------

cdef int64_t find_run(World* w, int64_t slot) noexcept nogil:
    """The run of consecutive pages that holds the slot. Every slot lies in one: run 0 begins at slot 0."""
    cdef int64_t run = w.run_at[slot // RUN_SLOTS]
    while run + 1 < w.n_runs and w.run_slot[run + 1] <= slot:
        run += 1
    return run


cdef int64_t index_of(World* w, int64_t slot) noexcept nogil:
    cdef int64_t run = find_run(w, slot)
    return w.run_index[run] + slot - w.run_slot[run]


cdef int64_t run_end(World* w, int64_t slot) noexcept nogil:
    """The slot behind the last page that follows this one without a gap in its file."""
    cdef int64_t run = find_run(w, slot)
    return w.run_slot[run + 1] if run + 1 < w.n_runs else w.n_slots


# -- who holds a page -------------------------------------------------------------------------------------------------

cdef inline bint holds(World* w, Pin* pin, int64_t slot, int look) noexcept nogil:
    if pin.step <= born(w, slot) or slot < pin.slot or pin.slot + pin.live <= slot:
        return False
    if look == HELD_LONG:
        return pin.longterm
    return look == HELD or look == HELD_SHARED or pin.write


cdef int32_t holder_of(World* w, int32_t file, int64_t slot, int look) noexcept nogil:
    """An active pin that makes the page match `look`: the latest one, else the first that is found; -1 if none."""
    cdef int32_t pin = w.holders[slot]
    if look == MAPPED:
        return pin
    if pin >= 0 and w.pins[pin].step >= 0 and holds(w, &w.pins[pin], slot, look):
        return pin
    pin = w.files[file].pins
    while pin >= 0:
        if holds(w, &w.pins[pin], slot, look):
            return pin
        pin = w.pins[pin].after
    return -1


# -- rows -------------------------------------------------------------------------------------------------------------

cdef int conflict(World* w, int cls, int op, int32_t file, int64_t index, int64_t npages, int32_t pin, int32_t region,
                  int32_t victim) except -1 nogil:
    cdef Conflicts* t = &w.conflicts
    cdef int64_t i = t.n
    if i == t.room:
        with gil:
            (<Blocks>t.blocks).hand_on(t)
        i = 0
    t.ts[i] = w.now
    t.index[i] = index
    t.npages[i] = npages
    t.cls[i] = <uint8_t>cls
    t.op[i] = <uint8_t>op
    t.file[i] = file
    t.pin[i] = pin
    t.victim[i] = victim
    if pin >= 0:
        t.region[i] = w.pins[pin].region
        t.culprit[i] = w.pins[pin].task
    else:
        t.region[i] = region
        t.culprit[i] = w.regions[region].task if region >= 0 else -1
    t.n += 1
    return 0


cdef int64_t report(World* w, int cls, int op, int32_t file, int64_t lo, int64_t hi, int look, int32_t victim) except -1 nogil:
    """One conflict per run of adjacent matching pages [lo, hi) that one pin answers for; returns the pages."""
    cdef int64_t slot = lo, start, stop, total = 0
    cdef int32_t pin
    while slot < hi:
        if not matches(w, slot, look):
            slot += 1
            continue
        start = slot
        pin = holder_of(w, file, start, look)
        stop = min(run_end(w, start), hi)
        slot += 1
        while slot < stop and matches(w, slot, look) and holder_of(w, file, slot, look) == pin:
            slot += 1
        conflict(w, cls, op, file, index_of(w, start), slot - start, pin, -1, victim)
        total += slot - start
    return total


cdef int64_t report_pin(World* w, int cls, int op, int32_t p, int look, int32_t victim) except -1 nogil:
    """The same for the pages that one given pin holds, whoever else holds them too."""
    cdef Pin* pin = &w.pins[p]
    cdef int64_t slot = pin.slot, end = pin.slot + pin.live, start, stop, total = 0
    while slot < end:
        if pin.step <= born(w, slot) or not matches(w, slot, look):
            slot += 1
            continue
        start = slot
        stop = min(run_end(w, start), end)
        slot += 1
        while slot < stop and pin.step > born(w, slot) and matches(w, slot, look):
            slot += 1
        conflict(w, cls, op, pin.file, index_of(w, start), slot - start, p, -1, victim)
        total += slot - start
    return total


cdef int stall(World* w, int64_t ts, int64_t dur, bint unbounded, int op, int role, int32_t task, int32_t file, int64_t lo,
               int64_t hi, int32_t pin) except -1 nogil:
    """`lo`, `hi`: slots of the range that it waited for; empty where the trace does not tell it."""
    cdef int64_t index = index_of(w, lo) if lo < hi else -1
    cdef int64_t npages = index_of(w, hi - 1) + 1 - index if lo < hi else -1
    return stall_range(w, ts, dur, unbounded, op, role, task, file, index, npages, pin)


cdef int stall_range(World* w, int64_t ts, int64_t dur, bint unbounded, int op, int role, int32_t task, int32_t file,
                     int64_t index, int64_t npages, int32_t pin) except -1 nogil:
    cdef StallRow row
    row.ts = ts
    row.dur = dur
    row.index = index
    row.npages = npages
    row.unbounded = unbounded
    row.op = op
    row.role = role
    row.task = task
    row.file = file
    row.pin = pin
    row.region = w.pins[pin].region if pin >= 0 else -1
    return push(&w.stalls, &row, sizeof(row))


# -- costs ------------------------------------------------------------------------------------------------------------

cdef inline int64_t bin_of(World* w, int64_t time) noexcept nogil:
    if time <= w.first:
        return 0
    return min((time - w.first) // w.bin_ns, N_BINS - 1)


cdef void charge_at(World* w, int metric, int64_t time, int64_t amount) noexcept nogil:
    add_product(&w.bins[2 * (metric * N_BINS + bin_of(w, time))], <uint64_t>amount, 1)


cdef void charge(World* w, int metric, int64_t amount) noexcept nogil:
    charge_at(w, metric, w.now, amount)


cdef void change(World* w, Integral* integral, int metric, int64_t delta) noexcept nogil:
    """The quantity changes by delta now. Its integral so far goes to the intervals, up to the trace's end."""
    cdef int64_t until = min(w.now, w.end), edge, b
    if integral.n > 0 and integral.since < until:
        b = bin_of(w, integral.since)
        while True:
            edge = until if b == N_BINS - 1 else min(until, w.first + (b + 1) * w.bin_ns)
            add_product(&w.bins[2 * (metric * N_BINS + b)], <uint64_t>integral.n, <uint64_t>(edge - integral.since))
            integral.since = edge
            b += 1
            if edge == until:
                break
    integral.n += delta
    integral.since = w.now


# -- conflicts on their way out ----------------------------------------------------------------------------------------

CONFLICT_COLUMNS = {
    "ts": np.int64, "index": np.int64, "npages": np.int64, "class": np.uint8, "op": np.uint8, "file": np.int32, "pin": np.int32,
    "region": np.int32, "culprit": np.int32, "victim": np.int32,
}


cdef class Blocks:
    """A block of conflicts at a time. One that nobody has kept is filled again: memory that is fresh from the kernel costs more
    than all that is written to it."""

    def __init__(self, int64_t rows, take):
        """`take` is called with each full block; None: all are kept."""
        self.rows = rows
        self.kept = []
        self.take = self.kept.append if take is None else take

    cdef int begin(self, Conflicts* t) except -1:
        """Point to a block with nothing in it."""
        if self.columns is None or self.references() != self.alone:
            self.columns = {name: np.empty(self.rows, kind) for name, kind in CONFLICT_COLUMNS.items()}
            self.alone = self.references()
        t.blocks = <void*>self
        t.n, t.room = 0, self.rows
        t.ts = <int64_t*>address(self.columns["ts"])
        t.index = <int64_t*>address(self.columns["index"])
        t.npages = <int64_t*>address(self.columns["npages"])
        t.cls = <uint8_t*>address(self.columns["class"])
        t.op = <uint8_t*>address(self.columns["op"])
        t.file = <int32_t*>address(self.columns["file"])
        t.pin = <int32_t*>address(self.columns["pin"])
        t.region = <int32_t*>address(self.columns["region"])
        t.culprit = <int32_t*>address(self.columns["culprit"])
        t.victim = <int32_t*>address(self.columns["victim"])
        return 0

    cdef references(self):
        return [sys.getrefcount(column) for column in self.columns.values()]

    cdef filled(self, int64_t n):
        return {name: column[:n] for name, column in self.columns.items()}

    cdef int hand_on(self, Conflicts* t) except -1:
        self.take(self.filled(t.n))
        return self.begin(t)

    cdef rest(self, Conflicts* t):
        """What was not handed on: all, where nobody took any."""
        last = self.filled(t.n)
        return {name: np.concatenate([*(block[name] for block in self.kept), column]) for name, column in last.items()}


cdef void* address(column) except NULL:
    cdef uint8_t[::1] view = column.view(np.uint8)
    return &view[0]


# -- as arrays ---------------------------------------------------------------------------------------------------------

cdef rows_of(Buffer* buffer, size_t size, names_64, names_32):
    """The rows of a buffer, which is empty then, as one array for each column."""
    kinds = [(name, np.int64) for name in names_64] + [(name, np.int32) for name in names_32]
    packed = np.dtype(kinds)
    dtype = np.dtype({"names": list(packed.names), "formats": [packed[name] for name in packed.names],
                      "offsets": [packed.fields[name][1] for name in packed.names], "itemsize": size})
    cdef const uint8_t[::1] raw
    if buffer.n == 0:
        return {name: np.empty(0, packed[name]) for name in packed.names}
    raw = <const uint8_t[:buffer.n * <int64_t>size]>buffer.data
    rows = np.asarray(raw).view(dtype)
    columns = {name: rows[name].copy() for name in packed.names}
    free(buffer.data)
    buffer.data = NULL
    buffer.n = buffer.room = 0
    return columns


cdef outcomes(World* w, Blocks blocks):
    """All tables, and what the intervals cost."""
    cdef uint64_t[:, :, ::1] halves = np.zeros((N_METRICS, N_BINS, 2), np.uint64)
    memcpy(&halves[0, 0, 0], w.bins, N_METRICS * N_BINS * 2 * sizeof(uint64_t))
    bins = np.asarray(halves).astype(object)
    return {
        "conflicts": blocks.rest(&w.conflicts),
        "stalls": rows_of(&w.stalls, sizeof(StallRow), ("ts", "dur", "index", "npages"),
                          ("unbounded", "op", "role", "task", "file", "pin", "region")),
        "refusals": rows_of(&w.refusals, sizeof(RefusalRow), ("ts", "index", "npages"),
                            ("reason", "task", "file", "pin", "region")),
        "revocations": rows_of(&w.revocations, sizeof(RevocationRow), ("ts", "npages"),
                               ("reason", "op", "task", "breaker", "file", "region")),
        "bins": bins[:, :, 0] + (bins[:, :, 1] << 64),
        "first": w.first,
        "end": w.end,
        "bin_ns": w.bin_ns,
    }
