"""The device: remote accesses, and on-demand paging."""

from __future__ import annotations

from oracle.state import PAGE_BYTES, Event, Page, Region, Task, World, runs


def remote(world: World, task: Task, event: Event, region: Region) -> None:
    """A remote access through a region, in whatever state the policy has left it."""
    npages = event.get("npages") or 1
    size = event.get("bytes") or 0
    if region.state == "refused":
        world.costs["lost_remote_ops"] += 1
        world.costs["lost_remote_bytes"] += size
    elif region.state == "revoked":
        world.costs["failed_remote_ops"] += 1
        world.conflict("remote_op_failed", event["file"], npages)
    elif region.state == "live" and region.paged:
        access_on_demand(world, event, region)
    elif region.state == "live" and event["op"] == "remote_write":
        places = range(event["index"], event["index"] + npages)
        written = [page for pin in region.pins for page in pin.pages if page.file == event["file"] and page.index in places]
        for page in written:
            page.device_wrote = True
        orphans = len([page for page in written if not page.in_file])
        world.costs["orphaned_write_bytes"] += min(size, orphans * PAGE_BYTES)


def access_on_demand(world: World, event: Event, region: Region) -> None:
    """Pages that the device cannot reach are faulted in first, and the remote side waits for that. A write fault dirties."""
    pages = [world.page(event["file"], event["index"] + n) for n in range(event.get("npages") or 1)]
    took = 0
    for group in runs([page for page in pages if page.mapped_by is None]):
        took += world.ns("odp.fault", len(group))
        world.costs["odp_faults"] += 1
        for page in group:
            page.mapped_by = region
    if event["op"] == "remote_write":
        for page in pages:
            page.dirty = True
    if took:
        world.stalls.append((event["op"], took, False))


def accessed(world: World, page: Page) -> bool:
    """Whether a device at its assumed rate has written the page since it was last written back, through any region. A region's
    first access ends one period after its registration, at its first page; each page is written again once all were."""
    for pin in page.written_by():
        region = pin.region
        if region is None or not world.period:
            continue
        since, cycle = max(page.written_at, region.since), region.left * world.period
        first = region.since + (page.index - region.index + 1) * world.period
        passed = max(0, (since - first) // cycle + 1)
        if first + passed * cycle <= world.now:
            return True
    return False


def map_all(world: World, region: Region) -> None:
    """A device that is assumed to be at work all the time faults everything in at once."""
    world.costs["odp_faults"] += 1
    for n in range(region.npages):
        page = world.page(region.file, region.index + n)
        page.mapped_by = region
        page.dirty = page.dirty or region.write


def invalidate(world: World, task: Task, pages: list[Page], again: bool) -> None:
    """Take pages from the device; the task pays. `again`: a device that is always at work faults them in anew."""
    for group in runs([page for page in pages if page.mapped_by is not None]):
        world.costs["odp_invalidations"] += 1
        task.shift += world.ns("odp.invalidate", len(group))
        if again and world.maps_at_once:
            world.costs["odp_faults"] += 1
            for page in group:
                assert page.mapped_by is not None
                page.dirty = page.dirty or page.mapped_by.write
        else:
            for page in group:
                page.mapped_by = None
