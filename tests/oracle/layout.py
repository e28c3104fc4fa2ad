"""Decisions `layout`, `reclaim` and `free`: a page loses its place in the file, its memory, or its blocks."""

from __future__ import annotations

from oracle.device import invalidate
from oracle.inodelock import acquire, keep, keep_longer
from oracle.lease import break_leases, reregister_after
from oracle.pinning import leave_file
from oracle.state import FOREVER, Event, Operation, Page, Task, World

DROPPING = ("truncate", "punch", "collapse")


def choice(world: World, file: str) -> str:
    return world.policy.layout_dax if file in world.dax else world.policy.layout_cache


def extent(event: Event) -> tuple[int, int | None]:
    """First page and length of the operation's range; None: to the end of the file."""
    return event.get("index") or 0, None if event["op"] == "truncate" else event.get("npages") or 1


def in_range(world: World, event: Event) -> list[Page]:
    return world.here(event["file"], *extent(event))


def locked(world: World, task: Task, event: Event, again: bool) -> None:
    """An operation that has the inode to itself."""
    how = acquire(world, task, event, again)
    if how == "queues":
        return
    if event["op"] == "fallocate":
        fill(world, event)
    else:
        layout(world, task, event, again and how == "has")
    keep(world, task, event)


def fill(world: World, event: Event) -> None:
    """Places get blocks."""
    if "index" in event:
        length = event.get("npages") or event.get("nblocks") or 1
        world.holes -= {(event["file"], event["index"] + n) for n in range(length)}


def layout(world: World, task: Task, event: Event, again: bool) -> None:
    """truncate, punch, collapse and reflink. One that slept is handled again when it wakes."""
    if not again:
        until = FOREVER if "dur" in event and event["dur"] is None else event["ts"] + (event.get("dur") or 0)
        task.operation = Operation(event, until)
    if (event.get("result") or 0) < 0:
        return
    decision = choice(world, event["file"])
    if decision == "wait":
        wait(world, task, event)
    elif decision == "break_lease":
        break_lease(world, task, event)
    elif decision == "fail":
        fail(world, task, event)
    elif decision == "proceed_busy":
        proceed_busy(world, event)
    elif decision == "invalidate":
        if not again:
            invalidate(world, task, in_range(world, event), again=False)
        settle_short_pins(world, task, event)
    else:
        orphan(world, event)


def orphan(world: World, event: Event) -> None:
    """The operation goes on and its pages leave the cache, pinned or not."""
    if event["op"] == "reflink":  # keeps the pages, but shares their blocks
        first, npages = extent(event)
        world.shared |= {(event["file"], first + n) for n in range(npages or 0)}
    elif event["file"] in world.dax or not world.shows_deletes:
        let_go(world, event["file"], *extent(event), freed=True)


def let_go(world: World, file: str, first: int, npages: int | None, freed: bool) -> None:
    for page in world.here(file, first, npages):
        if page.pins:
            world.conflict("truncate_while_pinned", file, 1)
            if freed and world.policy.free == "busy":
                world.conflict("space_held", file, 1)
                page.busy = True
    leave_file(world, file, first, npages, freed)


def wait(world: World, task: Task, event: Event) -> None:
    """Sleep until no page of the range is pinned; there is no time-out."""
    assert task.operation is not None
    pinned = [page for page in in_range(world, event) if page.pins]
    if not task.operation.told:
        world.conflict("layout_break", event["file"], len(pinned))
        task.operation.told = True
    if pinned:
        task.operation.waited = True
        world.sleep(task, event, event["op"], lambda: not any(page.pins for page in in_range(world, event)))
    else:
        orphan(world, event)


def settle_short_pins(world: World, task: Task, event: Event) -> None:
    """Short-term pins have no lease: a DAX file waits for them, as kernels do, and a page cache file lets the page go."""
    if event["file"] in world.dax:
        wait(world, task, event)
    else:
        orphan(world, event)


def break_lease(world: World, task: Task, event: Event) -> None:
    assert task.operation is not None
    if break_leases(world, task, event):
        task.operation.waited = True
        return
    settle_short_pins(world, task, event)
    if task.wait is None:
        reregister_after(world, task, event)


