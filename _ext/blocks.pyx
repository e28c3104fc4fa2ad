"""Freed blocks that stay busy until the last pin of their page drops (the allocator passes over them)."""

from libc.stdint cimport int32_t, int64_t

from replay._ext.decisions cimport HELD_BLOCK_SECONDS
from replay._ext.outcomes cimport change
from replay._ext.world cimport HELD, Hold, Link, Pin, Slot, World, matches, push


cdef inline bint covers(World* w, Pin* pin, int64_t slot) noexcept nogil:
    return pin.step > w.slots[slot].born and pin.slot <= slot and slot < pin.slot + pin.live


cdef int64_t uniform_end(World* w, int32_t file, int64_t lo, int64_t hi) noexcept nogil:
    """The end of the run from lo on whose pages are held by exactly the same pins."""
    cdef int64_t end = lo + 1
    cdef int32_t p = w.files[file].pins
    cdef Pin* pin
    while end < hi and w.slots[end].born == w.slots[lo].born:
        end += 1
    while p >= 0:
        pin = &w.pins[p]
        if lo < pin.slot:
            end = min(end, pin.slot)
        elif lo < pin.slot + pin.live:
            end = min(end, pin.slot + pin.live)
        p = pin.after
    return end


cdef int keep(World* w, int32_t file, int64_t lo, int64_t npages) except -1 nogil:
    """One hold for `npages` pages from lo on, tied to each pin that holds them."""
    cdef Hold hold
    cdef Link link
    cdef int32_t p = w.files[file].pins
    hold.npages = npages
    hold.remaining = 0
    link.hold = <int32_t>w.holds.n
    while p >= 0:
        if covers(w, &w.pins[p], lo):
            link.after = w.pins[p].holds
            w.pins[p].holds = <int32_t>w.links.n
            push(&w.links, &link, sizeof(link))
            hold.remaining += 1
        p = w.pins[p].after
    push(&w.holds, &hold, sizeof(hold))
    change(w, &w.held, HELD_BLOCK_SECONDS, npages)
    return 0


cdef int hold_blocks(World* w, int32_t file, int64_t lo, int64_t hi) except -1 nogil:
    """The pinned pages of [lo, hi) lose their place in the file; their blocks stay busy from now on."""
    cdef int64_t slot = lo, end
    while slot < hi:
        if not matches(w, slot, HELD):
            slot += 1
            continue
        end = uniform_end(w, file, slot, hi)
        keep(w, file, slot, end - slot)
        slot = end
    return 0


cdef void drop_holds(World* w, int32_t pin) noexcept nogil:
    """The pin has dropped: blocks that only it still kept busy become free."""
    cdef int32_t link = w.pins[pin].holds
    cdef Link* links = <Link*>w.links.data
    cdef Hold* hold
    while link >= 0:
        hold = &(<Hold*>w.holds.data)[links[link].hold]
        hold.remaining -= 1
        if hold.remaining == 0:
            change(w, &w.held, HELD_BLOCK_SECONDS, -hold.npages)
        link = links[link].after
    w.pins[pin].holds = -1
