"""Rows of the in-order pass in few bytes, while they wait for the end of the trace.

A row is told by its operation, a u16 that says which fields differ from what was expected, and each difference as a signed
number of seven bits a byte. Expected are the time and seq of the row before, and the other fields of the last row of the same
operation: about nine bytes a row instead of 64.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from replay._ext.memory cimport bytes_between, wrap_add, wrap_shift, wrap_subtract
from replay._ext.rows cimport Row
from replay._ext.state cimport State

cdef enum:
    N_FIELDS = 13
    SEQ = 0
    TS = 1
    MOST_BYTES = 160   # of a packed row: 3, and 10 for each field


cdef struct Expected:
    uint64_t fields[256][N_FIELDS]


cdef inline uint8_t *_put(uint8_t *at, uint64_t difference) noexcept nogil:
    """A signed number, its sign in the lowest bit, seven bits a byte."""
    cdef uint64_t left = wrap_shift(difference, 1) ^ (~<uint64_t>0 if difference >> 63 else 0)
    while left >= 128:
        at[0] = <uint8_t>(left & 127 | 128)
        at += 1
        left >>= 7
    at[0] = <uint8_t>left
    return at + 1


cdef inline void _fields(const Row *row, uint64_t *fields) noexcept nogil:
    """The fields of a row but its operation, as numbers that change little from row to row."""
    fields[0], fields[1] = <uint64_t>row.seq, <uint64_t>row.ts
    fields[2], fields[3], fields[4] = <uint64_t>row.index, <uint64_t>row.npages, <uint64_t>row.value
    fields[5], fields[6] = <uint64_t><int64_t>row.tid, <uint64_t><int64_t>row.file
    fields[7], fields[8] = <uint64_t><int64_t>row.mr, <uint64_t><int64_t>row.pin
    fields[9], fields[10] = <uint64_t><int64_t>row.cpu, row.flags
    fields[11], fields[12] = row.source | <uint64_t>row.confidence << 8, row.touches


def pack(State state not None):
    """The state's pending rows."""
    cdef Expected expected
    cdef uint64_t fields[N_FIELDS]
    cdef uint64_t *last
    cdef uint8_t *packed = NULL
    cdef uint8_t *moved
    cdef uint8_t *at
    cdef size_t i, used = 0, capacity = 0
    cdef uint32_t differing
    cdef int field
    memset(&expected, 0, sizeof(Expected))
    try:
        with nogil:
            for i in range(state.rows_used):
                if capacity - used < MOST_BYTES:
                    capacity = 2 * capacity + (state.rows_used - i) * 12 + MOST_BYTES
                    moved = <uint8_t *>realloc(packed, capacity)
                    if moved == NULL:
                        with gil:
                            raise MemoryError
                    packed = moved
                _fields(&state.rows[i], fields)
                last = expected.fields[state.rows[i].op]
                if i:
                    last[SEQ], last[TS] = <uint64_t>state.rows[i - 1].seq, <uint64_t>state.rows[i - 1].ts
                packed[used] = state.rows[i].op
                at = &packed[used + 3]
                differing = 0
                for field in range(N_FIELDS):
                    if fields[field] != last[field]:
                        differing |= <uint32_t>1 << field
                        at = _put(at, wrap_subtract(fields[field], last[field]))
                        last[field] = fields[field]
                packed[used + 1], packed[used + 2] = differing & 255, differing >> 8
                used = <size_t>bytes_between(packed, at)
        return <bytes>packed[:used] if used else b""
    finally:
        free(packed)


cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end
    bint short               # something was asked for behind the end


cdef inline uint32_t _byte(Cursor *cursor) noexcept nogil:
    cdef uint32_t byte
    if cursor.at == cursor.end:
        cursor.short = True
        return 0
    byte = cursor.at[0]
    cursor.at += 1
    return byte


cdef inline uint64_t _number(Cursor *cursor) noexcept nogil:
    cdef uint32_t byte = _byte(cursor)
    cdef uint64_t left = byte & 127
    cdef int shift = 7
    while byte & 128 and shift < 64:
        byte = _byte(cursor)
        left |= wrap_shift(byte & 127, shift)
        shift += 7
    return (left >> 1) ^ (~<uint64_t>0 if left & 1 else 0)


def unpack(
    const uint8_t[::1] packed not None,
    int64_t[::1] seq not None,
    int64_t[::1] ts not None,
    int64_t[::1] index not None,
    int64_t[::1] npages not None,
    int64_t[::1] value not None,
    int32_t[::1] tid not None,
    int32_t[::1] file not None,
    int32_t[::1] mr not None,
    int32_t[::1] pin not None,
    int32_t[::1] cpu not None,
    uint16_t[::1] flags not None,
    uint8_t[::1] op not None,
    uint8_t[::1] source not None,
    uint8_t[::1] confidence not None,
    uint8_t[::1] touches not None,
):
    """Fill columns with the rows that were packed, as many as the columns are long."""
    cdef Expected expected
    cdef Cursor cursor
    cdef uint64_t *last
    cdef uint64_t before_seq = 0, before_ts = 0
    cdef uint32_t differing
    cdef Py_ssize_t i
    cdef int field
    memset(&expected, 0, sizeof(Expected))
    cursor.at = cursor.end = NULL
    cursor.short = False
    if packed.shape[0]:
        cursor.at = &packed[0]
        cursor.end = cursor.at + packed.shape[0]
    with nogil:
        for i in range(seq.shape[0]):
            op[i] = <uint8_t>_byte(&cursor)
            differing = _byte(&cursor)
            differing |= _byte(&cursor) << 8
            last = expected.fields[op[i]]
            last[SEQ], last[TS] = before_seq, before_ts
            field = 0
            while differing and field < N_FIELDS:
                if differing & 1:
                    last[field] = wrap_add(last[field], _number(&cursor))
                differing >>= 1
                field += 1
            if cursor.short:
                with gil:
                    raise ValueError("packed rows that end too early")
            before_seq, before_ts = last[SEQ], last[TS]
            seq[i], ts[i] = <int64_t>last[0], <int64_t>last[1]
            index[i], npages[i], value[i] = <int64_t>last[2], <int64_t>last[3], <int64_t>last[4]
            tid[i], file[i], mr[i], pin[i] = <int32_t>last[5], <int32_t>last[6], <int32_t>last[7], <int32_t>last[8]
            cpu[i], flags[i] = <int16_t>last[9], <uint16_t>last[10]
            source[i], confidence[i], touches[i] = <uint8_t>(last[11] & 255), <uint8_t>(last[11] >> 8), <uint8_t>last[12]
