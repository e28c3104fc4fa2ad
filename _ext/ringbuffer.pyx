"""Walks the ring buffer pages of many CPUs at once, merged by time, and sorts the records by event type.

A page, as the kernel writes it (kernel/trace/ring_buffer.c; libtraceevent reads it in src/kbuffer-parse.c):

    u64 time stamp | long commit | entries ... | [long lost events] | unused
                     bits 0..26 bytes of entries, bit 31 events were lost before this page, bit 30 their number is stored

An entry starts with a u32: bits 0..4 type_len, bits 5..31 time since the previous entry. On a big-endian machine, where
the compiler lays out bit fields from the top, type_len is bits 27..31 and the time bits 0..26.

    0        data: u32 length (counting itself), payload
    1..28    data: 4 * type_len bytes of payload
    29       padding or a discarded event: u32 length; a delta of 0 ends the page
    30       time extend: u32, the upper bits of the delta
    31       absolute time stamp: u32, likewise; the 5 topmost bits of the 64 come from the time before

Nothing in a page is trusted: every record handed on lies inside of its page. Rows point into the segments they were
found in, which stay referenced here until `drop_rows`.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from replay._ext.clock cimport Clock, Sample, nanoseconds
from replay._ext.memory cimport bytes_between, word_16, word_32, word_64, wrap_add
from replay._ext.rowgroups cimport Row, RowGroups

cdef uint32_t COMMIT_MASK = (1 << 27) - 1
cdef uint32_t DELTA_MASK = (1 << 27) - 1
cdef uint64_t LOST = 1 << 31
cdef uint64_t LOST_STORED = 1 << 30
cdef uint64_t TOP_TIME_BITS = <uint64_t> 0xF8 << 56
cdef uint64_t ABSURD_LOSS = <uint64_t> 1 << 48
cdef int TYPES = 1 << 16

BATCH_FULL = -1
ALL_DONE = -2
cdef int32_t FULL = -1
cdef int32_t DONE = -2
cdef int32_t NO_MEMORY = -3


cdef inline void give_up_page(Cursor *cursor) noexcept nogil:
    if not cursor.cut:
        cursor.bad_bytes += bytes_between(cursor.at, cursor.stop)
    cursor.at = cursor.stop


cdef class Samples:
    """Time samples that the clocks of several streams share."""

    cdef Sample *items

    def __dealloc__(self):
        free(self.items)


cdef class RingMerge:
    """Streams are numbered in the order in which equal times are merged."""

    def __cinit__(self, list page_bytes, list need_bytes, *, uint32_t header_bytes, uint32_t long_bytes, bint big_endian=False):
        cdef int i
        if long_bytes not in (4, 8) or header_bytes < 8 + long_bytes:
            raise ValueError("a page header holds a u64 and a long")
        self.stream_count = len(page_bytes)
        self.store = RowGroups([max(2, need) for need in need_bytes], big_endian=big_endian)
        self.header_bytes = header_bytes
        self.long_bytes = long_bytes
        self.big_endian = big_endian
        self.cursors = <Cursor *> calloc(self.stream_count + 1, sizeof(Cursor))
        self.heap = <int32_t *> calloc(self.stream_count + 1, sizeof(int32_t))
        self.group_of_type = <int32_t *> malloc(TYPES * sizeof(int32_t))
        if self.cursors == NULL or self.heap == NULL or self.group_of_type == NULL:
            raise MemoryError
        memset(self.group_of_type, 0xFF, TYPES * sizeof(int32_t))
        for i in range(self.stream_count):
            self.cursors[i].page_bytes = page_bytes[i]
            if self.cursors[i].page_bytes <= header_bytes:
                raise ValueError("a page is longer than its header")
        self.samples = []
        self.held = []
        self.current = [None] * self.stream_count

    def __dealloc__(self):
        free(self.cursors)
        free(self.heap)
        free(self.group_of_type)

    @property
    def groups(self):
        """The rows of the batch, by group."""
        return self.store

    def set_type(self, int event_type, int group):
        if event_type < 0 or event_type >= TYPES:
            raise IndexError(event_type)
        self.store.group_at(group)
        self.group_of_type[event_type] = group

    def set_clock(self, list streams, *, uint64_t mult, uint32_t shift, uint64_t offset, list samples, bint interpolate):
        """How the streams' times become nanoseconds; samples are (time, offset, scaling, fraction), in the order of time."""
        cdef Clock *clock
        cdef Samples shared = Samples()
        cdef int stream
        if shift > 32 or any([fraction > 63 for _, _, _, fraction in samples]):
            raise ValueError("a shift that is too wide")
        shared.items = <Sample *> calloc(len(samples) + 1, sizeof(Sample))
        if shared.items == NULL:
            raise MemoryError
        self.samples.append(shared)
        for i, (time, ahead, scaling, fraction) in enumerate(samples):
            shared.items[i] = Sample(time=time, offset=ahead, scaling=scaling, fraction=fraction)
        for stream in streams:
            if stream < 0 or stream >= self.stream_count:
                raise IndexError(stream)
            clock = &self.cursors[stream].clock
            clock.samples, clock.sample_count = shared.items, len(samples)
            clock.mult, clock.shift, clock.offset, clock.interpolate = mult, shift, offset, interpolate

    def feed(self, int stream, const uint8_t[::1] segment not None):
        """Give a stream its next pages. False if no record was found in them: feed it again, or leave it if it has ended.

        Only to be called for a stream that `run` asked for, or at the start.
        """
        if stream < 0 or stream >= self.stream_count:
            raise IndexError(stream)
        cdef Cursor *cursor = &self.cursors[stream]
        if cursor.waiting or cursor.next_page != cursor.end or cursor.at != cursor.stop:
            raise ValueError("the stream still has pages")
        if segment.shape[0] == 0:
            return False
        cursor.next_page = &segment[0]
        cursor.end = cursor.next_page + segment.shape[0]
        cursor.at = cursor.stop = NULL
        cdef int found
        with nogil:
            found = self.advance(cursor)
            if found:
                self.push(stream)
        self.current[stream] = None
        if not found:
            return False
        self.current[stream] = segment
        self.held.append(segment)
        self.held_bytes += segment.shape[0]
        return True

    def run(self, int64_t rows):
        """Merge until a stream runs out (its number), the batch holds `rows` rows (BATCH_FULL), or all is done (ALL_DONE)."""
        cdef int32_t outcome
        with nogil:
            outcome = self.run_until(rows)
        if outcome == NO_MEMORY:
            raise MemoryError
        return outcome

    def drop_rows(self):
        """Begin a new batch."""
        self.store.clear()
        self.held = [segment for segment in self.current if segment is not None]
        self.held_bytes = 0

    @property
    def batch_bytes(self):
        """Bytes of the segments that were fed for this batch."""
        return self.held_bytes

    def met(self, int stream):
        """(records, unknown_records, bad_bytes, lost_events, lost_unknown) of a stream so far."""
        if stream < 0 or stream >= self.stream_count:
            raise IndexError(stream)
        cdef Cursor *cursor = &self.cursors[stream]
        return cursor.records, cursor.unknown_records, cursor.bad_bytes, cursor.lost_events, cursor.lost_unknown

    cdef bint open_page(self, Cursor *cursor) noexcept nogil:
        cdef const uint8_t *page = cursor.next_page
        cdef int64_t left = bytes_between(page, cursor.end)
        if left <= 0:
            return False
        cdef uint32_t size = <uint32_t> left if left < cursor.page_bytes else cursor.page_bytes
        cursor.next_page = page + size
        cursor.at = cursor.stop = page + size
        if size < self.header_bytes:
            return True
        cdef uint64_t flags = self.read_long(page + 8)
        cdef uint32_t commit = flags & COMMIT_MASK
        cdef uint32_t holds = size - self.header_bytes
        if commit > cursor.page_bytes - self.header_bytes:
            cursor.bad_bytes += size
            return True
        cursor.raw_ts = word_64(page, self.big_endian)
        cursor.at = page + self.header_bytes
        cursor.cut = commit > holds
        cursor.stop = cursor.at + (holds if cursor.cut else commit)
        cdef uint64_t lost
        if flags & LOST:
            lost = 0
            if flags & LOST_STORED and not cursor.cut and holds - commit >= self.long_bytes:
                lost = self.read_long(cursor.stop)
            if lost == 0 or lost >= ABSURD_LOSS:
                cursor.lost_unknown += 1
            else:
                cursor.lost_events += lost
        return True

    cdef inline uint64_t read_long(self, const uint8_t *at) noexcept nogil:
        return word_64(at, self.big_endian) if self.long_bytes == 8 else word_32(at, self.big_endian)

    cdef int advance(self, Cursor *cursor) noexcept nogil:
        """To the next record; 0 at the end of the segment. Every turn of the loop consumes bytes."""
        cdef uint32_t head, kind, length
        cdef uint64_t delta
        cdef int64_t left
        cdef const uint8_t *data
        cdef bint big_endian = self.big_endian
        while True:
            left = bytes_between(cursor.at, cursor.stop)
            if left < 4:
                if left > 0:
                    give_up_page(cursor)
                if not self.open_page(cursor):
                    return 0
                continue
            head = word_32(cursor.at, big_endian)
            kind = head >> 27 if big_endian else head & 31
            delta = head & DELTA_MASK if big_endian else head >> 5
            if 0 < kind <= 28:
                length = kind * 4
                data = cursor.at + 4
                left -= 4
            else:
                if kind == 29 and delta == 0:
                    cursor.at = cursor.stop
                    continue
                if left < 8:
                    give_up_page(cursor)
                    continue
                length = word_32(cursor.at + 4, big_endian)
                if kind >= 30:
                    delta += <uint64_t> length << 27
                    cursor.raw_ts = delta | (cursor.raw_ts & TOP_TIME_BITS) if kind == 31 else wrap_add(cursor.raw_ts, delta)
                    cursor.at += 8
                    continue
                if kind == 29:
                    cursor.raw_ts = wrap_add(cursor.raw_ts, delta)
                    cursor.at = cursor.stop if length > left - 4 else cursor.at + 4 + length
                    continue
                data = cursor.at + 8
                left -= 8
                if length < 4 or length - 4 > left:
                    give_up_page(cursor)
                    continue
                length = (length - 1) & ~<uint32_t> 3    # less the length word, rounded up to 4
            if length > left:
                give_up_page(cursor)
                continue
            cursor.raw_ts = wrap_add(cursor.raw_ts, delta)
            cursor.at = data + length
            if length < 2:
                cursor.bad_bytes += length + 8
                continue
            cursor.data = data
            cursor.bytes = length
            cursor.group = self.group_of_type[word_16(data, big_endian)]
            cursor.ts = nanoseconds(&cursor.clock, cursor.raw_ts)
            return 1

    cdef inline bint before(self, int32_t left, int32_t right) noexcept nogil:
        if self.cursors[left].ts != self.cursors[right].ts:
            return self.cursors[left].ts < self.cursors[right].ts
        return left < right

    cdef void sift_down(self, int place) noexcept nogil:
        cdef int child
        cdef int32_t stream = self.heap[place]
        while True:
            child = 2 * place + 1
            if child >= self.heap_size:
                break
            if child + 1 < self.heap_size and self.before(self.heap[child + 1], self.heap[child]):
                child += 1
            if not self.before(self.heap[child], stream):
                break
            self.heap[place] = self.heap[child]
            place = child
        self.heap[place] = stream

    cdef void push(self, int32_t stream) noexcept nogil:
        cdef int place = self.heap_size
        self.cursors[stream].waiting = True
        self.heap_size += 1
        while place > 0 and self.before(stream, self.heap[(place - 1) // 2]):
            self.heap[place] = self.heap[(place - 1) // 2]
            place = (place - 1) // 2
        self.heap[place] = stream

    cdef inline bint append(self, int32_t stream) noexcept nogil:
        cdef Cursor *cursor = &self.cursors[stream]
        cdef Row *row
        cdef int64_t seq = self.next_seq
        self.next_seq += 1
        cursor.records += 1
        if cursor.group < 0:
            cursor.unknown_records += 1
            return True
        if cursor.bytes < self.store.groups[cursor.group].need_bytes:
            cursor.bad_bytes += cursor.bytes
            return True
        row = self.store.new_row(cursor.group)
        if row == NULL:
            return False
        row.data = cursor.data
        row.ts = cursor.ts
        row.seq = seq
        row.bytes = cursor.bytes
        row.stream = stream
        return True

    cdef int32_t run_until(self, int64_t rows) noexcept nogil:
        cdef int32_t stream, rival
        cdef Cursor *cursor
        while self.heap_size > 0:
            stream = self.heap[0]
            cursor = &self.cursors[stream]
            rival = -1
            if self.heap_size > 1:
                rival = self.heap[1]
                if self.heap_size > 2 and self.before(self.heap[2], rival):
                    rival = self.heap[2]
            while True:
                if self.store.batch_rows >= rows:
                    self.sift_down(0)
                    return FULL
                if not self.append(stream):
                    return NO_MEMORY
                if not self.advance(cursor):
                    cursor.waiting = False
                    self.heap_size -= 1
                    self.heap[0] = self.heap[self.heap_size]
                    if self.heap_size > 0:
                        self.sift_down(0)
                    return stream
                if rival >= 0 and not self.before(stream, rival):
                    self.sift_down(0)
                    break
        return DONE
