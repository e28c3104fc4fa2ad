"""The device: remote accesses through an MR, and on-demand paging.

Units: one odp_fault or odp_invalidation is one contiguous run of pages that one event maps or unmaps.
"""

from libc.stdint cimport int32_t, int64_t

from replay._ext.scheduler cimport shift
from replay._ext.decisions cimport (
    ACTIVITY_ALWAYS, ACTIVITY_RECORDED,
    ADMIT_NO_PIN, FAILED_REMOTE_OPS, LOST_REMOTE_BYTES, LOST_REMOTE_OPS, ODP_FAULTS, ODP_INVALIDATIONS,
    ORPHANED_WRITE_BYTES, REMOTE_OP_FAILED, ROLE_REMOTE,
)
from replay._ext.outcomes cimport charge, conflict, index_of, run_end, stall
from replay._ext.world cimport (
    Detail, MAPPED, PAGE_BYTES, PAGE_DIRTY, PAGE_MAPPED, PAGE_WRITTEN, Pin, REGION_LIVE, REGION_REFUSED, REGION_REVOKED, ROW_FAILED, Region, Rows,
    World, born, bytes_of, detail_of, matches, price,
)


cdef void assume_device(World* w, bint shown) noexcept nogil:
    """What the device does without being seen; `shown`: the trace has remote accesses."""
    w.period = w.params.activity if w.params.activity > ACTIVITY_ALWAYS else 0
    w.active = w.params.activity == ACTIVITY_ALWAYS or (w.params.activity == ACTIVITY_RECORDED and not shown)
    w.maps_at_once = w.active or w.period > 0


cdef int on_remote(World* w, int32_t row, bint write) except -1 nogil:
    """A remote access: lost behind a refused MR, failed behind a revoked one, else done."""
    cdef Rows* rows = &w.rows
    cdef int32_t r = rows.subject[row]
    cdef Region* region
    if r < 0 or rows.flags[row] & ROW_FAILED:
        return 0
    region = &w.regions[r]
    if region.state == REGION_REFUSED:
        charge(w, LOST_REMOTE_OPS, 1)
        charge(w, LOST_REMOTE_BYTES, max(0, bytes_of(rows, row)))
    elif region.state == REGION_REVOKED:
        charge(w, FAILED_REMOTE_OPS, 1)
        fail_access(w, row, r)
    elif region.state == REGION_LIVE and rows.nslots[row] > 0:
        if w.policy.admit & ADMIT_NO_PIN:
            fault_access(w, row, region, write)
        elif write:
            write_access(w, row, region)
    return 0


cdef int fail_access(World* w, int32_t row, int32_t r) except -1 nogil:
    cdef Rows* rows = &w.rows
    cdef Detail told
    cdef int64_t index, npages
    if rows.nslots[row] > 0:
        index = index_of(w, rows.slot[row])
        npages = rows.nslots[row]
    else:
        told = detail_of(rows, row)
        index = told.index
        npages = max(0, told.npages)
    return conflict(w, REMOTE_OP_FAILED, rows.op[row], rows.file[row], index, npages, -1, r, rows.task[row])


cdef int32_t pin_of(World* w, Region* region, int64_t slot) noexcept nogil:
    """The region's pin whose range has the slot, -1 if the trace resolved none there."""
    cdef int32_t i, p = region.last
    if p >= 0 and w.pins[p].slot <= slot and slot < w.pins[p].slot + w.pins[p].live:
        return p
    for i in range(region.first, region.first + region.n):
        p = w.region_pins[i]
        if w.pins[p].slot >= 0 and w.pins[p].slot <= slot and slot < w.pins[p].slot + w.pins[p].live:
            region.last = p
            return p
    return -1


