"""Fills columns from collected rows: the wall between the bytes of records and Arrow memory.

Scalar columns are gathered for a block of rows at a time, so that a record's bytes are still in the cache when its next
field is read. Texts become numbers of words; where there are too many of these, and for lists, values are measured first,
then copied.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

from replay._ext.memory cimport bytes_between, prefetch, swap_items, word_32
from replay._ext.rowgroups cimport Group, Row, RowGroups
from replay._ext.vocabulary cimport FULL, Vocabulary

FIELD = 0
SEQ = 1
TS = 2
CPU = 3
BUFFER = 4
"""What a scalar column holds: a field of the payload, or a fact of the row."""

INLINE = 0
DATA_LOC = 1
REL_LOC = 2
"""Where the bytes of a variable-length value are: in place (0 bytes: up to the end of the record), or at an offset
that the field gives, from the start of the record or from the field's own end (kernel include/trace/stages)."""

cdef enum:
    BLOCK_ROWS = 512
    COLUMN_ALIGNMENT = 64
    AHEAD = 16         # so many rows before its turn, memory is asked for a record
    NO_WORD = -2       # the number of a text that was not yet looked for

cdef enum:
    FIELD_KIND, SEQ_KIND, TS_KIND, CPU_KIND, BUFFER_KIND


cdef struct Job:
    int kind
    uint32_t offset
    uint32_t width
    const int32_t *number_of   # of each stream, where that is what the column holds
    uint8_t *out


cdef struct Span:
    int place
    uint32_t offset
    uint32_t width
    uint32_t item_bytes
    bint text
    bint big_endian


cdef inline void gather(const Job *job, const Row *rows, int64_t begin, int64_t end) noexcept nogil:
    cdef int64_t i
    cdef uint32_t offset = job.offset
    cdef uint8_t *out_1 = job.out
    cdef uint16_t *out_2 = <uint16_t *> job.out
    cdef uint32_t *out_4 = <uint32_t *> job.out
    cdef uint64_t *out_8 = <uint64_t *> job.out
    if job.kind == SEQ_KIND:
        for i in range(begin, end):
            out_8[i] = <uint64_t> rows[i].seq
    elif job.kind == TS_KIND:
        for i in range(begin, end):
            out_8[i] = rows[i].ts
    elif job.kind != FIELD_KIND:
        for i in range(begin, end):
            out_4[i] = <uint32_t> job.number_of[rows[i].stream]
    elif job.width == 8:
        for i in range(begin, end):
            memcpy(&out_8[i], rows[i].data + offset, 8)
    elif job.width == 4:
        for i in range(begin, end):
            memcpy(&out_4[i], rows[i].data + offset, 4)
    elif job.width == 2:
        for i in range(begin, end):
            memcpy(&out_2[i], rows[i].data + offset, 2)
    else:
        for i in range(begin, end):
            out_1[i] = rows[i].data[offset]


cdef inline void fetch(const Row *rows, int64_t begin, int64_t end) noexcept nogil:
    """Ask the memory for records: those of one type lie scattered among the others."""
    cdef int64_t i
    for i in range(begin, end):
        prefetch(rows[i].data)


def scalars(
    RowGroups store not None, int group_number, jobs not None, const int32_t[::1] cpus not None, const int32_t[::1] buffers not None,
    uint8_t[::1] out not None,
):
    """Fill columns of 1, 2, 4 or 8 byte values, each job (kind, offset, width) one: they follow each other in `out`, and take
    `column_bytes` each. `cpus` and `buffers` tell what a stream's number stands for."""
    cdef Group *group = store.group_at(group_number)
    cdef int count = len(jobs), i
    cdef int64_t begin = 0, end, following, used = 0
    cdef int32_t streams = <int32_t> min(cpus.shape[0], buffers.shape[0])
    cdef Job *plan = <Job *> malloc((count + 1) * sizeof(Job))
    if plan == NULL:
        raise MemoryError
    try:
        for i in range(count):
            plan[i].kind, plan[i].offset, plan[i].width = jobs[i]
            check_job(&plan[i], group, out.shape[0] - used)
            plan[i].number_of = NULL
            if streams > 0:
                plan[i].number_of = &cpus[0] if plan[i].kind == CPU_KIND else &buffers[0]
            plan[i].out = &out[used] if group.count > 0 else NULL
            used += column_bytes(group.count, plan[i].width)
        with nogil:
            while begin < group.count:
                end = min(begin + BLOCK_ROWS, group.count)
                following = min(end + BLOCK_ROWS, group.count)
                fetch(group.rows, end, following)
                check_streams(group.rows, begin, end, streams)
                for i in range(count):
                    gather(&plan[i], group.rows, begin, end)
                    if store.big_endian and plan[i].kind == FIELD_KIND:
                        swap_items(plan[i].out + begin * plan[i].width, end - begin, plan[i].width)
                begin = end
    finally:
        free(plan)


