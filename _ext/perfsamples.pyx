"""Takes samples of perf.data apart, in the order in which the kernel puts their fields (kernel/events/core.c: perf_output_sample).

Which fields a sample has is told by its event's attributes. Branch stacks, registers and stack dumps are stepped over.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

import numpy as np

from replay._ext.memory cimport bytes_between, word_32, word_64

cdef enum:
    # enum perf_event_sample_format
    SAMPLE_READ = 0x10
    SAMPLE_CALLCHAIN = 0x20
    SAMPLE_RAW = 0x400
    SAMPLE_BRANCH_STACK = 0x800
    SAMPLE_REGS_USER = 0x1000
    SAMPLE_STACK_USER = 0x2000
    SAMPLE_WEIGHT = 0x4000
    SAMPLE_DATA_SRC = 0x8000
    SAMPLE_TRANSACTION = 0x20000
    SAMPLE_REGS_INTR = 0x40000
    SAMPLE_PHYS_ADDR = 0x80000
    SAMPLE_CGROUP = 0x200000
    SAMPLE_DATA_PAGE_SIZE = 0x400000
    SAMPLE_CODE_PAGE_SIZE = 0x800000
    SAMPLE_WEIGHT_STRUCT = 0x1000000
    BRANCH_HW_INDEX = 0x20000
    BRANCH_COUNTERS = 0x80000
    # enum perf_event_read_format
    FORMAT_ENABLED = 1
    FORMAT_RUNNING = 2
    FORMAT_ID = 4
    FORMAT_GROUP = 8
    FORMAT_LOST = 16


cdef inline const uint8_t *after_read(const Layout *layout, const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Behind struct read_format; NULL if it does not fit."""
    cdef uint64_t format = layout.read_format, words, each = 1
    words = <uint64_t>((format & FORMAT_ENABLED) != 0) + <uint64_t>((format & FORMAT_RUNNING) != 0)
    each += <uint64_t>((format & FORMAT_ID) != 0) + <uint64_t>((format & FORMAT_LOST) != 0)
    if format & FORMAT_GROUP:
        if bytes_between(at, end) < 8 or word_64(at, layout.big_endian) > <uint64_t>(bytes_between(at, end)) >> 3:
            return NULL
        words += 1 + word_64(at, layout.big_endian) * each
    else:
        words += each
    return at + 8 * words if words <= <uint64_t>(bytes_between(at, end)) >> 3 else NULL


cdef inline const uint8_t *after_items(const uint8_t *at, const uint8_t *end, uint64_t count, uint64_t item_bytes) noexcept nogil:
    if at == NULL or count > <uint64_t>(bytes_between(at, end)) // item_bytes:
        return NULL
    return at + count * item_bytes


cdef inline const uint8_t *after_branches(const Layout *layout, const uint8_t *at, const uint8_t *end) noexcept nogil:
    cdef uint64_t count
    if bytes_between(at, end) < 8:
        return NULL
    count = word_64(at, layout.big_endian)
    at = after_items(at + 8, end, 1 if layout.branch_type & BRANCH_HW_INDEX else 0, 8)
    return after_items(at, end, count, 32 if layout.branch_type & BRANCH_COUNTERS else 24)


cdef inline const uint8_t *after_registers(const Layout *layout, uint32_t registers, const uint8_t *at, const uint8_t *end) noexcept nogil:
    if bytes_between(at, end) < 8:
        return NULL
    return after_items(at + 8, end, registers if word_64(at, layout.big_endian) else 0, 8)


cdef inline const uint8_t *after_stack(const Layout *layout, const uint8_t *at, const uint8_t *end) noexcept nogil:
    cdef uint64_t size
    if bytes_between(at, end) < 8:
        return NULL
    size = word_64(at, layout.big_endian)
    at = after_items(at + 8, end, size, 1)
    return after_items(at, end, 1 if size else 0, 8)


cdef inline uint32_t words_of(uint64_t sample_type, uint64_t bits) noexcept nogil:
    cdef uint32_t count = 0
    bits &= sample_type
    while bits:
        count += 1
        bits &= bits - 1
    return count


cdef bint locate(const Layout *layout, const uint8_t *record, uint32_t size, Piece *pieces) noexcept nogil:
    """Find the parts of a sample; False if it is not as its event says."""
    cdef const uint8_t *at = record + layout.head_bytes
    cdef const uint8_t *end = record + size
    cdef uint64_t kind = layout.sample_type
    cdef uint32_t words
    if size < layout.head_bytes:
        return False
    pieces[HEAD].data, pieces[HEAD].bytes = record, layout.head_bytes
    if kind & SAMPLE_READ:
        at = after_read(layout, at, end)
        if at == NULL:
            return False
    if kind & SAMPLE_CALLCHAIN:
        if bytes_between(at, end) < 8 or word_64(at, layout.big_endian) > <uint64_t>(bytes_between(at, end) - 8) >> 3:
            return False
        pieces[CHAIN].data, pieces[CHAIN].bytes = at + 8, <uint32_t>(8 * word_64(at, layout.big_endian))
        at = pieces[CHAIN].data + pieces[CHAIN].bytes
    if kind & SAMPLE_RAW:
        if bytes_between(at, end) < 4 or word_32(at, layout.big_endian) > bytes_between(at, end) - 4:
            return False
        pieces[RAW].data, pieces[RAW].bytes = at + 4, word_32(at, layout.big_endian)
        at = pieces[RAW].data + pieces[RAW].bytes
    if kind & SAMPLE_BRANCH_STACK:
        at = after_branches(layout, at, end)
    if at != NULL and kind & SAMPLE_REGS_USER:
        at = after_registers(layout, layout.user_registers, at, end)
    if at != NULL and kind & SAMPLE_STACK_USER:
        at = after_stack(layout, at, end)
    words = words_of(kind, SAMPLE_WEIGHT | SAMPLE_DATA_SRC | SAMPLE_TRANSACTION)
    if kind & SAMPLE_WEIGHT_STRUCT and not kind & SAMPLE_WEIGHT:
        words += 1
    if at == NULL or bytes_between(at, end) < 8 * words:
        return False
    pieces[MIDDLE].data, pieces[MIDDLE].bytes = at, 8 * words
    at += 8 * words
    if kind & SAMPLE_REGS_INTR:
        at = after_registers(layout, layout.interrupt_registers, at, end)
    words = words_of(kind, SAMPLE_PHYS_ADDR | SAMPLE_CGROUP | SAMPLE_DATA_PAGE_SIZE | SAMPLE_CODE_PAGE_SIZE)
    if at == NULL or bytes_between(at, end) < 8 * words:
        return False
    pieces[TAIL].data, pieces[TAIL].bytes = at, 8 * words
    return True


cdef first_of(list places):
    """The first layout of each place of an id, of which there are a handful, however many events; a negative one is none."""
    return np.array(sorted({place: number for number, place in reversed(list(enumerate(places))) if place[0] >= 0}.values()), np.int32)
