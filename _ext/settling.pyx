"""Which file a row means, where its key may mean several: decided row after row, from the first to the last."""

from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from replay._ext.hashing cimport Entry, get, put
from replay._ext.ops cimport OP_CACHE_ADD


@final
cdef class Settling:
    def __init__(
        self,
        const int32_t[::1] group_of_key not None,
        const int32_t[::1] group_of_file not None,
        const int32_t[::1] first_of_file not None,
        const uint8_t[::1] by_device not None,
        int64_t[::1] latest not None,
    ):
        """`by_device`: keys that tell their file for good. `latest`: for each file its own number, to be changed as others follow it."""
        self.group_of_key, self.group_of_file, self.first_of_file = group_of_key, group_of_file, first_of_file
        self.by_device, self.latest = by_device, latest

    def __dealloc__(self):
        free(self.last.entries)

    def copied(self):
        """Another that goes on from here by itself."""
        cdef Settling copied = Settling(self.group_of_key, self.group_of_file, self.first_of_file, self.by_device, self.latest.copy())
        cdef size_t size = (self.last.mask + 1) * sizeof(Entry)
        if self.last.entries != NULL:
            copied.last.entries = <Entry *>malloc(size)
            if copied.last.entries == NULL:
                raise MemoryError
            memcpy(copied.last.entries, self.last.entries, size)
            copied.last.mask, copied.last.used = self.last.mask, self.last.used
        return copied

    cdef int64_t settle(self, int32_t key, int op, int64_t index, int64_t file) except? -2 nogil:
        """The file of the next row, whose key tells `file`. In a group it is the file whose page of this index entered the cache
        last; of files that followed each other the latest that the trace knew by then."""
        cdef int64_t group, first
        if key < 0:
            return file
        group = self.group_of_file[file] if file >= 0 else self.group_of_key[key]
        if file < 0 and group >= 0:
            file = get(&self.last, <uint64_t>group, <uint64_t>index)
        elif op == OP_CACHE_ADD and group >= 0:
            put(&self.last, <uint64_t>group, <uint64_t>index, file)
        first = self.first_of_file[file] if file >= 0 else -1
        if first < 0:
            return file
        if file != first:
            self.latest[first] = max(self.latest[first], file)
        elif not self.by_device[key]:
            file = self.latest[first]
        return file