cpdef int64_t column_bytes(int64_t rows, uint32_t width) noexcept nogil:
    """The room that `scalars` needs for a column, which begins where Arrow likes it to."""
    return (rows * width + COLUMN_ALIGNMENT - 1) // COLUMN_ALIGNMENT * COLUMN_ALIGNMENT


cdef int check_job(const Job *job, const Group *group, int64_t room) except -1:
    if job.width not in (1, 2, 4, 8) or job.kind < 0 or job.kind > BUFFER_KIND:
        raise ValueError("not a scalar column")
    if job.kind != FIELD_KIND and job.width != (8 if job.kind < CPU_KIND else 4):
        raise ValueError("a column of another width")
    if job.kind == FIELD_KIND and (job.offset > group.need_bytes or group.need_bytes - job.offset < job.width):
        raise ValueError("a field outside of the record")
    if room < column_bytes(group.count, job.width):
        raise ValueError("too small a buffer")
    return 0


cdef int check_streams(const Row *rows, int64_t begin, int64_t end, int32_t streams) except -1 nogil:
    cdef int64_t i
    cdef uint32_t highest = 0
    for i in range(begin, end):
        highest = max(highest, <uint32_t> rows[i].stream)
    if highest >= <uint32_t> streams:
        with gil:
            raise ValueError("a stream without a number")
    return 0


cdef inline bint locate(const Span *span, const Row *row, const uint8_t **start, uint32_t *size) noexcept nogil:
    """Find the room of a value inside of its record; False if it points outside."""
    cdef uint32_t where = span.offset, left, wanted, loc
    if span.place == 0:
        if where > row.bytes:
            where = row.bytes
        left = row.bytes - where
        wanted = left if span.width == 0 or span.width > left else span.width
    else:
        if where > row.bytes or row.bytes - where < 4:
            return False
        loc = word_32(row.data + where, span.big_endian)
        where = (loc & 0xFFFF) + (where + 4 if span.place == 2 else 0)
        wanted = loc >> 16
        if where > row.bytes or row.bytes - where < wanted:
            return False
    start[0] = row.data + where
    size[0] = wanted
    return True


cdef inline uint32_t held(const Span *span, const uint8_t *start, uint32_t room) noexcept nogil:
    """The bytes of a value in its room: whole items, or text up to the first NUL."""
    cdef const uint8_t *nul
    if not span.text:
        return room - room % span.item_bytes
    nul = <const uint8_t *> memchr(start, 0, room) if room > 0 else NULL
    return <uint32_t> bytes_between(start, nul) if nul != NULL else room


cdef Span span_of(RowGroups store, int place, uint32_t offset, uint32_t width, uint32_t item_bytes, bint text) except *:
    cdef Span span
    if place < 0 or place > 2 or item_bytes == 0:
        raise ValueError("not a place")
    span.place = place
    span.offset = offset
    span.width = width
    span.item_bytes = item_bytes
    span.text = text
    span.big_endian = store.big_endian
    return span


def measure(
    RowGroups store not None, int group_number, int place, uint32_t offset, uint32_t width, uint32_t item_bytes, bint text,
    int32_t[::1] offsets not None, uint8_t[::1] valid not None, uint32_t[::1] spent not None,
):
    """Write where each value begins in the column, in items, and whether there is one; return (items, nulls).

    `spent` counts the bytes already taken from each record by other columns: together they take no more than the record
    holds, so that a damaged file cannot blow up.
    """
    cdef Group *group = store.group_at(group_number)
    cdef Span span = span_of(store, place, offset, width, item_bytes, text)
    cdef const uint8_t *start = NULL
    cdef uint32_t size = 0
    cdef int64_t i, total = 0, nulls = 0
    if offsets.shape[0] != group.count + 1 or valid.shape[0] != group.count or spent.shape[0] != group.count:
        raise ValueError("buffers of another length than the rows")
    offsets[0] = 0
    with nogil:
        for i in range(group.count):
            if i + AHEAD < group.count:
                prefetch(group.rows[i + AHEAD].data + span.offset)
            valid[i] = locate(&span, &group.rows[i], &start, &size)
            if valid[i]:
                size = held(&span, start, size)
                valid[i] = size <= group.rows[i].bytes - spent[i]
            if valid[i]:
                spent[i] += size
                total += size // item_bytes
            else:
                nulls += 1
            if total > 0x7FFFFFFF:
                break
            offsets[i + 1] = <int32_t> total
    if total > 0x7FFFFFFF:
        raise OverflowError("a column of more than 2^31 bytes")
    return total, nulls