def fail(world: World, task: Task, event: Event) -> None:
    """An exclusive lease denies others; a file that is locked down denies everyone. Nothing changes then."""
    assert task.operation is not None
    pinned = [page for page in in_range(world, event) if page.long_pins()]
    leased = "need_lease" in world.policy.admit
    if not pinned:
        settle_short_pins(world, task, event)
    elif leased and all(pin.tgid == task.tgid for page in pinned for pin in page.long_pins()):
        orphan(world, event)
    else:
        world.conflict("lease_denied" if leased else "failed_fs_op", event["file"], len(pinned))
        world.costs["failed_fs_ops"] += 1
        task.operation.failed = True


def proceed_busy(world: World, event: Event) -> None:
    """The operation goes on; the blocks of pinned pages stay busy until their last pin drops."""
    if event["op"] == "reflink":
        orphan(world, event)
    elif event["file"] in world.dax or not world.shows_deletes:
        release_busy(world, event["file"], *extent(event), freed=True)


def release_busy(world: World, file: str, first: int, npages: int | None, freed: bool) -> None:
    for page in world.here(file, first, npages):
        if page.pins:
            world.conflict("space_held", file, 1)
            page.busy = True
            world.freed[file, page.index] = page
    leave_file(world, file, first, npages, freed)


def block_alloc(world: World, event: Event) -> None:
    """Blocks that pages gave up while pinned: reused under the device's hands, or busy, so that others must do."""
    for place in event["reuses"]:
        page = world.freed.pop(place, None)
        if page is None or not page.pins:
            continue
        if not page.busy:
            world.conflict("reuse_while_pinned", page.file, 1 if page.file in world.dax else 0)
        elif world.reserve:
            world.reserve -= 1
            page.lent = True
        else:
            world.conflict("enospc_induced", page.file, 1)


def cache_del(world: World, task: Task, event: Event) -> None:
    """A page leaves the cache: within its task's operation (but not if the policy makes that fail), or by itself."""
    operation = task.operation
    nested = operation is not None and event["ts"] <= operation.until and operation.event["file"] == event["file"]
    first, npages = extent(event)
    if nested and operation is not None and operation.failed:
        return
    decision = choice(world, event["file"])
    if decision == "invalidate" and not nested:
        invalidate(world, task, in_range(world, event), again=False)
    if decision == "proceed_busy":
        release_busy(world, event["file"], first, npages, nested)
    else:
        let_go(world, event["file"], first, npages, nested)


def recorded_wait(world: World, task: Task, event: Event) -> None:
    """The recorded kernel made this task wait, which goes; what the policy does instead is modelled. A recorded wait for
    busy DAX pages whose pins the trace does not show is evidence of such pins, where the policy waits too."""
    operation = task.operation
    inside = operation is not None and event["ts"] <= operation.until
    waits = choice(world, event["file"]) in ("wait", "break_lease")
    is_open = "dur" in event and event["dur"] is None
    dur = event.get("dur") or 0
    known = inside and operation is not None and operation.waited
    if event["op"] == "layout_wait" and waits and not known and (dur or is_open):
        _, npages = extent(event)
        world.conflict("layout_break", event["file"], npages or 1)
        op = operation.event["op"] if inside and operation is not None else "layout_wait"
        world.stalls.append((op, max(0, world.end - world.now) if is_open else dur, is_open))
        if inside:
            keep_longer(world, task, None if is_open else dur)
    elif dur > 0:
        task.recorded_wait += dur
        task.recorded_wait_end = event["ts"] + dur


def reclaim(world: World, task: Task, event: Event) -> None:
    """Reclaim, migration or compaction picks pages. References of a pin always make migration give up."""
    pages = world.here(event["file"], event.get("index") or 0, event.get("npages") or 1)
    if world.policy.reclaim == "invalidate":
        invalidate(world, task, pages, again=True)
    stripped = "priv_released_pinned" if world.policy.reclaim == "strip" else "unmap_refused"
    for page in pages:
        if page.pins:
            world.conflict("migrate_refused" if event["op"] == "migrate" else stripped, page.file, 1)
