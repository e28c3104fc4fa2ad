"""The slots of pages, from the runs of touched pages."""

from cython cimport final
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free


@final
cdef class SlotRuns:
    def __init__(
        self,
        const int64_t[::1] index not None,
        const int64_t[::1] npages not None,
        int64_t[::1] slot not None,
        int64_t[::1] first not None,
    ):
        """Runs by file, then index. `slot` has one more, the number of all slots; `first` says of each file where its runs begin, and of
        one more where all end."""
        cdef Py_ssize_t file
        cdef int64_t before = 0
        if not (index.shape[0] == npages.shape[0] == slot.shape[0] - 1) or first.shape[0] < 1:
            raise ValueError("columns of runs differ in length")
        for file in range(first.shape[0]):
            if not before <= first[file] <= index.shape[0]:
                raise ValueError("runs that are not in order of files")
            before = first[file]
        self.index, self.npages, self.slot, self.first = index, npages, slot, first
        free(self.latest)
        self.files = 0
        self.latest = <LatestRun *>calloc(<size_t>first.shape[0], sizeof(LatestRun))
        if self.latest == NULL:
            raise MemoryError
        self.files = first.shape[0] - 1

    def __dealloc__(self):
        free(self.latest)

    def ranks(self, const int64_t[::1] file not None, const int64_t[::1] index not None, int64_t[::1] ranks not None):
        """For each (file, index) how many touched pages lie before it."""
        cdef Py_ssize_t i
        with nogil:
            for i in range(file.shape[0]):
                ranks[i] = rank(self, file[i], index[i])

    cdef int64_t _find(self, int64_t file, int64_t index) except? -1 nogil:
        """The same for a page that is not of its file's latest run; its own is the latest from now on."""
        cdef int64_t low, high, middle
        if not 0 <= file < self.files:
            return 0 if file < 0 else self.slot[self.slot.shape[0] - 1]
        low, high = self.first[file], self.first[file + 1]
        while low < high:
            middle = (low + high) // 2
            if self.index[middle] <= index:
                low = middle + 1
            else:
                high = middle
        if low == self.first[file]:
            return self.slot[low]
        low -= 1
        self.latest[file].begin, self.latest[file].end = self.index[low], self.index[low] + self.npages[low]
        self.latest[file].slot = self.slot[low]
        return self.slot[low] + min(index - self.index[low], self.npages[low])
