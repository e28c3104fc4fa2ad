"""Rows that most of a trace is made of, without a look at what does not matter to them.

A row of one page of the page cache changes that page's flags, if anything, and into which follows from its operation and the
flags that it meets. So a replay begins with a table of that under its policy, and the main cursor goes through rows by it. Where the
table says CLOSER, more is to be done or to be looked at: engine.dispatch runs the row. What is behind a region that was
refused or revoked is a matter for a closer look as well.
"""

from libc.stdint cimport INT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint16_t

from replay._ext.decisions cimport ADMIT_NO_PIN, WB_BOUNCE, WB_INVALIDATE
from replay._ext.ops cimport N_OPS, OP_CACHE_ADD, OP_DIRTY, OP_REMOTE_READ, OP_REMOTE_WRITE, OP_WB_START
from replay._ext.world cimport (
    AHEAD, ATTACHED, N_PAGE_FLAGS, PAGE_DIRTY, PAGE_HELD, PAGE_HELD_WRITE, PAGE_HOLE, PAGE_MAPPED, PAGE_RECORDED, PAGE_RENEWED, PAGE_WRITTEN,
    REGION_REFUSED, ROW_SHORT, Region, Task, World, cleaned, dirtied, prefetch,
)

cdef enum:
    NEAR = 16              # rows whose page's holder is, where the flags that are there by then ask for a closer look


# -- one function per operation: a page's flags after it, or CLOSER ----------------------------------------------------

cdef int after_dirty(World* w, int flags) noexcept nogil:
    if w.policy.admit & ADMIT_NO_PIN:
        return CLOSER                                        # the dirtying may be that of a release which is not there
    if w.policy.writeback == WB_BOUNCE and flags & (PAGE_DIRTY | PAGE_RECORDED) == PAGE_DIRTY:
        return CLOSER                                        # the periodic flusher wrote it until now
    return dirtied(flags) | PAGE_RECORDED


cdef int after_wb_start(World* w, int flags) noexcept nogil:
    if flags & PAGE_HELD_WRITE or (w.policy.writeback == WB_INVALIDATE and flags & PAGE_MAPPED):
        return CLOSER
    return cleaned(flags)


cdef int after_remote_write(World* w, int flags) noexcept nogil:
    if w.policy.admit & ADMIT_NO_PIN or flags & PAGE_RENEWED:
        return CLOSER
    if flags & PAGE_HELD and not flags & PAGE_WRITTEN:
        return CLOSER                                        # it was written, if the region is what holds it
    return flags


cdef int after_remote_read(World* w, int flags) noexcept nogil:
    if w.policy.admit & ADMIT_NO_PIN and not flags & PAGE_MAPPED:
        return CLOSER
    return flags


cdef int effect_of(World* w, int op, int flags) noexcept nogil:
    if op == OP_DIRTY:
        return after_dirty(w, flags)
    if op == OP_WB_START:
        return after_wb_start(w, flags)
    if op == OP_REMOTE_WRITE:
        return after_remote_write(w, flags)
    if op == OP_REMOTE_READ:
        return after_remote_read(w, flags)
    if op == OP_CACHE_ADD:
        return flags & ~PAGE_HOLE
    return CLOSER


cdef int find_effects(World* w) except -1 nogil:
    """Fill the table."""
    cdef int op, flags
    for op in range(N_OPS):
        for flags in range(N_PAGE_FLAGS):
            w.effects[op * N_PAGE_FLAGS + flags] = <uint16_t>effect_of(w, op, flags)
    return 0


# -- rows by the table ------------------------------------------------------------------------------------------------

cdef void walk(World* w) noexcept nogil:
    """Take the main cursor to the first row that needs a closer look, or before which the heap's first entry may come.

    One comparison per row is hard to foretell. The sum of what asks for a closer look keeps it at one.
    """
    cdef const int64_t* ts = w.rows.ts
    cdef const int32_t* slots = w.rows.slot
    cdef const int32_t* subjects = w.rows.subject
    cdef const int32_t* tasks = w.rows.task
    cdef const int8_t* ops = w.rows.op
    cdef const uint8_t* row_flags = w.rows.flags
    cdef uint16_t* flags = w.flags
    cdef const uint16_t* effects = w.effects
    cdef const Region* regions = w.regions
    cdef const int32_t* holders = w.holders
    cdef Task* all_tasks = w.tasks
    cdef Task* task
    cdef bint timed = w.heap.n > 0, lost = w.lost
    cdef int64_t row = w.main, n = w.rows.n, near, until = w.heap.at[0].time if timed else INT64_MAX
    cdef int effect, closer
    while row < n:
        if timed and ts[row] >= until:
            break
        near = row + NEAR
        prefetch(&flags[slots[row + AHEAD]])
        prefetch(&holders[slots[near] * (effects[ops[near] * N_PAGE_FLAGS + flags[slots[near]]] // CLOSER)])
        task = &all_tasks[tasks[row]]
        if task.mode == ATTACHED:
            effect = effects[ops[row] * N_PAGE_FLAGS + flags[slots[row]]]
            closer = effect // CLOSER | (~row_flags[row] & ROW_SHORT)
            # A region. The subject of a row of pins is a pin, whose number may lie beyond the regions; such rows need a closer look
            # anyway, so that nothing follows from what is read there, and only AddressSanitizer tells that something is.
            if lost and not closer and subjects[row] >= 0:
                closer = regions[subjects[row]].state >= REGION_REFUSED
            if closer:
                break
            flags[slots[row]] = <uint16_t>effect
            task.last = <int32_t>row
        row += 1
    w.main = row
