"""Hands the records of a batch to the in-order pass, one by one, from the columns of their tables."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free

from replay._ext.identity cimport meet, take
from replay._ext.rows cimport FLAG_WEAK, told
from replay._ext.state cimport Record, State

WORDS = ("seq", "ts", "cpu", "tid", "dev", "ino", "name", "index", "npages", "a", "b", "c", "d")
"""What a record is made of, in the order of Table.words."""

NO_TURN = 0xFFFF
"""No table holds the next record: it has no meaning here."""

cdef enum:
    N_WORDS = 13
    NOBODY = 0xFFFF


cdef struct Table:
    const int64_t *words[N_WORDS]
    int64_t stride[N_WORDS]   # 0: one value for all records
    int64_t rows
    int64_t at
    int32_t step
    bint weak


def feed(State state not None, const uint16_t[::1] turns not None, list tables not None):
    """Take the records of a batch: `turns` says which table holds the next one. Tables are as in ingest/gather.py."""
    cdef Table *plan = <Table *> calloc(len(tables) + 1, sizeof(Table))
    cdef Table *table
    cdef int i, count = len(tables)
    cdef Py_ssize_t turn
    cdef uint16_t number
    if plan == NULL:
        raise MemoryError
    try:
        for i in range(count):
            _plan(&plan[i], tables[i])
            state.records += plan[i].rows
        with nogil:
            for turn in range(turns.shape[0]):
                number = turns[turn]
                if number == NOBODY:
                    continue
                if number >= count or plan[number].at >= plan[number].rows:
                    with gil:
                        raise ValueError("a turn without a record")
                _feed(state, &plan[number])
    finally:
        free(plan)


cdef int _plan(Table *table, tuple given) except -1:
    """Check that every column is as long as the table, or holds one value for all; the caller keeps the columns."""
    cdef const int64_t[::1] values
    cdef int word
    table.step, table.weak, table.rows, columns = given
    if len(columns) != N_WORDS or table.rows < 0:
        raise ValueError("not the words of a table")
    for word in range(N_WORDS):
        values = columns[word]
        if values.shape[0] != table.rows and values.shape[0] != 1:
            raise ValueError("a column of another length than its table")
        table.words[word] = &values[0] if values.shape[0] else NULL
        table.stride[word] = 1 if values.shape[0] == table.rows else 0
    return 0


cdef inline int64_t _word(const Table *table, int word) noexcept nogil:
    return table.words[word][table.at * table.stride[word]]


cdef int _feed(State state, Table *table) except -1 nogil:
    """Take a table's next record."""
    cdef Record record
    cdef size_t before = state.rows_used
    record.seq, record.ts, record.step = _word(table, 0), _word(table, 1), table.step
    record.cpu, record.tid = <int32_t>_word(table, 2), <int32_t>_word(table, 3)
    record.dev, record.ino, record.name = _word(table, 4), <uint64_t>_word(table, 5), <int32_t>_word(table, 6)
    record.index, record.npages = _word(table, 7), _word(table, 8)
    record.a, record.b, record.c, record.d = _word(table, 9), _word(table, 10), _word(table, 11), _word(table, 12)
    table.at += 1
    if state.n_moving:
        meet(state, &record)
        before = state.rows_used
    take(state, &record)
    if table.weak:
        while before < state.rows_used:
            state.rows[before].flags |= told(FLAG_WEAK, True)
            before += 1
    return 0
