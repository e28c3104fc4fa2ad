"""After an operation that broke leases: those who gave up their MRs for it register them again."""

from libc.stdint cimport int32_t, int64_t

from replay._ext.decisions cimport REREGISTER_NEVER
from replay._ext.ops cimport OP_LAYOUT_WAIT, OP_LEASE_BREAK, OP_TRUNCATE
from replay._ext.pages cimport take_pin
from replay._ext.scheduler cimport shift, timer
from replay._ext.world cimport (
    AT_REREGISTER, Break, Pin, REGION_LIVE, REGION_REVOKED, Region, Rows, Task, World, break_at, detail_of, listed, price,
)


cdef int64_t service_time(World* w, int32_t row) noexcept nogil:
    """The operation's recorded length without the waits that were recorded inside it."""
    cdef Rows* rows = &w.rows
    cdef int64_t length = max(0, detail_of(rows, row).dur), end = rows.ts[row] + length
    cdef int32_t inner = rows.next[row]
    cdef Task* task = &w.tasks[rows.task[row]]
    if task.stall_dur > 0 and task.stall_end <= end:       # recorded at the same instant, in a row before
        length -= task.stall_dur
    while inner >= 0 and rows.ts[inner] < end:
        if rows.op[inner] == OP_LEASE_BREAK or rows.op[inner] == OP_LAYOUT_WAIT:
            length -= max(0, detail_of(rows, inner).dur)
        inner = rows.next[inner]
    return max(0, length)


cdef int reregister_at(World* w, int32_t r, int32_t broken, int64_t time) except -1 nogil:
    if w.params.reregister == REREGISTER_NEVER:
        return 0
    return timer(w, time + price(w.params.reg, w.regions[r].npages), AT_REREGISTER, r, broken)


cdef int reregister_later(World* w, int32_t row) except -1 nogil:
    """The operation goes on now; when it is done, those who gave up their MRs for it register them again."""
    cdef int32_t broken = w.tasks[w.rows.task[row]].lease_break, r
    cdef Break* br
    cdef int64_t i
    while broken >= 0:
        br = break_at(w, broken)
        br.over = True
        br.op_done = w.now + service_time(w, row)
        for i in range(br.regions_at, br.regions_at + br.n_regions):
            r = listed(w, i)
            if w.regions[r].state == REGION_REVOKED and w.regions[r].lease_break == broken:
                reregister_at(w, r, broken, br.op_done)
        broken = br.before
    return 0


cdef int on_reregister(World* w, int32_t r, int32_t broken) except -1 nogil:
    """The owner pins again what is left of the range: nothing behind a truncated file's new end.

    Its clock moves by the deregistration and the registration.
    """
    cdef Break* br = break_at(w, broken)
    cdef Region* region = &w.regions[r]
    cdef Pin* pin
    cdef int32_t i
    cdef int64_t left = 0
    if region.state != REGION_REVOKED or region.lease_break != broken:
        return 0
    for i in range(region.first, region.first + region.n):
        pin = &w.pins[w.region_pins[i]]
        if w.rows.op[br.row] == OP_TRUNCATE and pin.slot >= 0 and pin.file == br.file and br.lo < br.hi:
            pin.live = max(0, min(pin.live, br.lo - pin.slot))
        left += pin.live
    region.lease_break = -1
    if left == 0:
        return 0                            # the file ends before it: the registration fails, and the MR stays gone
    region.state = REGION_LIVE
    region.since = w.now
    for i in range(region.first, region.first + region.n):
        take_pin(w, w.region_pins[i], False)
    return shift(w, region.task, price(w.params.dereg, region.npages) + price(w.params.reg, region.npages))
