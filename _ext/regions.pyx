"""Pins and memory regions: from user addresses to file pages, from registration to release."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport (
    MAP_ANONYMOUS,
    MAP_NONE,
    MAP_PRIVATE_FILE,
    MAP_SHARED_FILE,
    SOURCE_UNRESOLVED,
    Found,
    confidence_of,
    end_of,
    pages_of,
)
from replay._ext.hashing cimport put, room
from replay._ext.ops cimport OP_MR_REG, OP_PIN, OP_UNPIN
from replay._ext.remote cimport enter
from replay._ext.rows cimport (
    FLAG_DIRTY,
    FLAG_LONGTERM,
    FLAG_ODP,
    FLAG_WRITE,
    PATCH_ADDR,
    PATCH_DUR,
    PATCH_FILE,
    PATCH_INDEX,
    PATCH_NPAGES,
    PATCH_RDMA_DEVICE,
    PATCH_RESULT,
    Pin,
    Region,
    Row,
    lasted,
    told,
)
from replay._ext.state cimport (
    COUNT_BEGINS_UNPAIRED,
    COUNT_ENDS_UNPAIRED,
    COUNT_PIN_CALLS,
    COUNT_PINS_UNRESOLVED,
    COUNT_UNPINS_UNMATCHED,
    Loose,
    Members,
    Record,
    State,
    Task,
)

cdef enum:
    FOLL_WRITE = 1
    # include/rdma/ib_verbs.h, ib_access_writable: local write, remote write, remote atomic, memory window bind.
    ACCESS_WRITABLE = 0x1B
    ACCESS_ON_DEMAND = 0x20
    # include/linux/err.h: pointers above this are negative error numbers.
    MAX_ERRNO = 4095
    # How many of a task's live pin calls are compared with an unpin's number of pages.
    UNPIN_WINDOW = 32
    # How many of the mappings that a pin call spans are looked at for the page that it dirties.
    MAPPINGS_OF_A_CALL = 8


cdef Found _look_up(State state, Task *task, uint64_t addr, uint64_t end, int64_t gup_flags) noexcept nogil:
    """As AddressSpaces.resolve, with what the pin finds there: a private mapping pinned for writing is copied first, hence anonymous."""
    cdef Found found = state.spaces.resolve(task.space, addr, end)
    if found.kind == MAP_PRIVATE_FILE and gup_flags & FOLL_WRITE:
        found.kind = MAP_ANONYMOUS
    if found.kind != MAP_SHARED_FILE and found.kind != MAP_PRIVATE_FILE:
        found.key = -1
        found.index = -1
    return found


cdef int pin_call(State state, Task *task, Record *record) except -1 nogil:
    if task.pinning:
        state.counts[COUNT_BEGINS_UNPAIRED] += 1
        _drop_taken(state, task, record)
    task.pinning = True
    task.pin_shown = task.pin_taken = 0
    task.pin_first = -1
    task.pin_addr = <uint64_t>record.a & ~<uint64_t>4095
    task.pin_npages = record.b
    task.pin_flags = record.c
    return 0


cdef int pin_page(State state, Task *task, Record *record) noexcept nogil:
    """The call takes its pages in order and faults in for writing what it needs (mm/gup.c): those before the page that it faults or
    dirties now are pinned."""
    cdef uint64_t addr = task.pin_addr, end = end_of(task.pin_addr, task.pin_npages)
    cdef int seen
    cdef Found found
    for seen in range(MAPPINGS_OF_A_CALL):
        if addr >= end:
            break
        found = _look_up(state, task, addr, end, task.pin_flags)
        if found.key >= 0 and state.keys[found.key].ino == record.ino:
            if found.index <= record.index < found.index + <int64_t>((found.end - addr) >> 12):
                task.pin_shown = max(task.pin_shown, <int64_t>((addr - task.pin_addr) >> 12) + record.index - found.index)
                state.move(task, record.ino)
                break
        addr = found.end
    return 0


cdef int pins_so_far(State state, Task *task, Record *record) except -1 nogil:
    """Another task's event meets the file in the middle of a call: make the pins that are there by now."""
    cdef Record own = record[0]
    if task.pin_shown <= task.pin_taken:
        return 0
    own.tid = task.tid
    if task.pin_first < 0:
        task.pin_first = <int32_t>state.pins_used
    _pin_pages(state, task, &own, task.pin_addr + (<uint64_t>task.pin_taken << 12), task.pin_shown - task.pin_taken, task.pin_flags)
    task.pin_taken = task.pin_shown
    return 0


