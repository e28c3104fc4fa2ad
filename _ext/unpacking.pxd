# Packed rows, read one after the other. Their form is told in packing.pyx.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from replay._ext.memory cimport wrap_add, wrap_shift
from replay._ext.rows cimport Row

cdef extern from *:
    """
    #define lowest_bit(word) __builtin_ctz(word)
    """
    int lowest_bit(uint32_t) noexcept nogil

cdef enum:
    N_FIELDS = 13


cdef struct Unpacking:
    const uint8_t *at
    const uint8_t *end
    bint short                       # something was asked for behind the end
    uint64_t seq                     # of the row before
    uint64_t ts
    uint64_t fields[256][N_FIELDS]   # of the last row of each operation


cdef inline void start(Unpacking *source, const uint8_t[::1] packed) noexcept nogil:
    memset(source, 0, sizeof(Unpacking))
    if packed.shape[0]:
        source.at = &packed[0]
        source.end = source.at + packed.shape[0]


cdef inline uint32_t _byte(Unpacking *source) noexcept nogil:
    cdef uint32_t byte
    if source.at == source.end:
        source.short = True
        return 0
    byte = source.at[0]
    source.at += 1
    return byte


cdef inline uint64_t _number(Unpacking *source) noexcept nogil:
    cdef uint32_t byte = _byte(source)
    cdef uint64_t left = byte & 127
    cdef int shift = 7
    while byte & 128 and shift < 64:
        byte = _byte(source)
        left |= wrap_shift(byte & 127, shift)
        shift += 7
    return (left >> 1) ^ (~<uint64_t>0 if left & 1 else 0)


cdef inline int next_row(Unpacking *source, Row *row) except -1 nogil:
    """Read a row."""
    cdef uint64_t *last
    cdef uint32_t differing
    cdef int field
    row.op = <uint8_t>_byte(source)
    differing = _byte(source)
    differing |= _byte(source) << 8
    differing &= (1 << N_FIELDS) - 1
    last = source.fields[row.op]
    last[0], last[1] = source.seq, source.ts
    while differing:
        field = lowest_bit(differing)
        differing &= differing - 1
        last[field] = wrap_add(last[field], _number(source))
    if source.short:
        with gil:
            raise ValueError("packed rows that end too early")
    source.seq, source.ts = last[0], last[1]
    row.seq, row.ts = <int64_t>last[0], <int64_t>last[1]
    row.index, row.npages, row.value = <int64_t>last[2], <int64_t>last[3], <int64_t>last[4]
    row.tid, row.file, row.mr, row.pin = <int32_t>last[5], <int32_t>last[6], <int32_t>last[7], <int32_t>last[8]
    row.cpu, row.flags = <int16_t>last[9], <uint16_t>last[10]
    row.source, row.confidence, row.touches = <uint8_t>(last[11] & 255), <uint8_t>(last[11] >> 8), <uint8_t>last[12]
    return 0
