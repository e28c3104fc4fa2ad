# Words of records, from the columns of a table: which column holds a word, and the rule that makes the word of it.

from libc.stdint cimport int64_t, uint8_t


# Numbers of 1, 2, 4 or 8 bytes that follow each other.
cdef struct Column:
    const uint8_t *data   # NULL: no column
    int width
    bint signed_


cdef struct Word:
    int word              # its place in WORDS
    int rule
    Column values
    Column more           # what the rule needs beside


cdef int column_of(Column *column, object given, int64_t rows) except -1
cdef const int64_t *words_of(const Word *word, int64_t at, int n, int64_t *values, int64_t *more) noexcept nogil