cdef int _drop_taken(State state, Task *task, Record *record) except -1 nogil:
    """A call that failed, or returned fewer pages than it seemed to take, holds none of those made so far."""
    cdef size_t number
    cdef Pin *pin
    if task.pin_taken:
        for number in range(<size_t>task.pin_first, state.pins_used):
            pin = &state.pins[number]
            if pin.tid == task.tid and pin.mr == task.registering and pin.ts_unpin < 0:
                _end_pin(state, record, <int32_t>number, False)
                if pin.mr >= 0:
                    state.members[pin.mr].used -= 1
                    if pin.file >= 0:
                        state.regions[pin.mr].npages -= pin.npages
    task.pin_taken = 0
    return 0


cdef int pin_return(State state, Task *task, Record *record) except -1 nogil:
    cdef int64_t npages = record.a, taken
    cdef int32_t first
    cdef Row *row
    cdef Found found
    if not task.pinning:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    task.pinning = False
    state.counts[COUNT_PIN_CALLS] += 1
    if npages > 0:
        if 0 < task.pin_npages < npages:
            npages = task.pin_npages
        first = task.pin_first if task.pin_first >= 0 else <int32_t>state.pins_used
        if npages < task.pin_taken:
            _drop_taken(state, task, record)
        taken = task.pin_taken
        if npages > taken:
            _pin_pages(state, task, record, task.pin_addr + (<uint64_t>taken << 12), npages - taken, task.pin_flags)
        return _remember_call(state, task, npages, first) if task.registering < 0 else 0
    _drop_taken(state, task, record)
    found = _look_up(state, task, task.pin_addr, end_of(task.pin_addr, max(task.pin_npages, 1)), task.pin_flags)
    row = state.emit(record, OP_PIN)
    _describe(state, task, row, &found)
    row.npages = task.pin_npages
    state.patch(state.latest(), PATCH_RESULT, npages)
    state.patch(state.latest(), PATCH_ADDR, <int64_t>task.pin_addr)
    return 0


cdef int _describe(State state, Task *task, Row *row, Found *found) except -1 nogil:
    cdef bint write = task.pin_flags & FOLL_WRITE
    row.file, row.index = found.key, found.index
    row.source, row.confidence = found.source, confidence_of(found.source)
    row.mr = task.registering
    if task.registering >= 0:
        # Up to Linux 6.1 ib_umem_get always asked for FOLL_WRITE (drivers/infiniband/core/umem.c): the region's own access decides.
        write = state.regions[task.registering].write
    row.flags |= told(FLAG_WRITE, write)
    row.flags |= told(FLAG_LONGTERM, task.registering >= 0 or (task.pin_flags & state.longterm_flag) != 0)
    return 0


cdef int _pin_pages(State state, Task *task, Record *record, uint64_t addr, int64_t npages, int64_t flags) except -1 nogil:
    """A pin and its row for each contiguous file range; ranges of anonymous and of unknown memory are pins without a file."""
    cdef uint64_t end = end_of(addr, npages), begin
    cdef Found found, following
    cdef bint unresolved = False
    while addr < end:
        begin = addr
        found = _look_up(state, task, addr, end, flags)
        addr = min(found.end, end)
        while addr < end:
            if not state.afford():
                found.key, found.index, found.kind, found.source = -1, -1, MAP_NONE, SOURCE_UNRESOLVED
                addr = end
                break
            following = _look_up(state, task, addr, end, flags)
            if following.kind != found.kind or following.source != found.source or following.key != found.key:
                break
            if found.key >= 0 and following.index != found.index + <int64_t>((addr - begin) >> 12):
                break
            addr = min(following.end, end)
        unresolved |= found.source == SOURCE_UNRESOLVED
        _new_pin(state, task, record, begin, <int64_t>((addr - begin) >> 12), &found)
    state.counts[COUNT_PINS_UNRESOLVED] += unresolved
    return 0