cdef int write_access(World* w, int32_t row, Region* region) except -1 nogil:
    """The device writes pages that it has pinned. Where the file has a new instance, the write goes to an orphan."""
    cdef int64_t lo = w.rows.slot[row], n = w.rows.nslots[row], slot, orphans = 0
    cdef int32_t p
    for slot in range(lo, lo + n):
        p = pin_of(w, region, slot)
        if p < 0 or w.pins[p].step < 0:
            continue
        if born(w, slot) < w.pins[p].step:
            w.flags[slot] |= PAGE_WRITTEN
        else:
            orphans += 1
    if orphans > 0:
        charge(w, ORPHANED_WRITE_BYTES, min(max(0, bytes_of(&w.rows, row)), orphans * PAGE_BYTES))
    return 0


cdef int fault_access(World* w, int32_t row, Region* region, bint write) except -1 nogil:
    """The device faults in what it has not mapped; the remote side waits for that."""
    cdef int64_t lo = w.rows.slot[row], hi = lo + w.rows.nslots[row], dur = 0, faulted = 0, run = 0, slot
    cdef int32_t p = pin_of(w, region, lo)
    w.files[w.rows.file[row]].loose |= write | w.files[w.rows.file[row]].dax
    for slot in range(lo, hi):
        if write:
            w.flags[slot] |= PAGE_DIRTY
        if w.flags[slot] & PAGE_MAPPED:
            if run > 0:
                dur += price(w.params.fault, run)
                faulted += 1
            run = 0
            continue
        w.flags[slot] |= PAGE_MAPPED
        w.holders[slot] = pin_of(w, region, slot)
        run += 1
    if run > 0:
        dur += price(w.params.fault, run)
        faulted += 1
    charge(w, ODP_FAULTS, faulted)
    if dur > 0:
        stall(w, w.now, dur, False, w.rows.op[row], ROLE_REMOTE, w.rows.task[row], w.rows.file[row], lo, hi, p)
    return 0


cdef int map_pin(World* w, int32_t p) except -1 nogil:
    """On-demand paging instead of a pin. A device that is assumed to access all the time faults at once."""
    cdef Pin* pin = &w.pins[p]
    cdef int64_t slot
    if not w.maps_at_once or pin.slot < 0:
        return 0
    charge(w, ODP_FAULTS, 1)
    w.files[pin.file].loose |= pin.write | w.files[pin.file].dax
    for slot in range(pin.slot, pin.slot + pin.live):
        w.flags[slot] |= PAGE_MAPPED | (PAGE_DIRTY if pin.write else 0)
        w.holders[slot] = p
    return 0


cdef void unmap_pin(World* w, int32_t p) noexcept nogil:
    cdef Pin* pin = &w.pins[p]
    cdef int64_t slot
    if pin.slot < 0:
        return
    for slot in range(pin.slot, pin.slot + pin.live):
        if w.holders[slot] == p:
            w.flags[slot] &= ~PAGE_MAPPED


cdef int64_t unmap_range(World* w, int32_t file, int64_t lo, int64_t hi, bint refault) except -1 nogil:
    """Take mapped pages of [lo, hi) from the device; the current task pays. `refault`: an always active device maps them
    again at once (not behind an end of file). Returns the pages."""
    cdef int64_t slot = lo, start, stop, total = 0
    cdef int32_t holder
    while slot < hi:
        if not matches(w, slot, MAPPED):
            slot += 1
            continue
        start = slot
        stop = min(run_end(w, slot), hi)
        while slot < stop and matches(w, slot, MAPPED):
            w.flags[slot] &= ~PAGE_MAPPED
            slot += 1
        charge(w, ODP_INVALIDATIONS, 1)
        shift(w, w.current, price(w.params.invalidate, slot - start))
        total += slot - start
        if refault and w.maps_at_once:
            charge(w, ODP_FAULTS, 1)
            w.files[file].loose = True
            for stop in range(start, slot):
                holder = w.holders[stop]
                w.flags[stop] |= PAGE_MAPPED | (PAGE_DIRTY if holder >= 0 and w.pins[holder].write else 0)
    return total
