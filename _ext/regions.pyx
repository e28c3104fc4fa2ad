"""Memory regions, from registration to release."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from replay._ext.addresses cimport Found, end_of, pages_of
from replay._ext.hashing cimport put
from replay._ext.ops cimport OP_MR_REG
from replay._ext.pincalls cimport end_pin, look_up, pin_pages, settle
from replay._ext.remote cimport enter
from replay._ext.rows cimport (
    FLAG_ODP,
    FLAG_WRITE,
    PATCH_ADDR,
    PATCH_DUR,
    PATCH_FILE,
    PATCH_INDEX,
    PATCH_NPAGES,
    PATCH_RDMA_DEVICE,
    PATCH_RESULT,
    Region,
    Row,
    lasted,
    told,
)
from replay._ext.state cimport (
    COUNT_BEGINS_UNPAIRED,
    COUNT_ENDS_UNPAIRED,
    COUNT_PIN_CALLS,
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


cdef int register_call(State state, Task *task, Record *record, bint odp) except -1 nogil:
    cdef int32_t number
    cdef Region *region
    cdef Row *row
    if task.registering >= 0:
        state.counts[COUNT_BEGINS_UNPAIRED] += 1
    settle(state, task, 0)
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
    settle(state, task, task.pin_npages)
    region = &state.regions[number]
    begin = region.addr & ~<uint64_t>4095
    if result == 0:
        if not state.members[number].used and not region.odp and region.bytes > 0:
            # No pin probe ran: what the call pinned is known from its arguments.
            state.counts[COUNT_PIN_CALLS] += 1
            pin_pages(state, task, record, begin, _pages(region), FOLL_WRITE)
            region = &state.regions[number]
        region.umem = <uint64_t>record.a
        put(&state.region_of, region.umem, 0, number)
        enter(state, number)
    else:
        # What a call that failed half way had pinned is gone when it returns.
        for i in range(state.members[number].used):
            end_pin(state, record, state.members[number].pins[i], False)
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
        found = look_up(state, task, region.addr & ~<uint64_t>4095, end_of(region.addr & ~<uint64_t>4095, _pages(region)), FOLL_WRITE)
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
