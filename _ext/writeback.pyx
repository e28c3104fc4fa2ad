"""The `writeback` decision: what happens when a page with a write pin is about to be written.

DAX pages are never written back; an fsync flushes the CPU caches behind what CPUs have dirtied. An fsync comes before the
writes that it starts, so what a policy has kept dirty is met there first: the recording, whose kernel had cleaned those
pages, need not show a write of them.
"""

from libc.stdint cimport INT64_MAX, int32_t, int64_t

from replay._ext.scheduler cimport shift, wait_written
from replay._ext.decisions cimport (
    BOUNCE_BYTES, FSYNC_MISSES_PINNED, REWRITE_BYTES, TORN_SNAPSHOT, WB_BOUNCE, WB_BOUNCE_SYNC, WB_HOLD, WB_INVALIDATE,
    WB_WHILE_PINNED, WB_WRITE,
)
from replay._ext.device cimport unmap_range
from replay._ext.ops cimport OP_FSYNC, OP_WRITEBACK
from replay._ext.outcomes cimport charge, report
from replay._ext.pages cimport flush_until_now
from replay._ext.world cimport (
    File, HELD_DIRTY, HELD_KEPT, HELD_MISSED, HELD_TORN, HELD_WRITE, PAGE_BYTES, PAGE_DIRTY, PAGE_RECORDED, PAGE_SKIPPED, PAGE_WRITTEN,
    ROW_OPEN, ROW_SYNC, Rows, Task, World, clean, detail_of, held_to_write, matches, price, push,
)


# -- one page ---------------------------------------------------------------------------------------------------------

cdef inline void skip(World* w, int64_t slot) noexcept nogil:
    """The recorded kernel cleaned the page; here it stays dirty and unwritten."""
    w.flags[slot] = (w.flags[slot] | PAGE_DIRTY | PAGE_SKIPPED) & ~PAGE_RECORDED


cdef void bounce(World* w, int64_t slot) noexcept nogil:
    """Write a copy; the page stays dirty. `bounced` keeps when, for the periodic flusher."""
    flush_until_now(w, slot)
    charge(w, BOUNCE_BYTES, PAGE_BYTES)
    w.flags[slot] = (w.flags[slot] | PAGE_DIRTY) & ~(PAGE_RECORDED | PAGE_SKIPPED | PAGE_WRITTEN)
    if w.bounced != NULL:
        w.bounced[slot] = w.now + 1
    if w.cleaned_at != NULL:
        w.cleaned_at[slot] = w.now


# -- wb_start ---------------------------------------------------------------------------------------------------------

cdef inline bint is_sync(World* w, int32_t row) noexcept nogil:
    """For data integrity: told by the row, or inside the task's own fsync."""
    return (w.rows.flags[row] & ROW_SYNC) != 0 or w.rows.ts[row] < w.tasks[w.rows.task[row]].sync_end


cdef inline int op_of(World* w, int32_t row) noexcept nogil:
    """The operation that writes: the task's own fsync, or writeback by itself."""
    return OP_FSYNC if w.rows.ts[row] < w.tasks[w.rows.task[row]].sync_end else OP_WRITEBACK


cdef int on_wb_start(World* w, int32_t row) except -1 nogil:
    cdef Rows* rows = &w.rows
    cdef int64_t lo = rows.slot[row], hi = lo + rows.nslots[row], slot
    cdef int32_t file = rows.file[row]
    cdef int choice = w.policy.writeback
    cdef bint held = False
    if hi == lo or w.files[file].dax or w.files[file].memory or w.tasks[rows.task[row]].retry:
        return 0
    if choice == WB_INVALIDATE:
        return write_invalidated(w, row, lo, hi)
    for slot in range(lo, hi):
        if held_to_write(w, slot):
            held = True
        else:
            clean(w, slot)
    if not held:
        return 0
    if choice == WB_HOLD:
        return hold(w, row, lo, hi)
    if choice == WB_BOUNCE or choice == WB_BOUNCE_SYNC:
        return bounce_row(w, row, lo, hi)
    return write(w, row, lo, hi)


