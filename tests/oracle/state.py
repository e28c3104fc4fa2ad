"""What the oracle knows of the world: pages, pins, regions and tasks as plain objects, and the rows it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from replay.params import Value
from replay.policies import Policy
from replay.units import Cost

Event = dict[str, Any]
PAGE_BYTES = 4096
FOREVER = 1 << 62


@dataclass(eq=False)
class Page:
    """One instance of a page of a file. `dirty` is the policy's truth, `recorded_dirty` that of the recorded kernel."""

    file: str
    index: int
    pins: list[Pin] = field(default_factory=list)
    dirty: bool = False
    recorded_dirty: bool = False
    cleaned: bool = False  # written back under a write pin, and not dirtied since
    written_at: int = 0  # when it was last written back
    skipped: bool = False  # the policy skipped its writeback, and it was never written since
    device_wrote: bool = False  # since it was last written back
    bounced_at: int | None = None  # kept dirty by bounce alone since then
    bounces: int = 0
    in_file: bool = True
    busy: bool = False  # its freed block cannot be used again before the last pin drops
    lent: bool = False  # an allocation found its block busy and took another
    mapped_by: Region | None = None  # on-demand paging: reachable for the device

    def written_by(self) -> list[Pin]:
        return [pin for pin in self.pins if pin.write]

    def long_pins(self) -> list[Pin]:
        return [pin for pin in self.pins if pin.region is not None]

    def kept(self) -> bool:
        """Dirty only because the policy kept it so."""
        return self.dirty and not self.recorded_dirty


@dataclass(eq=False)
class Pin:
    """A pinned range. It holds page instances, not places in a file. A long-term pin belongs to a region."""

    region: Region | None
    tid: int
    tgid: int
    file: str
    index: int
    npages: int
    write: bool
    pages: list[Page] = field(default_factory=list)

    def reaches(self, file: str, first: int, end: int) -> bool:
        return self.file == file and self.index < end and first < self.index + self.npages


@dataclass(eq=False)
class Region:
    """An MR, or a long-term pin that belongs to none. `state`: live, refused, revoked, gone."""

    number: int
    tid: int
    tgid: int
    device: Any
    write: bool
    file: str
    index: int
    npages: int
    left: int  # pages of it that can still be pinned: a truncate cuts the rest off
    since: int  # when it was registered, or registered again
    pins: list[Pin] = field(default_factory=list)
    state: str = "live"
    revoked_by: Any = None
    paged: bool = False  # on demand, instead of a pin


@dataclass(eq=False)
class Operation:
    """A task's current operation on a file's layout."""

    event: Event
    until: int  # recorded end
    failed: bool = False
    waited: bool = False
    told: bool = False
    breaks: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class Task:
    """A thread: its recorded events, how late it runs, and what it waits for."""

    tid: int
    tgid: int
    events: list[Event] = field(default_factory=list)
    shift: int = 0
    recorded_wait: int = 0  # of the recorded kernel, to be taken out of the clock
    recorded_wait_end: int = 0
    sync_until: int = -1  # recorded end of its current fsync
    operation: Operation | None = None
    wait: Wait | None = None
    stalled_since: int | None = None
    stalled_in: str = ""
    dead: bool = False
    killed: bool = False


@dataclass(eq=False)
class Wait:
    """A task asleep in an event. Once `ready()`, the event is handled again."""

    event: Event
    since: int
    ready: Callable[[], bool]


@dataclass(eq=False)
class World:
    """Everything, and the outcome so far."""

    policy: Policy
    params: dict[str, Value]
    first: int = 0
    end: int = 0
    now: int = 0
    over: bool = False
    shows_deletes: bool = False  # pages leave the cache where the trace says so
    always_active: bool = False  # any region may be written at any time
    period: int = 0  # of a device that writes page after page; 0: no rate is assumed
    maps_at_once: bool = False  # on-demand paging: what is taken from the device comes back at once
    writes: list[int] = field(default_factory=list)  # how long recorded writebacks took
    pages: dict[tuple[str, int], Page] = field(default_factory=dict)
    every_page: list[Page] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    tasks: dict[int, Task] = field(default_factory=dict)
    dax: set[str] = field(default_factory=set)
    holes: set[tuple[str, int]] = field(default_factory=set)
    shared: set[tuple[str, int]] = field(default_factory=set)
    locks: dict[str, Any] = field(default_factory=dict)  # InodeLock by file
    freed: dict[tuple[str, int], Page] = field(default_factory=dict)  # the latest page there that was freed while pinned
    reserve: int = 0  # free blocks that the trace does not show
    timers: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    timers_made: int = 0
    torn_down: set[tuple[int, Any]] = field(default_factory=set)  # contexts (process, device) that a time-out took away
    conflicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    empty: Counter[tuple[str, str]] = field(default_factory=Counter)  # breaks that met no pinned page
    stalls: list[tuple[str, int, bool]] = field(default_factory=list)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    revocations: Counter[str] = field(default_factory=Counter)
    costs: Counter[str] = field(default_factory=Counter)

    def ns(self, name: str, npages: int = 0) -> int:
        """A duration, or a cost for so many pages."""
        value = self.params[name]
        if isinstance(value, Cost):
            return value.ns(npages)
        assert isinstance(value, int)
        return value

    def service(self, npages: int) -> int:
        """Writing pages: as long as the mean of what the recording shows, or the parameter's cost."""
        value = self.params["writeback.service"]
        if isinstance(value, Cost):
            return value.ns(npages)
        return sum(self.writes) // len(self.writes) if self.writes else Cost(100_000_000, 1_907_000).ns(npages)

    def in_memory(self, file: str) -> bool:
        """Of shmem: nothing is ever written back."""
        return file.startswith("0:1:")

    def conflict(self, name: str, file: str | None, npages: int) -> None:
        if npages:
            self.conflicts[name, file or ""] += npages

    def page(self, file: str, index: int) -> Page:
        """The page that is there now; a new instance where none is."""
        if (file, index) not in self.pages:
            self.pages[file, index] = Page(file, index)
            self.every_page.append(self.pages[file, index])
        return self.pages[file, index]

    def here(self, file: str, first: int, npages: int | None) -> list[Page]:
        """The pages of a range that are there, in order."""
        found = [page for (name, index), page in self.pages.items() if name == file and index >= first]
        return sorted((page for page in found if npages is None or page.index < first + npages), key=lambda page: page.index)

    def timer(self, when: int, action: Callable[[], None]) -> None:
        """Something that the policy itself does at a time, after what was recorded at that time."""
        self.timers_made += 1
        self.timers.append((when, self.timers_made, action))

    def sleep(self, task: Task, event: Event, op: str, ready: Callable[[], bool]) -> None:
        """Put a task to sleep within its event. A stall that goes on keeps its beginning and its operation."""
        if task.stalled_since is None:
            task.stalled_since, task.stalled_in = self.now, op
        task.wait = Wait(event, self.now, ready)

    def end_stall(self, task: Task) -> None:
        """The task's stall, if it is in one, is over. One of no length is none."""
        if task.stalled_since is not None and self.now > task.stalled_since:
            self.stalls.append((task.stalled_in, self.now - task.stalled_since, False))
        task.stalled_since = None


def runs(pages: list[Page]) -> list[list[Page]]:
    """Pages in groups of adjacent ones."""
    groups: list[list[Page]] = []
    for page in pages:
        if groups and groups[-1][-1].index + 1 == page.index:
            groups[-1].append(page)
        else:
            groups.append([page])
    return groups
