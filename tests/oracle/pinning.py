"""What pins do to pages whatever the policy: taking them, dropping them, dirtying pages, and pages leaving a file."""

from __future__ import annotations

from oracle.state import FOREVER, Event, Page, Pin, Region, World


def take_pin(world: World, pin: Pin, recorded: bool) -> None:
    """Pin the pages that are there now. A write pin faults them in for writing, which makes them dirty; a trace that does
    not show the page cache at work is taken at its word instead."""
    for index in range(pin.index, pin.index + pin.npages):
        page = world.page(pin.file, index)
        if pin.write and world.shows_deletes and pin.file not in world.dax:
            make_dirty(world, page, recorded)
        page.pins.append(pin)
        pin.pages.append(page)
    if pin.region is not None:
        pin.region.pins.append(pin)


def drop_pin(world: World, pin: Pin, how: str) -> None:
    """`how`: clean, dirty (the recorded release of a writable pin) or revoked (a release that was not recorded)."""
    if how != "clean" and pin.write and pin.file not in world.dax:
        dirty_by_release(world, pin, how == "dirty")
    for page in pin.pages:
        page.pins.remove(pin)
        if page.lent and not page.pins:
            world.reserve += 1
        if not page.written_by():
            page.cleaned = False
            page.bounced_at = None
    if pin.region is not None:
        pin.region.pins.remove(pin)
    pin.pages = []


def dirty_by_release(world: World, pin: Pin, recorded: bool) -> None:
    """Pages that were cleaned under the pin turn dirty behind the file system's back. A recorded release takes longer than
    it did by each page that it dirties here and did not in the recording."""
    more = 0
    for page in pin.pages:
        if page.in_file:
            if page.cleaned and not page.dirty:
                world.conflict("dirty_after_clean", page.file, 1)
            more += (not page.dirty) - (not page.recorded_dirty)
            make_dirty(world, page, recorded)
    if recorded and pin.region is not None:
        world.tasks[pin.tid].shift += world.ns("mr.dirty", more) if more > 0 else -world.ns("mr.dirty", -more) if more else 0


def make_dirty(world: World, page: Page, recorded: bool) -> None:
    page.dirty = True
    page.skipped = page.cleaned = False
    page.bounced_at = None if recorded else page.bounced_at
    page.recorded_dirty = page.recorded_dirty or recorded
    world.holes.discard((page.file, page.index))
    world.shared.discard((page.file, page.index))


def cpu_write(world: World, event: Event) -> None:
    """A page turns dirty. DAX pages are written in place; those of shared blocks get new ones, and pins keep the old."""
    for index in range(event["index"], event["index"] + (event.get("npages") or 1)):
        page = world.page(event["file"], index)
        if page.file in world.dax and (page.file, index) in world.shared and page.pins:
            world.conflict("cow_divergence", page.file, 1)
            leave_file(world, page.file, index, 1, freed=False)
        make_dirty(world, world.page(event["file"], index), True)


def clean(world: World, page: Page) -> None:
    """The page was written back."""
    page.written_at = world.now
    page.dirty = page.recorded_dirty = page.skipped = page.device_wrote = False
    page.bounced_at = None
    page.cleaned = bool(page.written_by())


def leave_file(world: World, file: str, first: int, npages: int | None, freed: bool) -> None:
    """The pages of a range leave their file; pins of them live on. `freed`: their blocks go too."""
    for page in world.here(file, first, npages):
        page.in_file = False
        if freed and page.pins:
            world.freed[file, page.index] = page
        page.bounced_at = None
        del world.pages[file, page.index]
    if freed:
        for index in range(first, first + npages if npages is not None else 64):
            world.holes.add((file, index))
            world.shared.discard((file, index))


def unmap(world: World, region: Region) -> None:
    for page in world.every_page:
        if page.mapped_by is region:
            page.mapped_by = None


def end_of(first: int, npages: int | None) -> int:
    return FOREVER if npages is None else first + npages
