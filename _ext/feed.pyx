"""Hands the records of a batch to the in-order pass, block by block while they are in the cache: from the columns of their tables
to records, from records to rows, and from rows on."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free

from replay._ext.identity cimport expect, meet, take
from replay._ext.memory cimport wrap_subtract
from replay._ext.packing cimport Packer
from replay._ext.rows cimport FLAG_WEAK, told
from replay._ext.state cimport Record, State, words_in
from replay._ext.touched cimport PageBits
from replay._ext.words cimport Column, Word, column_of, words_of

WORDS = ("ts", "cpu", "tid", "dev", "ino", "name", "index", "npages", "a", "b", "c", "d")
"""What a record is made of, beside seq; in the order of struct Record."""

cdef enum:
    N_WORDS = 12
    BLOCK = 128        # records that follow each other in the trace: their structs fit into the first-level cache
    HELD_ROWS = 4096   # rows that may still change, in the second-level cache
    AHEAD = 12         # so many records before its turn, memory is asked for what a record will need
    NOTHING = -1       # the step of a place whose record has no meaning here


cdef struct Table:
    Column seq
    int64_t rows
    int64_t at
    Record record      # what all its records have in common
    Word words[N_WORDS]
    int n_words
    bint weak


cdef struct Block:
    Record records[BLOCK]
    bint weak[BLOCK]
    uint16_t places[BLOCK]
    int64_t values[BLOCK]
    int64_t more[BLOCK]


def feed(State state not None, PageBits pages not None, Packer packer not None, list tables not None):
    """Take the records of a batch in order of seq; the rows that they make are noted in `pages` and packed. Tables are as in
    ingest/gather.py."""
    cdef Table *plan = <Table *>calloc(len(tables) + 1, sizeof(Table))
    cdef Block *block = <Block *>calloc(1, sizeof(Block))
    cdef int i, count = len(tables)
    try:
        if plan == NULL or block == NULL:
            raise MemoryError
        for i in range(count):
            _plan(&plan[i], tables[i])
            state.records += plan[i].rows
        with nogil:
            while _gather(plan, count, block):
                _take(state, block)
                if state.rows_used >= HELD_ROWS:
                    _pass_on(state, pages, packer)
            _pass_on(state, pages, packer)
    finally:
        free(plan)
        free(block)


cdef int _pass_on(State state, PageBits pages, Packer packer) except -1 nogil:
    """Let go of the rows made so far."""
    pages.touch(state.rows, state.rows_used)
    state.settle()
    packer.add(state.rows, state.rows_used)
    state.drop_rows()
    return 0


cdef int _plan(Table *table, tuple given) except -1:
    """Check that every column is as long as the table; the caller keeps the columns."""
    cdef int word
    step, table.weak, table.rows, seq, words = given
    column_of(&table.seq, seq, table.rows)
    if table.seq.width != 8 or len(words) != N_WORDS or table.rows < 0:
        raise ValueError("not the words of a table")
    for word in range(N_WORDS):
        if isinstance(words[word], int):
            words_in(&table.record)[word] = words[word]
            continue
        rule, values, more = words[word]
        table.words[table.n_words].word, table.words[table.n_words].rule = word, rule
        column_of(&table.words[table.n_words].values, values, table.rows)
        column_of(&table.words[table.n_words].more, more, table.rows)
        table.n_words += 1
    table.record.step = step
    return 0


cdef int _gather(Table *plan, int count, Block *block) except -1 nogil:
    """Fill the block with the records that come next; False if there are none."""
    cdef int i, n, word
    cdef int64_t first = 0
    cdef bint found = False
    cdef uint64_t place
    cdef const int64_t *seq
    cdef Table *table
    for i in range(count):
        if plan[i].at < plan[i].rows:
            seq = <const int64_t *>plan[i].seq.data + plan[i].at
            first = seq[0] if not found or seq[0] < first else first
            found = True
    if not found:
        return False
    for i in range(BLOCK):
        block.records[i].step = NOTHING
    for i in range(count):
        table = &plan[i]
        seq = <const int64_t *>table.seq.data + table.at
        n = 0
        while table.at + n < table.rows:
            place = wrap_subtract(<uint64_t>seq[n], <uint64_t>first)
            if place >= BLOCK or block.records[place].step != NOTHING:
                break
            block.records[place] = table.record
            block.records[place].seq = seq[n]
            block.weak[place] = table.weak
            block.places[n] = <uint16_t>place
            n += 1
        if n:
            for word in range(table.n_words):
                _spread(block, n, table.words[word].word, words_of(&table.words[word], table.at, n, block.values, block.more))
            table.at += n
    return True


cdef int _take(State state, Block *block) except -1 nogil:
    """The block's records, one by one."""
    cdef size_t before
    cdef int i
    for i in range(BLOCK):
        if i + AHEAD < BLOCK:
            expect(state, &block.records[i + AHEAD])
        if block.records[i].step == NOTHING:
            continue
        if state.n_moving:
            meet(state, &block.records[i])
        block.records[i].tid = <int32_t>block.records[i].tid
        before = state.rows_used
        take(state, &block.records[i])
        if block.weak[i]:
            while before < state.rows_used:
                state.rows[before].flags |= told(FLAG_WEAK, True)
                before += 1
    return 0


cdef void _spread(Block *block, int n, int word, const int64_t *values) noexcept nogil:
    """Write a word of `n` records to their places."""
    cdef int i
    for i in range(n):
        words_in(&block.records[block.places[i]])[word] = values[i]
