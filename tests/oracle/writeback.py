"""Decision `writeback`: a page is about to be written, and a device may write it at the same time."""

from __future__ import annotations

from oracle.device import accessed, invalidate
from oracle.pinning import clean
from oracle.state import FOREVER, PAGE_BYTES, Event, Page, Task, World


def writeback(world: World, task: Task, event: Event) -> None:
    """What the recorded kernel wrote. DAX has nothing to write back."""
    if event["file"] in world.dax or world.in_memory(event["file"]):
        return
    inside = event["ts"] < task.sync_until
    sync = bool(event.get("sync")) or inside
    op = "fsync" if inside else "writeback"
    pages = [world.page(event["file"], event["index"] + n) for n in range(event.get("npages") or 1)]
    decision = world.policy.writeback
    waiting = [page for page in pages if page.written_by()] if decision == "hold" and sync else []
    copies = 0
    for page in pages:
        if not page.written_by():
            clean(world, page)
        elif waiting:
            continue
        elif decision in ("write", "invalidate"):
            world.conflict("wb_while_pinned", page.file, 1)
            clean(world, page)
        elif decision == "bounce" or (decision == "bounce_sync" and sync):
            copies += 1
            bounce(world, page)
        else:
            page.dirty = page.skipped = True
            page.recorded_dirty = False
    write_when_free(world, task, event, waiting, op)
    if decision == "invalidate":
        invalidate(world, task, pages, again=True)
    if copies:
        task.shift += world.ns("bounce.copy", copies)


def write_when_free(world: World, task: Task, event: Event, left: list[Page], op: str) -> None:
    """Writeback for integrity goes through its pages in order and waits at each for its write pins to drop."""
    if left:
        world.sleep(task, event, op, lambda: pass_free(world, left))


def pass_free(world: World, left: list[Page]) -> bool:
    while left and not (left[0].in_file and left[0].written_by()):
        clean(world, left.pop(0))
    return not left


def bounce(world: World, page: Page) -> None:
    """Write a copy, which is torn if the device writes meanwhile. The page stays dirty."""
    if world.always_active or page.device_wrote or accessed(world, page):
        world.conflict("torn_snapshot", page.file, 1)
    world.costs["bounce_bytes"] += PAGE_BYTES
    page.dirty = True
    page.recorded_dirty = page.skipped = page.device_wrote = False
    page.bounced_at = page.written_at = world.now
    page.bounces += 1
    if world.policy.writeback == "bounce" and world.ns("writeback.interval"):
        flush_later(world, page, world.now)


def flush_later(world: World, page: Page, since: int) -> None:
    """The flusher wakes every interval from the trace's beginning, and writes what is old enough."""
    interval, expire = world.ns("writeback.interval"), world.ns("writeback.expire")
    wakes = -(-(since - world.first + expire) // interval)
    when = world.first + wakes * interval
    if when == since:
        when += interval
    began = page.bounces

    def flush() -> None:
        if page.bounces == began and page.bounced_at is not None and page.kept() and page.written_by() and world.now < world.end:
            world.costs["bounce_bytes"] += PAGE_BYTES
            world.costs["rewrite_bytes"] += PAGE_BYTES
            flush_later(world, page, when)

    world.timer(when, flush)


def fsync(world: World, task: Task, event: Event) -> None:
    """What is clean although the device wrote it is missed. What the policy kept dirty is met here, before what was recorded."""
    file, first = event["file"], event.get("index") or 0
    npages = event.get("npages") if event.get("index") is not None else None
    task.sync_until = FOREVER if "dur" in event and event["dur"] is None else event["ts"] + (event.get("dur") or 0)
    if world.in_memory(file):
        return
    pages = world.here(file, first, npages)
    decision = world.policy.writeback
    more = 0  # pages that this fsync did not write in the recording: it lasts for as long as that takes, which is no wait for a pin
    for page in pages:
        wrote = page.device_wrote or (page.cleaned and (world.always_active or accessed(world, page)))
        if page.written_by() and not page.dirty and wrote:
            world.conflict("fsync_misses_pinned", file, 1)
    if file in world.dax:  # the caches behind what CPUs dirtied are flushed
        for page in pages:
            if page.dirty:
                clean(world, page)
        return
    if decision == "hold":
        more += len([page for page in pages if page.kept() and page.written_by()])
        write_when_free(world, task, event, [page for page in pages if page.dirty and page.written_by()], "fsync")
    copies = 0
    kept = [page for page in pages if page.kept()]
    for page in pages:
        if page.kept() and not page.written_by():
            more += 1
            clean(world, page)
        elif page.kept() and decision in ("write", "invalidate"):
            more += 1
            world.conflict("wb_while_pinned", file, 1)
            clean(world, page)
        elif page.kept() and decision in ("bounce", "bounce_sync"):
            world.costs["rewrite_bytes"] += 0 if page.skipped else PAGE_BYTES
            more += 1
            copies += 1
            bounce(world, page)
    if decision == "invalidate":
        invalidate(world, task, kept, again=True)
    if more:
        task.shift += max(0, world.service(more) - (event.get("dur") or 0))
    if copies:
        task.shift += world.ns("bounce.copy", copies)
