"""Rows collected for the columns of one batch, by event type: the wall between decoders and column building.

A row points into memory that its decoder keeps; it is good until the decoder lets go of that.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, realloc


cdef class RowGroups:
    def __cinit__(self, list need_bytes, *, bint big_endian=False):
        """`need_bytes`: for each group the least size of a record that can be a row of it."""
        cdef int i
        self.group_count = len(need_bytes)
        self.big_endian = big_endian
        self.groups = <Group *> calloc(self.group_count + 1, sizeof(Group))
        if self.groups == NULL:
            raise MemoryError
        for i in range(self.group_count):
            self.groups[i].need_bytes = need_bytes[i]

    def __dealloc__(self):
        cdef int i
        if self.groups != NULL:
            for i in range(self.group_count):
                free(self.groups[i].rows)
        free(self.groups)

    cdef Group *group_at(self, int group) except NULL:
        if group < 0 or group >= self.group_count:
            raise IndexError(group)
        return &self.groups[group]

    cdef Row *new_row(self, int32_t number) noexcept nogil:
        """A row to be filled; NULL if there is no memory. The caller has checked `number` and the record's size."""
        cdef Group *group = &self.groups[number]
        cdef Row *grown
        cdef int64_t capacity
        if group.count == group.capacity:
            capacity = 256 if group.capacity == 0 else 2 * group.capacity
            grown = <Row *> realloc(group.rows, capacity * sizeof(Row))
            if grown == NULL:
                return NULL
            group.rows = grown
            group.capacity = capacity
        group.count += 1
        self.batch_rows += 1
        return &group.rows[group.count - 1]

    def rows(self):
        """(group, rows) of each group that has rows."""
        return [(i, self.groups[i].count) for i in range(self.group_count) if self.groups[i].count > 0]

    def clear(self):
        """Begin a new batch."""
        for i in range(self.group_count):
            self.groups[i].count = 0
        self.batch_rows = 0
