"""What is known of keys, files and threads once a trace has ended, and of rows by it."""

from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free

from replay._ext.hashing cimport bytes_of, get, put, room
from replay._ext.rows cimport Row
from replay._ext.settling cimport Settling
from replay._ext.unpacking cimport Unpacking, next_row, start


@final
cdef class Codes:
    def __init__(self, int32_t[::1] code not None, int32_t[::1] numbers not None):
        """`code`: for each number -1. `numbers`: as long."""
        self.code, self.numbers = code, numbers

    cdef int32_t _add(self, int64_t number) except -1 nogil:
        self.code[number], self.numbers[self.used] = <int32_t>self.used, <int32_t>number
        self.used += 1
        return self.code[number]

    def forget(self):
        """The numbers that appeared, in order of their codes; then begin anew."""
        cdef list appeared = [self.numbers[code] for code in range(self.used)]
        for number in appeared:
            self.code[number] = -1
        self.used = 0
        return appeared


@final
cdef class Threads:
    def __init__(self, const int32_t[::1] tid not None, const int32_t[::1] tgid not None, const int32_t[::1] comm not None):
        """Threads that the trace names, by distinct ids."""
        cdef Py_ssize_t i
        if not (tid.shape[0] == tgid.shape[0] == comm.shape[0]):
            raise ValueError("columns of threads differ in length")
        self.tgid, self.comm, self.last = tgid, comm, -1
        for i in range(tid.shape[0]):
            self._find(tid[i])

    def __dealloc__(self):
        free(self.threads)
        free(self.places.entries)

    cdef int _find(self, int32_t tid) except -1 nogil:
        """Make `last` a thread's number."""
        self.last, self.last_tid = get(&self.places, <uint64_t>tid, 0), tid
        if self.last >= 0:
            return 0
        self.threads = <Thread *>room(self.threads, self.used, &self.capacity, sizeof(Thread))
        self.threads[self.used].tid = tid
        put(&self.places, <uint64_t>tid, 0, <int64_t>self.used)
        self.last = <int64_t>self.used
        self.used += 1
        return 0

    def events(self):
        """How many events each thread has that has any."""
        return {self.threads[i].tid: self.threads[i].events for i in range(self.used) if self.threads[i].events}


@final
cdef class Identity:
    def __init__(
        self,
        const int64_t[::1] file not None,
        const uint8_t[::1] source not None,
        const uint8_t[::1] confidence not None,
        const uint8_t[::1] wander not None,
        const uint8_t[::1] superseded not None,
        const uint8_t[::1] dax not None,
    ):
        """By key, the last for none: as in ingest/identity.py. By operation: whether weak rows are superseded. By file: whether it is DAX."""
        if not (0 < file.shape[0] == source.shape[0] == confidence.shape[0] == wander.shape[0]) or superseded.shape[0] != 256:
            raise ValueError("what is known of keys differs in length")
        self.file, self.source, self.confidence, self.wander = file, source, confidence, wander
        self.superseded, self.dax = superseded, dax
        self.any_dax = any(dax)


def touched(
    Identity identity not None,
    Settling settling,
    const uint8_t[::1] packed not None,
    Py_ssize_t rows,
    const int64_t[:, ::1] patches not None,
):
    """Ranges that those rows touch whose file their key alone does not tell, as bytes of struct Touched. `patches`: row, value, column."""
    cdef Unpacking source
    cdef Row row
    cdef Py_ssize_t i, patch = 0
    cdef int64_t key, file
    cdef Touched *found = NULL
    cdef size_t used = 0, capacity = 0
    start(&source, packed)
    try:
        with nogil:
            for i in range(rows):
                next_row(&source, &row)
                while patch < patches.shape[0] and patches[patch, 0] == i:
                    changed(&row, patches[patch, 2], patches[patch, 1])
                    patch += 1
                if not is_event(identity, &row):
                    continue
                key = row.file if row.file >= 0 else identity.file.shape[0] - 1
                file = file_of(identity, settling, &row, key)
                if row.touches and file >= 0 and identity.wander[key]:
                    found = <Touched *>room(found, used, &capacity, sizeof(Touched))
                    found[used].file, found[used].begin, found[used].npages = file, row.index, row.npages
                    used += 1
        return bytes_of(found, used * sizeof(Touched))
    finally:
        free(found)
