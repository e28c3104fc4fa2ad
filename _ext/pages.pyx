"""Pages and pins: what each event does to them whatever the policy.

A pin belongs to page instances. An instance ends when the page leaves the cache (or, where the trace does not show that,
when a truncate or punch drops it): its counts go to zero and `born` becomes the present step, so that a pin taken before
no longer counts as a holder and does not touch the new instance when it drops.
"""

from libc.stdint cimport int32_t, int64_t

from replay._ext.blocks cimport drop_holds
from replay._ext.scheduler cimport recheck, shift
from replay._ext.decisions cimport (
    BOUNCE_BYTES, DIRTY_AFTER_CLEAN, PINNED_PAGE_SECONDS, REWRITE_BYTES, UNRECLAIMABLE_PAGE_SECONDS, WB_BOUNCE,
)
from replay._ext.outcomes cimport change, charge_at, report_pin
from replay._ext.world cimport (
    DROP_CLEAN, DROP_DIRTY, File, HELD_STALE, PAGE_BYTES, PAGE_CLEANED, PAGE_DIRTY, PAGE_HELD, PAGE_HELD_WRITE, PAGE_HOLE, PAGE_MAPPED,
    PAGE_RECORDED, PAGE_RENEWED, PAGE_SHARED, Pin, Slot, World, born, dirtied, price,
)


cdef int take_pin(World* w, int32_t p, bint recorded) except -1 nogil:
    """Pin the pages. FOLL_WRITE faults each page in for writing, which dirties it (mm/gup.c). A kernel's trace shows that,
    but not where a policy has moved a writeback across the pin; a hand-written one means just what it says.
    """
    cdef Pin* pin = &w.pins[p]
    cdef File* file
    cdef Slot* page
    cdef int64_t slot, fresh = 0
    if pin.step >= 0:
        return 0
    pin.step = w.step
    if pin.region >= 0:
        w.regions[pin.region].held += 1
    change(w, &w.pinned, PINNED_PAGE_SECONDS, pin.live)
    if pin.slot < 0:
        return 0
    file = &w.files[pin.file]
    pin.before = -1
    pin.after = file.pins
    if file.pins >= 0:
        w.pins[file.pins].before = p
    file.pins = p
    file.n_pins += 1
    file.n_write += pin.write
    if pin.write and file.drops_late and not file.dax:
        for slot in range(pin.slot, pin.slot + pin.live):
            dirty_page(w, slot, recorded)
    for slot in range(pin.slot, pin.slot + pin.live):
        page = &w.slots[slot]
        fresh += (w.flags[slot] & PAGE_HELD) == 0
        w.flags[slot] |= PAGE_HELD | PAGE_HELD_WRITE if pin.write else PAGE_HELD
        if pin.longterm:
            page.n_long += 1
        else:
            page.n_short += 1
        page.n_write += pin.write
        if not w.flags[slot] & PAGE_MAPPED:     # then the holder is who mapped it
            w.holders[slot] = p
    if not file.dax:
        change(w, &w.unreclaimable, UNRECLAIMABLE_PAGE_SECONDS, fresh)
    return 0


cdef int drop_pin(World* w, int32_t p, int how, int op, int32_t victim) except -1 nogil:
    """Drop a pin; as a writable MR's release does, its owner may mark the pages dirty.

    Pages that were cleaned under the pin are dirty_after_clean then. The clock of a recorded release moves by mr.dirty for
    each page that turns dirty here and did not in the recording (less for those that need it no more).
    """
    if w.pins[p].step < 0:
        return 0
    leave_dirty(w, p, how, op, victim)
    return let_go(w, p)


cdef int drop_front(World* w, int32_t p, int64_t npages, int how, int op, int32_t victim) except -1 nogil:
    """As drop_pin, of the pin's first pages only: a release lets go of one page after the other. Blocks that the pin keeps busy stay so."""
    cdef Pin* pin = &w.pins[p]
    cdef int64_t rest = pin.live - npages
    if pin.step < 0:
        return 0
    pin.live = npages
    leave_dirty(w, p, how, op, victim)
    uncount(w, pin)
    change(w, &w.pinned, PINNED_PAGE_SECONDS, -npages)
    pin.slot += npages
    pin.live = rest
    return recheck(w, pin.file) if w.n_waiting > 0 else 0


cdef int leave_dirty(World* w, int32_t p, int how, int op, int32_t victim) except -1 nogil:
    cdef Pin* pin = &w.pins[p]
    cdef int64_t extra
    if how != DROP_CLEAN and pin.slot >= 0 and not w.files[pin.file].dax:      # DAX pages are not dirtied by a release
        report_pin(w, DIRTY_AFTER_CLEAN, op, p, HELD_STALE, victim)
        extra = dirty_held(w, pin, how == DROP_DIRTY)
        if how == DROP_DIRTY and pin.region >= 0 and extra != 0:
            shift(w, pin.task, price(w.params.dirty, extra) if extra > 0 else -price(w.params.dirty, -extra))
    return 0


