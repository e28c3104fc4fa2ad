"""The words of a text column, numbered in order of appearance: most texts of a trace are a few names again and again."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from replay._ext.memory cimport read_64, wrap_multiply


cdef class Vocabulary:
    """Holds so many words of so many bytes together, and no more."""

    def __dealloc__(self):
        free(self.known)
        free(self.text)

    def words(self):
        """The words as they stand in the trace, by number."""
        cdef int32_t i
        return [
            (<const char *> self.text)[self.known.begins[i] : self.known.begins[i + 1]] if self.size_of(i) else b""
            for i in range(self.count)
        ]

    def clear(self):
        """Forget all words."""
        self.count = 0
        if self.known != NULL:
            memset(self.known.slots, 0xFF, sizeof(self.known.slots))

    cdef uint32_t size_of(self, int32_t number) noexcept nogil:
        return self.known.begins[number + 1] - self.known.begins[number]

    cdef int32_t number_of(self, const uint8_t *word, uint32_t size) except -2 nogil:
        """The number of a word, a new one if it was not known; FULL if there is no room for it."""
        cdef uint32_t hashed = hash_of(word, size), place = hashed % SLOTS
        cdef int32_t number
        if self.known == NULL:
            self.prepare()
        while self.known.slots[place] >= 0:
            number = self.known.slots[place]
            if (
                self.known.hashes[number] == hashed
                and self.size_of(number) == size
                and memcmp(self.text + self.known.begins[number], word, size) == 0
            ):
                return number
            place = (place + 1) % SLOTS
        if self.count == MOST_WORDS or MOST_BYTES - self.known.begins[self.count] < size:
            return FULL
        self.append(word, size)
        self.known.hashes[self.count - 1] = hashed
        self.known.slots[place] = self.count - 1
        return self.count - 1

    cdef int prepare(self) except -1 nogil:
        self.known = <Words *> malloc(sizeof(Words))
        if self.known == NULL:
            with gil:
                raise MemoryError
        self.known.begins[0] = 0
        memset(self.known.slots, 0xFF, sizeof(self.known.slots))
        return 0

    cdef int append(self, const uint8_t *word, uint32_t size) except -1 nogil:
        cdef uint32_t begin = self.known.begins[self.count], larger
        cdef uint8_t *moved
        if self.capacity - begin < size or self.text == NULL:
            larger = min(MOST_BYTES, 2 * (begin + size) + 64)
            moved = <uint8_t *> realloc(self.text, larger)
            if moved == NULL:
                with gil:
                    raise MemoryError
            self.text, self.capacity = moved, larger
        memcpy(self.text + begin, word, size)
        self.count += 1
        self.known.begins[self.count] = begin + size
        return 0


cdef inline uint32_t hash_of(const uint8_t *word, uint32_t size) noexcept nogil:
    cdef uint64_t mixed = size, rest = 0
    cdef uint32_t at = 0
    while size - at >= 8:
        mixed = mix(mixed, read_64(word + at))
        at += 8
    memcpy(&rest, word + at, size - at)
    mixed = mix(mixed, rest)
    return <uint32_t> (mixed >> 32)


cdef inline uint64_t mix(uint64_t mixed, uint64_t more) noexcept nogil:
    mixed = wrap_multiply(mixed ^ more, <uint64_t> 0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> 29)
