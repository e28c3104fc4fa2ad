# Packed rows, read one after the other. Their form is told in packing.pyx.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from replay._ext.memory cimport bytes_between, wrap_add, wrap_shift
from replay._ext.rows cimport Row

cdef extern from *:
    """
    #include <stdint.h>
    #define lowest_bit(word) __builtin_ctz(word)
    /* Numbers in a register of their own. GCC would read neighbours as one vector, or write half a number and read the whole, which both
       wait until what was written has left for memory. */
    static inline uint64_t alone(const uint64_t *at) { uint64_t value = *at; __asm__("" : "+r"(value)); return value; }
    static inline uint32_t two_bytes(const uint8_t *at) { uint32_t value = at[0] | at[1] << 8; __asm__("" : "+r"(value)); return value; }
    """
    int lowest_bit(uint32_t) noexcept nogil
    uint64_t alone(const uint64_t *) noexcept nogil
    uint32_t two_bytes(const uint8_t *) noexcept nogil

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
    cdef uint64_t seq = source.expected.seq, ts = source.expected.ts
    cdef uint32_t differing
    cdef int field
    if _left(source) <= 0:
        with gil:
            raise ValueError("packed rows that end too early")
    row.op = source.at[0]
    differing = two_bytes(source.at + 1) & ((1 << N_FIELDS) - 1)
    source.at += 3
    last = source.expected.fields[row.op]
    if differing & 1:
        seq = wrap_add(seq, _number(source))
    if differing & 2:
        ts = wrap_add(ts, _number(source))
    differing &= ~<uint32_t>3
    while differing:
        field = lowest_bit(differing)
        differing &= differing - 1
        last[field] = wrap_add(last[field], _number(source))
    if bytes_between(source.at, source.end) < 0:
        with gil:
            raise ValueError("packed rows that end too early")
    source.expected.seq, source.expected.ts = seq, ts
    row.seq, row.ts = <int64_t>seq, <int64_t>ts
    row.index, row.npages, row.value = <int64_t>alone(&last[2]), <int64_t>alone(&last[3]), <int64_t>alone(&last[4])
    row.tid, row.file = <int32_t>alone(&last[5]), <int32_t>alone(&last[6])
    row.mr, row.pin = <int32_t>alone(&last[7]), <int32_t>alone(&last[8])
    row.cpu, row.flags = <int16_t>alone(&last[9]), <uint16_t>alone(&last[10])
    row.source, row.confidence, row.touches = <uint8_t>(last[11] & 255), <uint8_t>(last[11] >> 8), <uint8_t>last[12]
    return 0