def copy(
    RowGroups store not None, int group_number, int place, uint32_t offset, uint32_t width, uint32_t item_bytes, bint text,
    const int32_t[::1] offsets not None, uint8_t[::1] out not None,
):
    """Copy the values that `measure` found; True if every byte is ASCII."""
    cdef Group *group = store.group_at(group_number)
    cdef Span span = span_of(store, place, offset, width, item_bytes, text)
    cdef const uint8_t *start = NULL
    cdef uint32_t size = 0
    cdef int64_t i, j, begin, wanted
    cdef uint8_t seen = 0
    if offsets.shape[0] != group.count + 1:
        raise ValueError("buffers of another length than the rows")
    with nogil:
        for i in range(group.count):
            if i + AHEAD < group.count:
                prefetch(group.rows[i + AHEAD].data + span.offset)
            begin = <int64_t> offsets[i] * item_bytes
            wanted = (<int64_t> offsets[i + 1] - offsets[i]) * item_bytes
            if wanted <= 0 or not locate(&span, &group.rows[i], &start, &size):
                continue
            if held(&span, start, size) < wanted or begin < 0 or out.shape[0] - begin < wanted:
                with gil:
                    raise ValueError("offsets that were not measured on these rows")
            memcpy(&out[begin], start, wanted)
            if span.big_endian:
                swap_items(&out[begin], wanted // item_bytes, item_bytes)
        if text:
            for j in range(out.shape[0]):
                seen |= out[j]
    return seen < 0x80


def words(
    RowGroups store not None, int group_number, int place, uint32_t offset, uint32_t width, Vocabulary vocabulary not None,
    int32_t[::1] codes not None, uint32_t[::1] spent not None,
):
    """Write the number of each text in the vocabulary, -1 where there is none; return how many have none.

    Returns -1 if the vocabulary has no room for all of them: then `spent`, which is as for `measure`, is as before.
    """
    cdef Group *group = store.group_at(group_number)
    cdef Span span = span_of(store, place, offset, width, 1, True)
    cdef const uint8_t *start = NULL
    cdef const uint8_t *last = NULL
    cdef uint32_t size = 0, last_size = 0
    cdef int32_t code = -1
    cdef int64_t i, taken = 0, nulls = 0
    if codes.shape[0] != group.count or spent.shape[0] != group.count:
        raise ValueError("buffers of another length than the rows")
    with nogil:
        for i in range(group.count):
            if i + AHEAD < group.count:
                prefetch(group.rows[i + AHEAD].data + span.offset)
            codes[i] = -1
            taken = i + 1
            if not locate(&span, &group.rows[i], &start, &size):
                nulls += 1
                continue
            # Mostly a text is that of the row before.
            if last == NULL or not begins_with(start, size, last, last_size):
                last, last_size = start, held(&span, start, size)
                code = NO_WORD
            if last_size > group.rows[i].bytes - spent[i]:
                nulls += 1
                continue
            if code == NO_WORD:
                code = vocabulary.number_of(last, last_size)
                if code == FULL:
                    break
            codes[i] = code
            spent[i] += last_size
        if code == FULL:
            for i in range(taken):
                if codes[i] >= 0:
                    spent[i] -= vocabulary.size_of(codes[i])
    return nulls if code != FULL else -1


cdef inline bint begins_with(const uint8_t *start, uint32_t room, const uint8_t *word, uint32_t size) noexcept nogil:
    """Whether the text in this room is the word, which has no NUL in it."""
    return size <= room and (size == room or start[size] == 0) and memcmp(start, word, size) == 0