cdef int _new_pin(State state, Task *task, Record *record, uint64_t addr, int64_t npages, Found *found) except -1 nogil:
    cdef int32_t number = state.add_pin()
    cdef Pin *pin = &state.pins[number]
    cdef Row *row = state.emit(record, OP_PIN)
    cdef Members *members
    _describe(state, task, row, found)
    row.npages, row.value, row.pin = npages, npages, number
    state.patch(state.latest(), PATCH_ADDR, <int64_t>addr)
    pin.ts_pin, pin.ts_unpin = record.ts, -1
    pin.index, pin.npages, pin.addr = found.index, npages, addr
    pin.mr, pin.tid, pin.file = task.registering, task.tid, found.key
    pin.write = (row.flags & told(FLAG_WRITE, True)) == told(FLAG_WRITE, True)
    pin.longterm = (row.flags & told(FLAG_LONGTERM, True)) == told(FLAG_LONGTERM, True)
    pin.source, pin.confidence = row.source, row.confidence
    if task.registering >= 0:
        members = &state.members[task.registering]
        members.pins = <int32_t *>room(members.pins, members.used, &members.capacity, sizeof(int32_t))
        members.pins[members.used] = number
        members.used += 1
        _widen(&state.regions[task.registering], found, npages)
    return 0


cdef int _widen(Region *region, Found *found, int64_t npages) noexcept nogil:
    """A region is described by the range of the first file that it pins, and by all its file pages."""
    if found.key < 0:
        return 0
    if region.file < 0:
        region.file, region.index = found.key, found.index
    region.npages = min(region.npages + npages, <int64_t>1 << 52)
    return 0


cdef int _remember_call(State state, Task *task, int64_t npages, int32_t first) except -1 nogil:
    """Queue a call outside of any region, for the unpin that will name no more than a number of pages."""
    cdef Loose *call
    cdef int32_t number = <int32_t>state.loose_used
    state.loose = <Loose *>room(state.loose, state.loose_used, &state.loose_capacity, sizeof(Loose))
    state.loose_used += 1
    call = &state.loose[number]
    call.npages = call.left = npages
    call.first_pin, call.end_pin, call.next = first, <int32_t>state.pins_used, -1
    if task.last_call >= 0 and task.first_call >= 0:
        state.loose[task.last_call].next = number
    else:
        task.first_call = number
    task.last_call = number
    return 0


cdef int unpin(State state, Task *task, Record *record) except -1 nogil:
    """A probe that names pages by kernel pointers only: outside of regions it ends the task's oldest pin call of as many pages, or parts
    of its oldest call."""
    cdef int32_t number = task.first_call, chosen = -1, seen = 0
    cdef int64_t left = record.npages, taken
    cdef Loose *call
    cdef Row *row
    if task.registering >= 0:
        return 0
    while number >= 0 and seen < UNPIN_WINDOW:
        if state.loose[number].left == record.npages:
            chosen = number
            break
        number = state.loose[number].next
        seen += 1
    if chosen >= 0:
        state.loose[chosen].left = 0
        _end_call(state, record, &state.loose[chosen])
        left = 0
    while left > 0 and task.first_call >= 0:
        call = &state.loose[task.first_call]
        taken = min(left, call.left)
        call.left -= taken
        left -= taken
        if taken and not call.left:
            _end_call(state, record, call)
        if not call.left:
            task.first_call = call.next
    while task.first_call >= 0 and not state.loose[task.first_call].left:
        task.first_call = state.loose[task.first_call].next
    if left > 0:
        state.counts[COUNT_UNPINS_UNMATCHED] += 1
        row = state.emit(record, OP_UNPIN)
        row.npages, row.source = left, SOURCE_UNRESOLVED
        if record.a >= 0:
            row.flags |= told(FLAG_DIRTY, record.a != 0)
    return 0


cdef int _end_call(State state, Record *record, Loose *call) except -1 nogil:
    """End the call's pins. Others may have been made while it ran."""
    cdef int32_t number
    for number in range(call.first_pin, call.end_pin):
        if state.pins[number].tid == record.tid and state.pins[number].ts_unpin < 0:
            _end_pin(state, record, number, record.a != 0 if record.a >= 0 else -1)
    return 0


cdef int _end_pin(State state, Record *record, int32_t number, int dirty) except -1 nogil:
    return end_part(state, record, number, 0, dirty)


