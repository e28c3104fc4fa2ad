"""Walks the records of a perf.data file, indexes them by time, and hands out rows of their parts in that order.

Every record begins with u32 type, u16 misc, u16 size, and size counts these 8 bytes. Samples are laid out as their event's
sample_type tells; all other records of the kernel end with a trailer that tells when, where and by whom (the struct
sample_id of include/uapi/linux/perf_event.h; kernel/events/core.c: perf_output_sample, perf_event__output_id_sample).

The records of different CPUs stand one buffer after another: only the index of all records is put in order, 24 bytes each.
Nothing in a record is trusted: what does not fit into it, or into the file, is counted and makes no row.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import numpy as np

from replay._ext.hashing cimport get, put, room
from replay._ext.memory cimport word_16, word_32, word_64
from replay._ext.perfsamples cimport PARTS, Layout, Piece, first_of, locate
from replay._ext.rowgroups cimport Row, RowGroups

KINDS = 32
"""Types of records of the kernel that tables can be made of: all below this number."""

MMAP2_BUILD_ID = 31
"""Stands for MMAP2 records that carry a build id in place of device and inode (PERF_RECORD_MISC_MMAP_BUILD_ID)."""

cdef enum:
    KIND_COUNT = 32
    KIND_MMAP2_BUILD_ID = 31
    MISC_MMAP_BUILD_ID = 0x4000
    HEADER = 8
    # enum perf_event_type
    RECORD_MMAP = 1, RECORD_COMM = 3, RECORD_FORK = 7, RECORD_SAMPLE = 9, RECORD_MMAP2 = 10
    # enum perf_user_event_type of tools/lib/perf/include/perf/event.h; above any type of the kernel
    USER_TYPES = 64, HEADER_ATTR = 64, HEADER_TRACING_DATA = 66
    AUXTRACE_INFO = 70, AUXTRACE = 71, AUXTRACE_ERROR = 72, STAT_CONFIG = 75, STAT_ROUND = 77
    EVENT_UPDATE = 78, HEADER_FEATURE = 80, COMPRESSED = 81, COMPRESSED2 = 83
    NO_CPU = 0xFFFFFFFF
    MOST_CPUS = 0x10000

# The replay counts with times below 2^61: a later one is none.
cdef uint64_t NEVER = 0x2000000000000000


cdef inline int64_t extent(const uint8_t *record, int64_t left, bint swap) noexcept nogil:
    """Bytes up to the next record, 0 if this one cannot be right, -1 if it does not end within the data."""
    if left < HEADER:
        return -1
    cdef uint32_t kind = word_32(record, swap)
    cdef int64_t size = word_16(record + 6, swap)
    cdef uint64_t more = 0
    if kind == COMPRESSED2 and left >= HEADER + 8:
        # perf up to 6.17 wrote a size modulo 2^16, and no padding where that happened.
        more = word_64(record + HEADER, swap)
        if more <= 1 << 24 and <int64_t>more + 16 > size:
            size = <int64_t>more + 16
        more = 0
    if size < HEADER:
        return 0
    if size > left:
        return -1
    if kind == HEADER_TRACING_DATA and size >= HEADER + 4:
        more = word_32(record + HEADER, swap)
    elif kind == AUXTRACE and size >= HEADER + 8:
        more = word_64(record + HEADER, swap)
    if more > <uint64_t>(left - size):
        return -1
    return size + <int64_t>more


def outline(const uint8_t[::1] data not None, *, bint big_endian=False):
    """Where the records that describe others are: attributes, formats, names, features, compressed records; and where to stop.

    The stop is the length of the data, or the first byte that no whole record begins at.
    """
    cdef size_t used = 0, capacity = 0
    cdef int64_t *found = NULL
    cdef int64_t at = 0, length, size = data.shape[0], i
    cdef uint32_t kind
    cdef int64_t[::1] places
    if size == 0:
        return np.empty(0, np.int64), 0
    try:
        with nogil:
            while at < size:
                length = extent(&data[at], size - at, big_endian)
                if length <= 0:
                    break
                kind = word_32(&data[at], big_endian)
                if kind >= USER_TYPES and length > 2 * HEADER and (
                    kind in (HEADER_ATTR, HEADER_TRACING_DATA, EVENT_UPDATE, HEADER_FEATURE, COMPRESSED, COMPRESSED2)
                ):
                    found = <int64_t *>room(found, used, &capacity, sizeof(int64_t))
                    found[used] = at
                    used += 1
                at += length
        offsets = np.empty(used, np.int64)
        places = offsets
        for i in range(<int64_t>used):
            places[i] = found[i]
        return offsets, at
    finally:
        free(found)


cdef class PerfRecords:
    def __cinit__(self, list layouts, list sides, list need_bytes, *, bint same_trailers, bint big_endian=False):
        """layouts: for each event a dict of struct Layout and its ids; sides: for each type below KINDS a tuple of struct Side."""
        cdef int32_t i, j
        self.groups = RowGroups(need_bytes, big_endian=big_endian)
        self.big_endian = big_endian
        self.layout_count = len(layouts)
        self.layouts = <Layout *>calloc(self.layout_count + 1, sizeof(Layout))
        self.sides = <Side *>calloc(KIND_COUNT, sizeof(Side))
        if self.layouts == NULL or self.sides == NULL:
            raise MemoryError
        if self.layout_count == 0 or len(sides) != KIND_COUNT:
            raise ValueError("no events, or not all types of records")
        self.same_trailers = same_trailers
        self.last_layout = -1
        self.last_thread = -1
        self.held = []
        for i, told in enumerate(layouts):
            self._set_layout(&self.layouts[i], told)
            for number in told["ids"]:
                if get(&self.layout_of, number, 0) < 0:
                    put(&self.layout_of, number, 0, i)
        self.id_layouts = first_of([told["head"][:1] for told in layouts])
        self.trailer_layouts = first_of([(told["trailer"][0], told["trailer_bytes"]) for told in layouts])
        for i, (group, trailer_group, time_at) in enumerate(sides):
            for j in (group, trailer_group):
                if j >= 0:
                    self.groups.group_at(j)
            self.sides[i] = Side(group=group, trailer_group=trailer_group, time_at=time_at)

    cdef int _set_layout(self, Layout *layout, dict told) except -1:
        cdef int j
        layout.sample_type, layout.read_format, layout.branch_type = told["sample_type"], told["read_format"], told["branch_type"]
        layout.user_registers, layout.interrupt_registers = told["user_registers"], told["interrupt_registers"]
        layout.head_bytes, layout.trailer_bytes, layout.big_endian = told["head_bytes"], told["trailer_bytes"], self.big_endian
        layout.id_at, layout.tid_at, layout.time_at, layout.cpu_at = told["head"]
        layout.trailer_id_at, layout.trailer_time_at, layout.trailer_cpu_at = told["trailer"]
        if layout.head_bytes < HEADER or max(layout.id_at, layout.tid_at, layout.time_at, layout.cpu_at) + 8 > <int64_t>layout.head_bytes:
            raise ValueError("a field outside of the sample's head")
        j = max(layout.trailer_id_at, layout.trailer_time_at, layout.trailer_cpu_at)
        if j >= 0 and j + 8 > <int64_t>layout.trailer_bytes:
            raise ValueError("a field outside of the trailer")
        for j in range(PARTS):
            layout.groups[j] = told["groups"][j]
            if layout.groups[j] >= 0:
                self.groups.group_at(layout.groups[j])
        return 0

    def __dealloc__(self):
        free(self.layouts)
        free(self.sides)
        free(self.entries)
        free(self.naming)
        free(self.layout_of.entries)
        free(self.process_of.entries)

    def walk(self, const uint8_t[::1] data not None):
        """Index the records; the bytes must stay as they are. Returns how many bytes were whole records."""
        cdef int64_t at = 0, size = data.shape[0], length
        cdef uint32_t kind
        if size == 0:
            return 0
        self.held.append(data)
        with nogil:
            while at < size:
                length = extent(&data[at], size - at, self.big_endian)
                if length <= 0:
                    break
                kind = word_32(&data[at], self.big_endian)
                if kind < USER_TYPES:
                    self.take(&data[at], kind, word_16(&data[at + 6], self.big_endian))
                elif AUXTRACE_INFO <= kind <= AUXTRACE_ERROR or STAT_CONFIG <= kind <= STAT_ROUND or kind > COMPRESSED2:
                    self.skipped += 1
                at += length
        return at

    def times(self):
        """The time of each record in the order of the file; 0 for those without."""
        times = np.empty(self.used, np.uint64)
        cdef size_t i
        cdef uint64_t[::1] out = times
        for i in range(self.used):
            out[i] = self.entries[i].time
        return times

    def sort(self, const int64_t[::1] order not None):
        """Say in which order `fill` hands out the records."""
        if order.shape[0] != <int64_t>self.used:
            raise ValueError("not an order of these records")
        self.order = order

    def fill(self, int64_t begin, int64_t end):
        """Put the records [begin, end) of the order into the groups, in place of what they held."""
        cdef int64_t i, which, number = <int64_t>self.used
        cdef bint enough = True
        self.groups.clear()
        if begin < 0 or begin > end or end > number or self.order is None:
            raise IndexError(begin)
        with nogil:
            for i in range(begin, end):
                which = self.order[i]
                if which < 0 or which >= number:
                    with gil:
                        raise ValueError("not an order of these records")
                enough = enough and self._rows_of(&self.entries[which], i)
        if not enough:
            raise MemoryError

    cdef bint _rows_of(self, const Entry *entry, int64_t seq) noexcept nogil:
        cdef Piece pieces[5]
        cdef uint32_t size = word_16(entry.data + 6, self.big_endian), trailer, kind
        cdef const Side *side
        cdef const Layout *layout
        cdef int j
        if word_32(entry.data, self.big_endian) == RECORD_SAMPLE:
            layout = &self.layouts[entry.layout]
            locate(layout, entry.data, size, pieces)
            for j in range(PARTS):
                if layout.groups[j] >= 0 and not self.add_row(layout.groups[j], &pieces[j], entry, seq):
                    return False
            return True
        side = &self.sides[kind_of(entry.data, self.big_endian)]
        trailer = self.layouts[entry.layout].trailer_bytes
        pieces[0].data, pieces[0].bytes = entry.data, size - trailer
        pieces[1].data, pieces[1].bytes = entry.data + size - trailer, trailer
        if not self.add_row(side.group, &pieces[0], entry, seq):
            return False
        return side.trailer_group < 0 or self.add_row(side.trailer_group, &pieces[1], entry, seq)

    cdef bint add_row(self, int32_t group, const Piece *piece, const Entry *entry, int64_t seq) noexcept nogil:
        cdef Row *row = self.groups.new_row(group)
        if row == NULL:
            return False
        row.data, row.bytes = piece.data, piece.bytes
        row.seq, row.stream = seq, entry.cpu + 1
        row.ts = entry.time if entry.time else self.first_time
        return True

    def processes(self):
        """Process by thread, as the latest record of each thread says."""
        cdef size_t i
        if self.process_of.entries == NULL:
            return {}
        return {
            self.process_of.entries[i].a: self.process_of.entries[i].value
            for i in range(self.process_of.mask + 1) if self.process_of.entries[i].taken
        }

    def names(self):
        """Name by thread: the last one it had. A new thread has its parent's until it gets one of its own."""
        cdef const uint8_t *record
        cdef uint32_t size
        names = {}
        for _, number in sorted([(self.entries[self.naming[i]].time, self.naming[i]) for i in range(self.naming_used)]):
            record = self.entries[<size_t>number].data
            if word_32(record, self.big_endian) == RECORD_COMM:
                size = word_16(record + 6, self.big_endian) - self.layouts[self.entries[<size_t>number].layout].trailer_bytes
                names[<int32_t>word_32(record + 12, self.big_endian)] = record[16:size].partition(b"\0")[0].decode("utf-8", "replace")
            elif <int32_t>word_32(record + 20, self.big_endian) in names:
                names.setdefault(<int32_t>word_32(record + 16, self.big_endian), names[<int32_t>word_32(record + 20, self.big_endian)])
        return names

    def __len__(self):
        return self.used

    cdef int take(self, const uint8_t *record, uint32_t kind, uint32_t size) except -1 nogil:
        if kind == RECORD_SAMPLE:
            return self.take_sample(record, size)
        if kind >= KIND_MMAP2_BUILD_ID or self.sides[kind].group < 0:
            self.skipped += 1
            return 0
        return self.take_side(record, kind_of(record, self.big_endian), size)

    cdef int take_sample(self, const uint8_t *record, uint32_t size) except -1 nogil:
        cdef Piece pieces[5]
        cdef int32_t number = self.layout_of_sample(record, size)
        cdef const Layout *layout
        cdef uint64_t time = 0
        cdef int j
        self.samples += 1
        if number < 0:
            self.samples_unknown += 1
            return 0
        layout = &self.layouts[number]
        if not locate(layout, record, size, pieces):
            self.bad_bytes += size
            return 0
        for j in range(PARTS):
            if layout.groups[j] >= 0 and pieces[j].bytes < self.groups.groups[layout.groups[j]].need_bytes:
                self.bad_bytes += size
                return 0
        if layout.time_at >= 0:
            time = word_64(record + layout.time_at, self.big_endian)
        if time == 0 or time >= NEVER:
            self.samples_undated += 1
        if layout.tid_at >= 0:
            self.belongs(record + layout.tid_at + 4, record + layout.tid_at)
        return self.enter(record, time, number, word_32(record + layout.cpu_at, self.big_endian) if layout.cpu_at >= 0 else NO_CPU)

    cdef int take_side(self, const uint8_t *record, uint32_t kind, uint32_t size) except -1 nogil:
        cdef const Side *side = &self.sides[kind]
        cdef int32_t number = self.layout_of_trailer(record, size)
        cdef const Layout *layout = &self.layouts[number]
        cdef const uint8_t *trailer
        cdef uint64_t time = 0
        cdef uint32_t cpu = NO_CPU
        if size < layout.trailer_bytes or size - layout.trailer_bytes < self.groups.groups[side.group].need_bytes:
            self.bad_bytes += size
            return 0
        trailer = record + (size - layout.trailer_bytes)
        if layout.trailer_time_at >= 0:
            time = word_64(trailer + layout.trailer_time_at, self.big_endian)
        elif side.time_at >= 0:
            time = word_64(record + side.time_at, self.big_endian)
        if layout.trailer_cpu_at >= 0:
            cpu = word_32(trailer + layout.trailer_cpu_at, self.big_endian)
        if kind == RECORD_FORK:
            self.belongs(record + 16, record + 8)
        elif kind in (RECORD_MMAP, RECORD_MMAP2, RECORD_COMM):
            self.belongs(record + 12, record + 8)
        if kind == RECORD_FORK or kind == RECORD_COMM:
            self.naming = <size_t *>room(self.naming, self.naming_used, &self.naming_capacity, sizeof(size_t))
            self.naming[self.naming_used] = self.used
            self.naming_used += 1
        return self.enter(record, time, number, cpu)

    cdef int enter(self, const uint8_t *record, uint64_t time, int32_t layout, uint32_t cpu) except -1 nogil:
        cdef Entry *entry
        self.entries = <Entry *>room(self.entries, self.used, &self.capacity, sizeof(Entry))
        entry = &self.entries[self.used]
        self.used += 1
        entry.data, entry.layout = record, layout
        entry.time = time if time < NEVER else 0
        entry.cpu = <int32_t>cpu if cpu < MOST_CPUS else -1
        if entry.cpu >= self.cpus:
            self.cpus = entry.cpu + 1
        if entry.time and (not self.first_time or entry.time < self.first_time):
            self.first_time = entry.time
        return 0

    cdef int belongs(self, const uint8_t *thread_at, const uint8_t *process_at) except -1 nogil:
        """A task that is about to be gone has no numbers any more (perf_event_pid of kernel/events/core.c): that tells nothing."""
        cdef int32_t thread = <int32_t>word_32(thread_at, self.big_endian), process = <int32_t>word_32(process_at, self.big_endian)
        cdef int64_t both
        if process < 0 or thread < 0 or (process == 0 and thread != 0):
            return 0
        both = <int64_t>thread << 32 | process
        if both == self.last_thread:
            return 0
        self.last_thread = both
        return put(&self.process_of, <uint64_t>thread, 0, process)

    cdef int32_t layout_of_sample(self, const uint8_t *record, uint32_t size) noexcept nogil:
        """By its id, which stands where the event that has this id says."""
        cdef int32_t i, at, before = -1
        cdef int64_t found
        cdef uint64_t number
        for i in range(self.id_layouts.shape[0]):
            at = self.layouts[self.id_layouts[i]].id_at
            if <int64_t>size - at < 8:
                continue
            before = at
            number = word_64(record + at, self.big_endian)
            if self.last_layout >= 0 and number == self.last_id and self.layouts[self.last_layout].id_at == at:
                return self.last_layout
            found = get(&self.layout_of, number, 0)
            if found >= 0 and self.layouts[found].id_at == at:
                self.last_id, self.last_layout = number, <int32_t>found
                return self.last_layout
        # As tools/perf/util/evlist.c does: the only event there is, or the first one for an id of 0.
        if self.layout_count == 1 or before < 0 or (before >= 0 and word_64(record + before, self.big_endian) == 0):
            return 0
        return -1

    cdef int32_t layout_of_trailer(self, const uint8_t *record, uint32_t size) noexcept nogil:
        cdef int32_t i
        cdef uint32_t behind
        cdef int64_t found
        cdef const Layout *layout
        if self.same_trailers:
            return 0
        for i in range(self.trailer_layouts.shape[0]):
            layout = &self.layouts[self.trailer_layouts[i]]
            behind = layout.trailer_bytes - layout.trailer_id_at
            if size >= layout.trailer_bytes:
                found = get(&self.layout_of, word_64(record + size - behind, self.big_endian), 0)
                if found >= 0 and self.layouts[found].trailer_id_at >= 0:
                    if self.layouts[found].trailer_bytes - self.layouts[found].trailer_id_at == behind:
                        return <int32_t>found
        return 0


cdef inline uint32_t kind_of(const uint8_t *record, bint swap) noexcept nogil:
    cdef uint32_t kind = word_32(record, swap)
    return KIND_MMAP2_BUILD_ID if kind == RECORD_MMAP2 and word_16(record + 4, swap) & MISC_MMAP_BUILD_ID else kind
