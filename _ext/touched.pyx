"""Which pages are touched, and their places in the numbering: one pass over rows, whatever their order."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free

from replay._ext.hashing cimport PairMap, get, put, room

cdef enum:
    CHUNK_BITS = 12              # pages per chunk of the bitmap, as a power of two
    CHUNK_WORDS = 64            # of 64 pages each; written out, since Cython checks no overflow in a constant


cdef struct Chunk:
    int64_t file
    int64_t number
    uint64_t words[CHUNK_WORDS]


cdef class PageBits:
    """A set of single pages of files."""

    cdef Chunk *chunks
    cdef size_t used
    cdef size_t capacity
    cdef PairMap places

    def __dealloc__(self):
        free(self.chunks)
        free(self.places.entries)

    def add(self, const int64_t[::1] file, const int64_t[::1] index):
        """Put the pages (file, index) into the set; neither may be negative."""
        cdef Py_ssize_t i
        cdef int64_t at = -1, last_file = -1, last_number = -1, number
        with nogil:
            for i in range(file.shape[0]):
                number = index[i] >> CHUNK_BITS
                if number != last_number or file[i] != last_file:
                    last_file, last_number = file[i], number
                    at = self._chunk(last_file, number)
                self.chunks[at].words[(index[i] >> 6) & (CHUNK_WORDS - 1)] |= <uint64_t>1 << (index[i] & 63)

    cdef int64_t _chunk(self, int64_t file, int64_t number) except -1 nogil:
        cdef int64_t at = get(&self.places, <uint64_t>file, <uint64_t>number)
        if at >= 0:
            return at
        self.chunks = <Chunk *>room(self.chunks, self.used, &self.capacity, sizeof(Chunk))
        at = <int64_t>self.used
        self.chunks[at].file, self.chunks[at].number = file, number
        self.used += 1
        put(&self.places, <uint64_t>file, <uint64_t>number, at)
        return at

    def runs(self):
        """The set as lists of (file, begin, end): runs of pages within a chunk, in no order of chunks."""
        cdef size_t at
        cdef int64_t bit, begin
        cdef Chunk *chunk
        files, begins, ends = [], [], []
        for at in range(self.used):
            chunk = &self.chunks[at]
            begin = -1
            for bit in range((1 << CHUNK_BITS) + 1):
                if bit < 1 << CHUNK_BITS and chunk.words[bit >> 6] >> (bit & 63) & 1:
                    if begin < 0:
                        begin = bit
                elif begin >= 0:
                    files.append(chunk.file)
                    begins.append((chunk.number << CHUNK_BITS) + begin)
                    ends.append((chunk.number << CHUNK_BITS) + bit)
                    begin = -1
        return files, begins, ends


def ranks(
    const int64_t[::1] run_file,
    const int64_t[::1] run_index,
    const int64_t[::1] run_npages,
    const int64_t[::1] run_slot,
    const int64_t[::1] file,
    const int64_t[::1] index,
    int64_t[::1] rank,
):
    """For each (file, index): how many pages of the runs, which are in order, lie before it. Neighbours mostly hit the same run."""
    cdef Py_ssize_t i, low, high, middle, run = 0, count = run_file.shape[0]
    with nogil:
        for i in range(file.shape[0]):
            if not count:
                rank[i] = 0
                continue
            if not (run_file[run] == file[i] and run_index[run] <= index[i] < run_index[run] + run_npages[run]):
                low, high = 0, count
                while low < high:
                    middle = (low + high) // 2
                    if run_file[middle] < file[i] or (run_file[middle] == file[i] and run_index[middle] <= index[i]):
                        low = middle + 1
                    else:
                        high = middle
                if low == 0:
                    rank[i] = 0
                    continue
                run = low - 1
            if run_file[run] == file[i]:
                rank[i] = run_slot[run] + min(index[i] - run_index[run], run_npages[run])
            else:
                rank[i] = run_slot[run] + run_npages[run]
