"""Words of records, from the columns of a table: widened to 64 bits, and put through the rule that the mapping names."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from replay._ext.memory cimport wrap_shift

RULES = (
    "plain", "page", "errno", "order", "folio", "first_page", "whole_first", "covering", "whole", "distance", "device", "shared",
    "clone_flags",
)
"""The rules by name; ingest/sources.py says what each means."""

cdef enum:
    PLAIN, PAGE, ERRNO, ORDER, FOLIO, FIRST_PAGE, WHOLE_FIRST, COVERING, WHOLE, DISTANCE, DEVICE, SHARED
    CLONE_FLAGS

cdef enum:
    PAGE_SHIFT = 12
    IN_PAGE = 4095
    HIGHEST_ORDER = 51
    MINOR_BITS = 20
    MAP_SHARED = 1
    VM_SHARED = 8
    CLONE_THREAD = 0x10000

cdef int64_t INDEX_END = <int64_t>1 << HIGHEST_ORDER
cdef int64_t LAST_BYTE = 0x7FFFFFFFFFFFFFFF


cdef int column_of(Column *column, object given, int64_t rows) except -1:
    """(bytes, width, whether signed), or None for no column. The caller keeps the bytes."""
    cdef const uint8_t[::1] data
    column.data = NULL
    if given is None:
        return 0
    data, column.width, column.signed_ = given
    if column.width not in (1, 2, 4, 8) or data.shape[0] // column.width != rows:
        raise ValueError("a column of another length than its table")
    column.data = &data[0] if rows else NULL
    return 0


cdef const int64_t *words_of(const Word *word, int64_t at, int n, int64_t *values, int64_t *more) noexcept nogil:
    """The words of `n` records from the row `at` on: where they are, or written to `values`; `more` is room for what the rule needs."""
    cdef const int64_t *plain
    if word.rule == PLAIN:
        if word.values.width == 8:
            return <const int64_t *>word.values.data + at
        _widen(&word.values, at, n, values)
        return values
    _widen(&word.values, at, n, values)
    if word.more.data != NULL:
        _widen(&word.more, at, n, more)
    _apply(word.rule, word.more.data != NULL, n, values, more)
    return values


cdef void _widen(const Column *column, int64_t at, int n, int64_t *out) noexcept nogil:
    """Numbers as 64 bits; what is unsigned and has as many keeps its bits."""
    cdef int i
    cdef const void *data = column.data + at * column.width
    if column.width == 8:
        for i in range(n):
            out[i] = (<const int64_t *>data)[i]
    elif column.width == 4 and column.signed_:
        for i in range(n):
            out[i] = (<const int32_t *>data)[i]
    elif column.width == 4:
        for i in range(n):
            out[i] = (<const uint32_t *>data)[i]
    elif column.width == 2 and column.signed_:
        for i in range(n):
            out[i] = (<const int16_t *>data)[i]
    elif column.width == 2:
        for i in range(n):
            out[i] = (<const uint16_t *>data)[i]
    elif column.signed_:
        for i in range(n):
            out[i] = (<const int8_t *>data)[i]
    else:
        for i in range(n):
            out[i] = (<const uint8_t *>data)[i]


cdef void _apply(int rule, bint has_more, int n, int64_t *values, const int64_t *more) noexcept nogil:
    """The rule, in place."""
    cdef int i
    if rule == PAGE:
        for i in range(n):
            values[i] = values[i] if 0 <= values[i] < INDEX_END else -1
    elif rule == ERRNO:
        for i in range(n):
            values[i] = <int32_t>values[i] if values[i] >> 31 == 1 else values[i]
    elif rule == ORDER:
        for i in range(n):
            values[i] = _pages_of_order(values[i])
    elif rule == FOLIO:
        for i in range(n):
            values[i] = _pages_of_order(more[i]) if has_more and values[i] else 1
    elif rule == DEVICE:
        for i in range(n):
            values[i] = <int64_t>wrap_shift(<uint64_t>values[i], MINOR_BITS) | (more[i] & 0xFFFFF if has_more else 0)
    elif rule == SHARED:
        for i in range(n):
            values[i] = VM_SHARED if values[i] & MAP_SHARED else 0
    elif rule == CLONE_FLAGS:
        for i in range(n):
            values[i] = -1 if not has_more else CLONE_THREAD if values[i] == more[i] else 0
    else:
        for i in range(n):
            values[i] = _of_bytes(rule, values[i], has_more, more[i] if has_more else 0)


cdef inline int64_t _pages_of_order(int64_t order) noexcept nogil:
    return <int64_t>1 << max(0, min(order, HIGHEST_ORDER))


cdef inline int64_t _end(int64_t begin, int64_t length) noexcept nogil:
    """Byte offset after the range; lengths are clipped to what a file can hold."""
    return begin + max(0, min(length, LAST_BYTE - max(begin, 0)))


cdef inline int64_t _whole_first(int64_t offset) noexcept nogil:
    return (offset >> PAGE_SHIFT) + (offset & IN_PAGE != 0)


cdef inline int64_t _of_bytes(int rule, int64_t offset, bint has_more, int64_t more) noexcept nogil:
    """Pages from a byte range that begins at `offset`; `more` is its length, or its last byte (LLONG_MAX: to the end of the file)."""
    cdef int64_t pages
    if offset < 0:
        return -1
    if rule == FIRST_PAGE:
        return offset >> PAGE_SHIFT
    if rule == WHOLE_FIRST:
        return _whole_first(offset)
    if rule == WHOLE:
        return max(0, (_end(offset, more) >> PAGE_SHIFT) - _whole_first(offset))
    if rule == COVERING:
        pages = _whole_first(_end(offset, more)) - (offset >> PAGE_SHIFT)
    else:
        pages = (more >> PAGE_SHIFT) - (offset >> PAGE_SHIFT) + 1 if has_more and more != LAST_BYTE else -1
    return pages if pages > 0 else -1
