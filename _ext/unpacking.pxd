# Packed rows, read one after the other. Their form is told in packing.pyx.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from replay._ext.memory cimport bytes_between, wrap_add, wrap_shift
from replay._ext.rows cimport Row

cdef extern from *:
    """
    #define lowest_bit(word) __builtin_ctz(word)
    """
    int lowest_bit(uint32_t) noexcept nogil

cdef enum:
    N_FIELDS = 13
    MOST_BYTES = 160   # of a packed row: 3, and 10 for each field
    TAIL_BYTES = 320   # twice as many


cdef struct Expected:
    uint64_t fields[256][N_FIELDS]   # of the last row of each operation
    uint64_t seq                     # of the last row
    uint64_t ts


cdef struct Unpacking:
    const uint8_t *at
    const uint8_t *end
    Expected expected
    bint at_tail
    uint8_t tail[TAIL_BYTES]   # the last rows, with zeros behind them


cdef inline void start(Unpacking *source, const uint8_t[::1] packed) noexcept nogil:
    memset(source, 0, sizeof(Unpacking))
    source.at = source.end = source.tail
    source.at_tail = True
    if packed.shape[0]:
        source.at = &packed[0]
        source.end = source.at + packed.shape[0]
        source.at_tail = False


cdef inline int64_t _left(Unpacking *source) noexcept nogil:
    """Bytes that are left. There are zeros for one more row behind them: a row needs to be checked as a whole only."""
    cdef int64_t left = bytes_between(source.at, source.end)
    if left < MOST_BYTES and not source.at_tail:
        memcpy(source.tail, source.at, <size_t>left)
        source.at, source.end, source.at_tail = source.tail, source.tail + left, True
    return left


cdef inline uint64_t _number(Unpacking *source) noexcept nogil:
    cdef uint32_t byte = source.at[0]
    cdef uint64_t left = byte & 127
    cdef int shift = 7
    source.at += 1
    while byte & 128 and shift < 64:
        byte = source.at[0]
        source.at += 1
        left |= wrap_shift(byte & 127, shift)
        shift += 7
    return (left >> 1) ^ (~<uint64_t>0 if left & 1 else 0)


cdef inline int next_row(Unpacking *source, Row *row) except -1 nogil:
    """Read a row."""
    cdef uint64_t *last
    cdef uint32_t differing
    cdef int field
    if _left(source) <= 0:
        with gil:
            raise ValueError("packed rows that end too early")
    row.op = source.at[0]
    differing = (source.at[1] | <uint32_t>source.at[2] << 8) & ((1 << N_FIELDS) - 1)
    source.at += 3
    last = source.expected.fields[row.op]
    last[0], last[1] = source.expected.seq, source.expected.ts
    while differing:
        field = lowest_bit(differing)
        differing &= differing - 1
        last[field] = wrap_add(last[field], _number(source))
    if bytes_between(source.at, source.end) < 0:
        with gil:
            raise ValueError("packed rows that end too early")
    source.expected.seq, source.expected.ts = last[0], last[1]
    row.seq, row.ts = <int64_t>last[0], <int64_t>last[1]
    row.index, row.npages, row.value = <int64_t>last[2], <int64_t>last[3], <int64_t>last[4]
    row.tid, row.file, row.mr, row.pin = <int32_t>last[5], <int32_t>last[6], <int32_t>last[7], <int32_t>last[8]
    row.cpu, row.flags = <int16_t>last[9], <uint16_t>last[10]
    row.source, row.confidence, row.touches = <uint8_t>(last[11] & 255), <uint8_t>(last[11] >> 8), <uint8_t>last[12]
    return 0