cdef int64_t dirty_held(World* w, Pin* pin, bint recorded) noexcept nogil:
    """Dirty the pages that the pin holds; how many more turned dirty than in the recording.

    A release that was not recorded leaves pages dirty that the recorded kernel sees clean: its fsyncs do not show them.
    """
    cdef int64_t slot, extra = 0
    for slot in range(pin.slot, pin.slot + pin.live):
        if born(w, slot) < pin.step:
            extra += (w.flags[slot] & PAGE_DIRTY) == 0
            extra -= (w.flags[slot] & PAGE_RECORDED) == 0
            dirty_page(w, slot, recorded)
    return extra


cdef int let_go(World* w, int32_t p) except -1 nogil:
    """The pin no longer holds its pages; wake who waited for that."""
    cdef Pin* pin = &w.pins[p]
    cdef File* file
    if pin.region >= 0:
        w.regions[pin.region].held -= 1
    change(w, &w.pinned, PINNED_PAGE_SECONDS, -pin.live)
    if pin.slot < 0:
        pin.step = -1
        return 0
    file = &w.files[pin.file]
    uncount(w, pin)
    if pin.before >= 0:
        w.pins[pin.before].after = pin.after
    else:
        file.pins = pin.after
    if pin.after >= 0:
        w.pins[pin.after].before = pin.before
    file.n_pins -= 1
    file.n_write -= pin.write
    pin.step = -1
    drop_holds(w, p)
    if w.n_waiting > 0:
        recheck(w, pin.file)
    return 0


cdef int uncount(World* w, Pin* pin) except -1 nogil:
    """Take the pin off the counts of the pages that it holds."""
    cdef Slot* page
    cdef int64_t slot, gone = 0
    for slot in range(pin.slot, pin.slot + pin.live):
        page = &w.slots[slot]
        if page.born >= pin.step:
            continue
        if pin.write and page.n_write == 1:
            flush_until_now(w, slot)
        if pin.longterm:
            page.n_long -= 1
        else:
            page.n_short -= 1
        page.n_write -= pin.write
        if page.n_write == 0:
            w.flags[slot] &= ~(PAGE_CLEANED | PAGE_HELD_WRITE)
            w.files[pin.file].loose |= (w.flags[slot] & (PAGE_DIRTY | PAGE_RECORDED)) == PAGE_DIRTY
        if (page.n_long | page.n_short) == 0:
            w.flags[slot] &= ~PAGE_HELD
            gone += 1
    if not w.files[pin.file].dax:
        change(w, &w.unreclaimable, UNRECLAIMABLE_PAGE_SECONDS, -gone)
    return 0


cdef int end_instances(World* w, int32_t file, int64_t lo, int64_t hi, bint hole) except -1 nogil:
    """The pages leave the cache; `hole`: their blocks are freed too."""
    cdef int64_t slot, gone = 0
    for slot in range(lo, hi):
        if w.flags[slot] & PAGE_HELD:
            end_held_instance(w, slot)
            gone += 1
        elif w.n_waiting > 0:
            w.slots[slot].born = w.step          # who waits for a page does not wait for its successor
            w.flags[slot] |= PAGE_RENEWED
        w.flags[slot] = PAGE_HOLE | (w.flags[slot] & PAGE_RENEWED) if hole else w.flags[slot] & (PAGE_HOLE | PAGE_SHARED | PAGE_RENEWED)
    if gone > 0:
        if not w.files[file].dax:
            change(w, &w.unreclaimable, UNRECLAIMABLE_PAGE_SECONDS, -gone)
        if w.n_waiting > 0:
            recheck(w, file)
    return 0


cdef void end_held_instance(World* w, int64_t slot) noexcept nogil:
    cdef Slot* page = &w.slots[slot]
    if page.n_write != 0:
        flush_until_now(w, slot)
    page.n_long = 0
    page.n_short = 0
    page.n_write = 0
    w.holders[slot] = -1
    page.born = w.step
    w.flags[slot] |= PAGE_RENEWED


cdef void dirty_page(World* w, int64_t slot, bint recorded) noexcept nogil:
    """The page turns dirty; `recorded`: in the recording too."""
    if recorded:
        flush_until_now(w, slot)
    w.flags[slot] = dirtied(w.flags[slot]) | (PAGE_RECORDED if recorded else 0)


cdef void dirty_pages(World* w, int64_t lo, int64_t hi) noexcept nogil:
    cdef int64_t slot
    for slot in range(lo, hi):
        dirty_page(w, slot, True)


cdef void flush_until_now(World* w, int64_t slot) noexcept nogil:
    """The periodic flusher's writes of a page that bounce alone kept dirty since it was last written.

    It wakes every writeback.interval from the trace's start and writes what has been dirty for writeback.expire; the
    page stays dirty, so its age begins anew with each write. Under bounce_sync the flusher skips pinned pages.
    """
    cdef int64_t since, step, time, interval = w.params.interval
    if w.policy.writeback != WB_BOUNCE or (w.flags[slot] & (PAGE_DIRTY | PAGE_RECORDED)) != PAGE_DIRTY:
        return
    since = w.bounced[slot] - 1
    if interval == 0 or since < 0:
        return
    step = max(1, (w.params.expire + interval - 1) // interval) * interval
    time = w.first + (since - w.first + w.params.expire + interval - 1) // interval * interval
    if time == since:
        time += interval
    while time < min(w.now, w.end):
        charge_at(w, BOUNCE_BYTES, time, PAGE_BYTES)
        charge_at(w, REWRITE_BYTES, time, PAGE_BYTES)
        time += step
    w.bounced[slot] = 0
