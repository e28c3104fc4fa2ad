"""Address spaces over time: which file page lies at a user address.

A later mapping replaces what it covers, as in the kernel. Without process ids a thread cannot be told from a forked
process; so every task has its own mappings, which it trusts, and shares those of its fork group, which it trusts less.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memmove

from replay._ext.hashing cimport room


cdef enum:
    MOST_COPIED = 0x200000


cdef size_t _after(Segments *segments, uint64_t addr) noexcept nogil:
    """Position of the first segment that ends after `addr`."""
    cdef size_t low = 0, high = segments.used, middle
    while low < high:
        middle = (low + high) // 2
        if segments.items[middle].end <= addr:
            low = middle + 1
        else:
            high = middle
    return low


cdef int _open_gap(Segments *segments, size_t at) except -1 nogil:
    segments.items = <Segment *>room(segments.items, segments.used, &segments.capacity, sizeof(Segment))
    memmove(&segments.items[at + 1], &segments.items[at], (segments.used - at) * sizeof(Segment))
    segments.used += 1
    return 0


cdef int _replace(Segments *segments, Segment new) except -1 nogil:
    """Cut what overlaps `new` and put it in; a segment of kind MAP_NONE only cuts."""
    cdef size_t first = _after(segments, new.start), last
    cdef Segment *old
    cdef uint64_t cut
    if first < segments.used and segments.items[first].start < new.start:
        old = &segments.items[first]
        if old.end > new.end:
            _open_gap(segments, first)
            segments.items[first + 1].pgoff += <int64_t>((new.end - segments.items[first + 1].start) >> 12)
            segments.items[first + 1].start = new.end
        segments.items[first].end = new.start
        first += 1
    last = first
    while last < segments.used and segments.items[last].end <= new.end:
        last += 1
    if last < segments.used and segments.items[last].start < new.end:
        cut = new.end - segments.items[last].start
        segments.items[last].pgoff += <int64_t>(cut >> 12)
        segments.items[last].start = new.end
    if last > first:
        memmove(&segments.items[first], &segments.items[last], (segments.used - last) * sizeof(Segment))
        segments.used -= last - first
    if new.kind != MAP_NONE:
        _open_gap(segments, first)
        segments.items[first] = new
    return 0


cdef class AddressSpaces:
    def __dealloc__(self):
        cdef size_t i
        for i in range(self.used):
            free(self.spaces[i].own.items)
            free(self.spaces[i].base.items)
        for i in range(self.groups_used):
            free(self.groups[i].all.items)
        free(self.spaces)
        free(self.groups)

    cdef int32_t new_space(self, int32_t parent) except -1 nogil:
        """A space without mappings of its own, in the group of `parent`, or in a new one if that is negative."""
        self.spaces = <Space *>room(self.spaces, self.used, &self.capacity, sizeof(Space))
        self.spaces[self.used].group = self.spaces[parent].group if parent >= 0 else self._new_group()
        self.used += 1
        return <int32_t>(self.used - 1)

    cdef int32_t _new_group(self) except -1 nogil:
        self.groups = <Group *>room(self.groups, self.groups_used, &self.groups_capacity, sizeof(Group))
        self.groups[self.groups_used].last_exit_ts = -1
        self.groups_used += 1
        return <int32_t>(self.groups_used - 1)

    cdef int map_range(self, int32_t space, Segment segment) except -1 nogil:
        if segment.end <= segment.start:
            return 0
        _replace(&self.spaces[space].own, segment)
        if segment.kind == MAP_NONE:
            _replace(&self.spaces[space].base, segment)
        _replace(&self.groups[self.spaces[space].group].all, segment)
        return 0

    cdef int precede(self, int32_t space, Segment segment) except -1 nogil:
        """A mapping of before the trace: gone with an exec, as what is copied by a fork, and what it does not cover is brk or stack."""
        if segment.end <= segment.start:
            return 0
        _replace(&self.spaces[space].base, segment)
        _replace(&self.groups[self.spaces[space].group].all, segment)
        self.groups[self.spaces[space].group].executed = 1
        return 0

    cdef int copy_base(self, int32_t space, int32_t parent) except -1 nogil:
        """A process that is known to be a fork of `parent` starts with a copy of its mappings; past MOST_COPIED without, so that n forks
        of n mappings do not take n * n: then it only inherits, which is less sure."""
        cdef size_t i
        self.copied += self.spaces[parent].base.used + self.spaces[parent].own.used
        if self.copied > MOST_COPIED:
            return 0
        for i in range(self.spaces[parent].base.used):
            _replace(&self.spaces[space].base, self.spaces[parent].base.items[i])
        for i in range(self.spaces[parent].own.used):
            _replace(&self.spaces[space].base, self.spaces[parent].own.items[i])
        return 0

    cdef int32_t exec_space(self, int32_t space, bint mapped) except -1 nogil:
        """The space of a new program: what was inherited is gone. If it is `mapped` its own mappings stay, since those of the new image are
        recorded before sched_process_exec (fs/exec.c: exec_binprm emits it last), and whatever else is stale is soon covered."""
        cdef size_t i
        cdef int32_t fresh = self.new_space(-1)
        self.groups[self.spaces[fresh].group].executed = 1
        self.copied += self.spaces[space].own.used if mapped else 0
        for i in range(self.spaces[space].own.used if mapped and self.copied <= MOST_COPIED else 0):
            self.map_range(fresh, self.spaces[space].own.items[i])
        return fresh

    cdef Found resolve(self, int32_t space, uint64_t addr, uint64_t end) noexcept nogil:
        """What lies at `addr`, and up to where the same answer holds."""
        cdef Found found
        cdef Segments *own = &self.spaces[space].own
        cdef Group *group = &self.groups[self.spaces[space].group]
        found.end, found.index, found.key, found.kind = end, -1, -1, MAP_NONE
        found.source = SOURCE_MAPPING
        if _look(own, addr, &found):
            return found
        if _look(&self.spaces[space].base, addr, &found):
            return found
        found.source = SOURCE_INHERITED
        if _look(&group.all, addr, &found):
            return found
        # brk and the stack do not go through mmap_region: in a process whose mappings are known from its exec on, they are the rest.
        if group.executed and group.all.used:
            found.kind, found.source = MAP_ANONYMOUS, SOURCE_ANONYMOUS
        else:
            found.source = SOURCE_UNRESOLVED
        return found


cdef bint _look(Segments *segments, uint64_t addr, Found *found) noexcept nogil:
    cdef size_t at = _after(segments, addr)
    cdef Segment *segment
    if at == segments.used:
        return False
    segment = &segments.items[at]
    if addr < segment.start:
        found.end = min(found.end, segment.start)
        return False
    found.end = min(found.end, segment.end)
    found.key, found.kind = segment.key, segment.kind
    found.index = segment.pgoff + <int64_t>((addr - segment.start) >> 12)
    return True