cdef int end_part(State state, Record *record, int32_t number, int64_t skip, int dirty) except -1 nogil:
    """The pin's pages from `skip` on are let go."""
    cdef Row *row = state.emit(record, OP_UNPIN)
    cdef Pin *pin = &state.pins[number]
    pin.ts_unpin, pin.row = record.ts, state.latest()
    row.pin, row.mr, row.file, row.npages = number, pin.mr, pin.file, pin.npages - skip
    row.index = pin.index + skip if pin.file >= 0 else -1
    row.source, row.confidence = pin.source, pin.confidence
    row.flags = told(FLAG_WRITE, pin.write) | told(FLAG_LONGTERM, pin.longterm)
    if dirty >= 0:
        row.flags |= told(FLAG_DIRTY, dirty)
    return 0


cdef int register_call(State state, Task *task, Record *record, bint odp) except -1 nogil:
    cdef int32_t number
    cdef Region *region
    cdef Row *row
    if task.registering >= 0:
        state.counts[COUNT_BEGINS_UNPAIRED] += 1
    number = state.add_region()
    region = &state.regions[number]
    region.addr, region.bytes, region.device = <uint64_t>record.a, max(record.b, 0), <uint64_t>record.d
    region.ts_reg, region.ts_dereg = record.ts, -1
    region.tid, region.file, region.index = task.tid, -1, -1
    region.write = (record.c & ACCESS_WRITABLE) != 0
    region.odp = odp or (record.c & ACCESS_ON_DEMAND) != 0
    row = state.emit(record, OP_MR_REG)
    row.mr, row.value = number, record.b
    row.flags = told(FLAG_WRITE, region.write) | told(FLAG_ODP, region.odp)
    task.registering, task.register_row = number, state.latest()
    state.patch(task.register_row, PATCH_ADDR, record.a)
    if record.d != -1:
        state.patch(task.register_row, PATCH_RDMA_DEVICE, record.d)
    return 0


cdef int register_return(State state, Task *task, Record *record) except -1 nogil:
    cdef int32_t number = task.registering
    cdef int64_t result = record.a if -MAX_ERRNO <= record.a < 0 else 0
    cdef Region *region
    cdef uint64_t begin
    cdef size_t i
    if number < 0:
        state.counts[COUNT_ENDS_UNPAIRED] += 1
        return 0
    region = &state.regions[number]
    begin = region.addr & ~<uint64_t>4095
    if result == 0:
        if not state.members[number].used and not region.odp and region.bytes > 0:
            # No pin probe ran: what the call pinned is known from its arguments.
            state.counts[COUNT_PIN_CALLS] += 1
            _pin_pages(state, task, record, begin, _pages(region), FOLL_WRITE)
            region = &state.regions[number]
        region.umem = <uint64_t>record.a
        put(&state.region_of, region.umem, 0, number)
        enter(state, number)
    else:
        # What a call that failed half way had pinned is gone when it returns.
        for i in range(state.members[number].used):
            _end_pin(state, record, state.members[number].pins[i], False)
    region.result = result
    _finish_registration(state, task, record, region)
    task.registering = -1
    return 0


cdef int64_t _pages(Region *region) noexcept nogil:
    """Pages that the region touches: its first need not begin at its address."""
    cdef int64_t head = 4096 - <int64_t>(region.addr & 4095)
    return 1 + pages_of(region.bytes - head) if region.bytes > head else 1


cdef int _finish_registration(State state, Task *task, Record *record, Region *region) except -1 nogil:
    cdef int32_t file = region.file
    cdef int64_t index = region.index, npages = region.npages
    cdef Found found
    if file < 0 and (region.result or region.odp) and region.bytes > 0:
        # Nothing was pinned: the range that it would have been.
        found = _look_up(state, task, region.addr & ~<uint64_t>4095, end_of(region.addr & ~<uint64_t>4095, _pages(region)), FOLL_WRITE)
        file, index, npages = found.key, found.index, _pages(region)
        if region.odp:
            region.file, region.index = file, index
    state.patch(task.register_row, PATCH_DUR, lasted(region.ts_reg, record.ts))
    state.patch(task.register_row, PATCH_RESULT, region.result)
    if file >= 0:
        state.patch(task.register_row, PATCH_FILE, file)
        state.patch(task.register_row, PATCH_INDEX, index)
        state.patch(task.register_row, PATCH_NPAGES, npages)
    return 0
