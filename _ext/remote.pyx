"""Remote accesses: which live region, and which of its pinned pages, an address of the device's belongs to."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport SOURCE_ANONYMOUS, SOURCE_IOVA, SOURCE_UNRESOLVED, confidence_of, end_of, pages_of
from replay._ext.hashing cimport room
from replay._ext.ops cimport OP_REMOTE_READ, OP_REMOTE_WRITE
from replay._ext.rows cimport Pin, Region, Row
from replay._ext.state cimport COUNT_REMOTE, COUNT_REMOTE_UNRESOLVED, Hit, Members, Record, State


cdef int enter(State state, int32_t number) except -1 nogil:
    state.live = <int32_t *>room(state.live, state.live_used, &state.live_capacity, sizeof(int32_t))
    state.live[state.live_used] = number
    state.live_used += 1
    state.generation += 1
    return 0


cdef int leave(State state, int32_t number) noexcept nogil:
    cdef size_t at = state.live_used
    while at > 0:
        at -= 1
        if state.live[at] == number:
            break
    while at + 1 < state.live_used:
        state.live[at] = state.live[at + 1]
        at += 1
    state.live_used -= 1
    state.generation += 1
    return 0


cdef uint64_t _end(Region *region) noexcept nogil:
    return region.addr + min(<uint64_t>region.bytes, ~<uint64_t>0 - region.addr)


cdef Hit *_live_at(State state, uint64_t iova) noexcept nogil:
    """The newest live region that covers an address, and the range around it for which that is so; NULL if none does."""
    cdef Hit *hit = &state.hits[(iova >> 16) & 255]
    cdef size_t at = state.live_used
    cdef Region *region
    cdef uint64_t low = 0, high = ~<uint64_t>0, end
    if hit.generation == state.generation and hit.low <= iova < hit.high:
        return hit
    while at > 0:
        at -= 1
        region = &state.regions[state.live[at]]
        end = _end(region)
        if region.addr <= iova < end:
            hit.low, hit.high = max(low, region.addr), min(high, end)
            hit.region, hit.generation = state.live[at], state.generation
            return hit
        if end <= iova:
            low = max(low, end)
        elif region.addr > iova:
            high = min(high, region.addr)
    return NULL


cdef int64_t _pin_at(State state, int32_t region, uint64_t addr) noexcept nogil:
    """Number of the region's pin that holds an address, -1 for none: its pins are in address order."""
    cdef Members *members = &state.members[region]
    cdef size_t low = 0, high = members.used, middle
    cdef Pin *pin
    while low < high:
        middle = (low + high) // 2
        pin = &state.pins[members.pins[middle]]
        if end_of(pin.addr, pin.npages) <= addr:
            low = middle + 1
        else:
            high = middle
    if low == members.used or state.pins[members.pins[low]].addr > addr:
        return -1
    return members.pins[low]


cdef int64_t _touched(uint64_t addr, int64_t size) noexcept nogil:
    """Pages that an access touches."""
    cdef int64_t head = 4096 - <int64_t>(addr & 4095)
    return 1 + pages_of(size - head) if size > head else 1


cdef int remote(State state, Record *record) except -1 nogil:
    """A software RDMA device copies into (dir 0) or out of (dir 1) a region; one row per pinned range that it touches."""
    cdef uint64_t iova = <uint64_t>record.a, end
    cdef int64_t left = record.b if record.b > 0 else 1
    cdef int op = OP_REMOTE_WRITE if record.c == 0 else OP_REMOTE_READ
    cdef Hit *hit = _live_at(state, iova)
    cdef Row *row
    cdef Pin *pin
    cdef int64_t number
    state.counts[COUNT_REMOTE] += 1
    if hit == NULL:
        state.counts[COUNT_REMOTE_UNRESOLVED] += 1
        row = state.emit(record, op)
        row.value, row.source = record.b, SOURCE_UNRESOLVED
        return 0
    left = <int64_t>min(<uint64_t>left, _end(&state.regions[hit.region]) - iova)
    while left > 0:
        row = state.emit(record, op)
        row.mr, row.value = hit.region, left
        number = _pin_at(state, hit.region, iova)
        if number < 0:
            _place_in_region(&state.regions[hit.region], row, iova, left)
            return 0
        pin = &state.pins[number]
        end = end_of(pin.addr, pin.npages)
        row.value = <int64_t>min(<uint64_t>left, end - iova)
        row.pin = <int32_t>number
        row.source, row.confidence = SOURCE_IOVA, pin.confidence
        if pin.file >= 0:
            row.file, row.index = pin.file, pin.index + <int64_t>((iova - pin.addr) >> 12)
            row.npages = _touched(iova, row.value)
        left -= row.value
        iova = end
        if left > 0 and not state.afford():
            state.counts[COUNT_REMOTE_UNRESOLVED] += 1
            row = state.emit(record, op)
            row.mr, row.value, row.source = hit.region, left, SOURCE_UNRESOLVED
            return 0
    return 0


cdef int _place_in_region(Region *region, Row *row, uint64_t iova, int64_t left) noexcept nogil:
    row.source, row.confidence = SOURCE_IOVA, confidence_of(SOURCE_ANONYMOUS)
    if region.odp and region.file >= 0:
        row.file = region.file
        row.index = region.index + <int64_t>((iova >> 12) - (region.addr >> 12))
        row.npages = _touched(iova, left)
    return 0
