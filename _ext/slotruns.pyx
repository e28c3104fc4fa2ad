"""The slots of pages, from the runs of touched pages."""

from libc.stdint cimport int64_t


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
        self.latest = first.copy()

    def ranks(self, const int64_t[::1] file not None, const int64_t[::1] index not None, int64_t[::1] rank not None):
        """For each (file, index) how many touched pages lie before it."""
        cdef Py_ssize_t i
        with nogil:
            for i in range(file.shape[0]):
                rank[i] = self.rank(file[i], index[i])

    cdef int64_t rank(self, int64_t file, int64_t index) except? -1 nogil:
        """How many touched pages lie before this one: for a touched page its slot."""
        cdef int64_t low, high, middle, run
        if not 0 <= file < self.first.shape[0] - 1:
            return 0 if file < 0 else self.slot[self.slot.shape[0] - 1]
        low, high, run = self.first[file], self.first[file + 1], self.latest[file]
        if low == high:
            return self.slot[low]
        if not self.index[run] <= index < self.index[run] + self.npages[run]:
            while low < high:
                middle = (low + high) // 2
                if self.index[middle] <= index:
                    low = middle + 1
                else:
                    high = middle
            if low == self.first[file]:
                return self.slot[low]
            run = self.latest[file] = low - 1
        return self.slot[run] + min(index - self.index[run], self.npages[run])