cdef int write(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    cdef int64_t slot
    report(w, WB_WHILE_PINNED, op_of(w, row), w.rows.file[row], lo, hi, HELD_WRITE, w.rows.task[row])
    for slot in range(lo, hi):
        clean(w, slot)
    return 0


cdef int write_invalidated(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    """The device lets go before the write and may map the pages again after it, which dirties them again. Short-term pins are
    no MMU notifier's business: they conflict as under `write`."""
    cdef int64_t slot
    report(w, WB_WHILE_PINNED, op_of(w, row), w.rows.file[row], lo, hi, HELD_WRITE, w.rows.task[row])
    for slot in range(lo, hi):
        clean(w, slot)
    unmap_range(w, w.rows.file[row], lo, hi, True)
    return 0


cdef int hold(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    """Background writeback passes over pinned pages; writeback for integrity waits for the last write pin."""
    cdef int64_t slot
    if is_sync(w, row):
        return wait_written(w, row, w.rows.file[row], list_runs(w, lo, hi, HELD_WRITE), op_of(w, row))
    for slot in range(lo, hi):
        if held_to_write(w, slot):
            skip(w, slot)
    return 0


cdef int64_t list_runs(World* w, int64_t lo, int64_t hi, int look) except -1 nogil:
    """Put the runs of pages that match into the arena; returns where they begin there."""
    cdef int64_t at = w.arena.n, slot = lo
    cdef int32_t edge
    while slot < hi:
        if matches(w, slot, look):
            edge = <int32_t>slot
            push(&w.arena, &edge, sizeof(edge))
            while slot < hi and matches(w, slot, look):
                slot += 1
            edge = <int32_t>slot
            push(&w.arena, &edge, sizeof(edge))
        slot += 1
    return at


cdef int bounce_row(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    cdef int64_t slot, n = 0
    if w.policy.writeback == WB_BOUNCE_SYNC and not is_sync(w, row):
        for slot in range(lo, hi):
            if held_to_write(w, slot):
                skip(w, slot)
        return 0
    report(w, TORN_SNAPSHOT, op_of(w, row), w.rows.file[row], lo, hi, HELD_TORN, w.rows.task[row])
    for slot in range(lo, hi):
        if held_to_write(w, slot):
            bounce(w, slot)
            n += 1
    return shift(w, w.current, price(w.params.copy, n))


# -- fsync ------------------------------------------------------------------------------------------------------------

cdef bint pinned_hull(World* w, int32_t row, int64_t* lo, int64_t* hi) noexcept nogil:
    """The slots between the first and the last active write pin of the row's file, within the row's range if it has one."""
    cdef File* file = &w.files[w.rows.file[row]]
    cdef int64_t least = INT64_MAX, most = 0
    cdef int32_t p = file.pins
    while p >= 0:
        if w.pins[p].write:
            least = min(least, w.pins[p].slot)
            most = max(most, w.pins[p].slot + w.pins[p].live)
        p = w.pins[p].after
    if w.rows.nslots[row] > 0:
        least = max(least, w.rows.slot[row])
        most = min(most, w.rows.slot[row] + w.rows.nslots[row])
    lo[0] = least
    hi[0] = most
    return least < most


cdef int on_fsync(World* w, int32_t row) except -1 nogil:
    cdef Rows* rows = &w.rows
    cdef int32_t file = rows.file[row]
    cdef Task* task = &w.tasks[rows.task[row]]
    cdef int64_t lo = 0, hi = 0, more = 0
    if task.retry:
        return 0
    task.sync_end = INT64_MAX if rows.flags[row] & ROW_OPEN else rows.ts[row] + max(0, detail_of(rows, row).dur)
    if file < 0 or w.files[file].memory:
        return 0
    if w.files[file].loose and (w.policy.writeback != WB_INVALIDATE or w.files[file].dax):
        more = write_loose(w, row)
    if w.files[file].n_write == 0 or not pinned_hull(w, row, &lo, &hi):
        return write_invalidated_kept(w, row) if w.policy.writeback == WB_INVALIDATE else write_more(w, row, more)
    report(w, FSYNC_MISSES_PINNED, OP_FSYNC, file, lo, hi, HELD_MISSED, rows.task[row])
    if w.files[file].dax:
        clean_dirty(w, lo, hi)
        return 0
    if w.policy.writeback == WB_HOLD:
        write_more(w, row, more + count(w, lo, hi, HELD_KEPT))
        return wait_written(w, row, file, list_runs(w, lo, hi, HELD_DIRTY), OP_FSYNC)
    if w.policy.writeback == WB_BOUNCE or w.policy.writeback == WB_BOUNCE_SYNC:
        more += bounce_kept(w, row, lo, hi)
    elif w.policy.writeback == WB_WRITE:
        more += write_kept(w, row, lo, hi)
    else:
        return write_invalidated_kept(w, row)
    return write_more(w, row, more)


cdef int64_t count(World* w, int64_t lo, int64_t hi, int look) noexcept nogil:
    cdef int64_t slot, n = 0
    for slot in range(lo, hi):
        n += matches(w, slot, look)
    return n


cdef int write_more(World* w, int32_t row, int64_t n) except -1 nogil:
    """The row's fsync writes n pages that the recorded kernel had not to write, together with what it did write: it lasts for at
    least as long as that takes. What that adds moves its task's clock and is no stall."""
    cdef int64_t dur
    if n == 0:
        return 0
    dur = price(w.params.service, n) - max(0, detail_of(&w.rows, row).dur)
    return shift(w, w.current, dur) if dur > 0 else 0


cdef void clean_dirty(World* w, int64_t lo, int64_t hi) noexcept nogil:
    cdef int64_t slot
    for slot in range(lo, hi):
        if w.flags[slot] & PAGE_DIRTY:
            clean(w, slot)


cdef int64_t write_loose(World* w, int32_t row) noexcept nogil:
    """This fsync also writes pages without a write pin that are dirty though the recording does not show them written. Returns
    how many; of a DAX file it only flushes them."""
    cdef File* file = &w.files[w.rows.file[row]]
    cdef int64_t lo = file.slot, hi = file.slot + file.nslots, slot, n = 0
    cdef int look = PAGE_DIRTY if file.dax else PAGE_DIRTY | PAGE_RECORDED
    if w.rows.nslots[row] > 0:
        lo, hi = w.rows.slot[row], w.rows.slot[row] + w.rows.nslots[row]
    else:
        file.loose = False
    for slot in range(lo, hi):
        if w.flags[slot] & look == PAGE_DIRTY and not held_to_write(w, slot):
            clean(w, slot)
            n += 1
    return 0 if file.dax else n


cdef int64_t write_kept(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    """Pages that a revocation dirtied, which the recording does not know: this fsync writes them too. Returns how many."""
    cdef int64_t slot, n = 0
    report(w, WB_WHILE_PINNED, OP_FSYNC, w.rows.file[row], lo, hi, HELD_KEPT, w.rows.task[row])
    for slot in range(lo, hi):
        if matches(w, slot, HELD_KEPT):
            clean(w, slot)
            n += 1
    return n


cdef int write_invalidated_kept(World* w, int32_t row) except -1 nogil:
    """On-demand paging: this fsync writes what the device has dirtied, and takes it from the device for that."""
    cdef File* file = &w.files[w.rows.file[row]]
    cdef int64_t lo = file.slot, hi = file.slot + file.nslots, slot, start, n = 0
    if not file.loose or file.dax:
        return 0
    if w.rows.nslots[row] > 0:
        lo, hi = w.rows.slot[row], w.rows.slot[row] + w.rows.nslots[row]
    else:
        file.loose = False
    report(w, WB_WHILE_PINNED, OP_FSYNC, w.rows.file[row], lo, hi, HELD_KEPT, w.rows.task[row])
    slot = lo
    while slot < hi:
        start = slot
        while slot < hi and w.flags[slot] & (PAGE_DIRTY | PAGE_RECORDED) == PAGE_DIRTY:
            clean(w, slot)
            slot += 1
        if start < slot:
            n += slot - start
            unmap_range(w, w.rows.file[row], start, slot, True)
        slot += 1
    return write_more(w, row, n)


cdef int64_t bounce_kept(World* w, int32_t row, int64_t lo, int64_t hi) except -1 nogil:
    """Pages that only the policy keeps dirty are written by this fsync too: again, if they ever were before. Returns how many."""
    cdef int64_t slot, n = 0
    cdef int32_t file = w.rows.file[row]
    for slot in range(lo, hi):
        if not matches(w, slot, HELD_KEPT):
            continue
        if matches(w, slot, HELD_TORN):
            report(w, TORN_SNAPSHOT, OP_FSYNC, file, slot, slot + 1, HELD_TORN, w.rows.task[row])
        if not w.flags[slot] & PAGE_SKIPPED:
            charge(w, REWRITE_BYTES, PAGE_BYTES)
        bounce(w, slot)
        n += 1
    shift(w, w.current, price(w.params.copy, n))
    return n


cdef int flush_to_end(World* w) except -1 nogil:
    """At the trace's end: what the periodic flusher wrote until now of pages that are still kept dirty."""
    cdef int64_t slot
    if w.policy.writeback == WB_BOUNCE:
        for slot in range(w.n_slots):
            if held_to_write(w, slot):
                flush_until_now(w, slot)
    return 0
