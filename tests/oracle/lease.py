"""Layout decision `break_lease`: ask the holders to let go, and what follows when they do not in time."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.pinning import drop_pin, end_of, take_pin
from oracle.state import Event, Page, Pin, Region, Task, World


@dataclass(eq=False)
class Break:
    """One break: the holders of leases, who goes with them since the device can do no less, and the pins to wait for."""

    task: Task
    event: Event
    first: int
    end: int
    holders: list[Region]
    company: list[Region]
    pins: list[Pin]
    op_done: int | None = None


def long_pinned(world: World, br: Break) -> list[Page]:
    return [page for page in world.here(br.event["file"], br.first, br.end - br.first) if page.long_pins()]


def report_break(world: World, br: Break, name: str) -> None:
    """In pinned pages of the range. A lease may be broken without any: then it is worth a row all the same."""
    pages = len(long_pinned(world, br))
    world.conflict(name, br.event["file"], pages)
    if not pages:
        world.empty[name, br.event["file"]] += 1


def break_leases(world: World, task: Task, event: Event) -> bool:
    """Break the leases that the operation meets; True if its task has to wait."""
    from oracle.layout import extent

    operation = task.operation
    assert operation is not None
    first, npages = extent(event)
    br = Break(task, event, first, end_of(first, npages), [], [], [])
    if operation.breaks and not long_pinned(world, br):
        return False
    by_inode = world.params["lease.scope"] == "inode"
    for region in world.regions:
        pins = [pin for pin in region.pins if pin.file == event["file"] and (by_inode or pin.reaches(event["file"], br.first, br.end))]
        if pins:
            br.holders.append(region)
            br.pins += pins
    if not br.holders:
        return False
    br.company = [region for region in world.regions if region not in br.holders and goes_with(world, region, br.holders)]
    operation.breaks.append(br)
    report_break(world, br, "lease_break")
    set_timers(world, br)
    world.sleep(task, event, event["op"], lambda: not any(pin.pages for pin in br.pins))
    return True


def goes_with(world: World, region: Region, holders: list[Region]) -> bool:
    """Whether the device cannot revoke the holders' regions without this one."""
    how = world.params["hw.revoke"]
    if region.state != "live" or how not in ("ucontext", "device"):
        return False
    return any(region.device == holder.device and (how == "device" or region.tgid == holder.tgid) for holder in holders)


def set_timers(world: World, br: Break) -> None:
    """Owners answer in parallel, each once it has stopped its remote side and given up all that it has to."""
    limit = world.ns("lease.break_time") + world.ns("lease.timer_rounding")
    rounds = world.params["lease.rounds"]
    assert isinstance(rounds, int)
    quiesce = world.ns("lease.app") + rounds * world.ns("lease.rtt")
    late = world.params["hw.revoke"] == "none"
    owners = list(dict.fromkeys(region.tgid for region in br.holders + br.company))
    dirtying = time_to_dirty(world, br.holders + br.company)
    for owner in owners if not late else []:
        regions = [region for region in br.holders + br.company if region.tgid == owner]
        takes = quiesce + sum(world.ns("mr.dereg", region.npages) + dirtying[region] for region in regions)
        late = late or takes > limit
        world.timer(world.now + takes, lambda owner=owner: answer(world, br, owner))
    if late:
        world.timer(world.now + limit, lambda: deadline(world, br))


def time_to_dirty(world: World, regions: list[Region]) -> dict[Region, int]:
    """Releases also dirty the pages that are clean by now."""
    takes = {}
    for region in regions:
        pins = [pin for pin in region.pins if pin.write and pin.file not in world.dax]
        clean = {page for pin in pins for page in pin.pages if page.in_file and not page.dirty}
        takes[region] = world.ns("mr.dirty", len(clean)) if clean else 0
    return takes


def answer(world: World, br: Break, owner: int) -> None:
    """The owner gives up its regions, unless the recording showed it do so already."""
    mine = [region for region in br.holders if region.tgid == owner]
    if mine:
        needed = any(region.state == "live" for region in mine)
    else:
        needed = any(region.state == "live" or (region.state == "revoked" and region.revoked_by is br) for region in br.holders)
    if not needed:
        return
    for region in br.holders + br.company:
        if region.tgid == owner and region.state == "live":
            revoke(world, br, region, "lease_break", for_good=False)
            if br.op_done is not None:
                reregister_at(world, br, region, max(world.now, br.op_done))


def revoke(world: World, br: Break, region: Region, reason: str, for_good: bool) -> None:
    """Take a region from its owner: its pins drop, and remote accesses fail from now on."""
    file = br.event["file"]
    outside = not (region.file == file and region.index < br.end and br.first < region.index + region.left)
    world.revocations["collateral" if outside and reason == "lease_break" else reason] += 1
    world.costs["revoked_mrs"] += 1
    region.state = "revoked"
    region.revoked_by = None if for_good else br
    if outside:
        world.costs["collateral_mrs"] += 1
        world.conflict("collateral_revoke", region.file, sum(pin.npages for pin in region.pins))
    for pin in list(region.pins):
        drop_pin(world, pin, "revoked" if pin.write else "clean")


def deadline(world: World, br: Break) -> None:
    """Time is up: wait for the pins, make future IO fail and drop them, or kill the holder."""
    unanswered = [pin for pin in br.pins if pin.pages]
    if br.op_done is not None or br.task.wait is None or br.task.wait.event is not br.event or not unanswered:
        return
    pinned = long_pinned(world, br)
    report_break(world, br, "lease_break_timeout")
    action = world.params["lease.on_timeout"] if world.params["hw.revoke"] != "none" else "wait"
    if action == "wait":  # the lease is gone, the pins are not
        world.conflict("lease_zombie", br.event["file"], len(pinned))
        br.task.wait.ready = lambda: not long_pinned(world, br)
        return
    for holder in br.holders:
        if holder.state != "live":
            continue
        if action == "kill":
            kill(world, br, holder.tgid)
        else:
            tear_down(world, br, holder)


def tear_down(world: World, br: Break, holder: Region) -> None:
    """The holder's context goes with all that is registered in it. Nothing comes back, and nothing new is let in."""
    world.torn_down.add((holder.tgid, holder.device))
    for region in world.regions:
        if (region.tgid, region.device) == (holder.tgid, holder.device):
            if region.state == "live":
                revoke(world, br, region, "timeout_fail_io", for_good=True)
            else:
                region.revoked_by = None


def kill(world: World, br: Break, owner: int) -> None:
    """The process dies: its pins drop, its regions are gone, and none of its threads does anything any more."""
    from oracle.inodelock import leave_queue, pass_on

    for pin in br.pins:
        if pin.pages and pin.tgid == owner:
            world.conflict("killed", br.event["file"], pin.npages)
    world.costs["killed_tasks"] += 1
    for task in world.tasks.values():
        if task.tgid == owner:
            leave_queue(world, task)
            world.end_stall(task)
            task.wait = None
            task.dead = task.killed = True
    for region in world.regions:
        if region.tgid == owner and region.state == "live":
            revoke(world, br, region, "timeout_kill", for_good=True)
    for pin in {pin for page in world.every_page for pin in page.pins}:
        if pin.tgid == owner:
            drop_pin(world, pin, "clean")
    for lock in world.locks.values():
        if lock.queue and lock.owner.killed:
            pass_on(world, lock)


def give_up_lease(world: World, task: Task, event: Event) -> None:
    """A holder gives up its lease. What it still pins has none."""
    for region in world.regions:
        if "need_lease" in world.policy.admit and region.tgid == task.tgid:
            for pin in region.pins:
                if pin.file == event["file"]:
                    world.conflict("lease_zombie", pin.file, len([page for page in pin.pages if page.in_file]))


def reregister_after(world: World, task: Task, event: Event) -> None:
    """The operation goes on now. When it is through, those who gave up their regions for it register them again."""
    assert task.operation is not None
    for br in reversed(task.operation.breaks):
        br.op_done = world.now + service_time(task, event)
        for region in br.holders + br.company:
            if region.state == "revoked" and region.revoked_by is br:
                reregister_at(world, br, region, br.op_done)


def service_time(task: Task, event: Event) -> int:
    """The operation's recorded length without the waits that were recorded inside it."""
    length = event.get("dur") or 0
    end = event["ts"] + length
    if task.recorded_wait and task.recorded_wait_end <= end:
        length -= task.recorded_wait
    for other in task.events:
        if other["ts"] < end and other["op"] in ("lease_break", "layout_wait"):
            length -= other.get("dur") or 0
    return max(0, length)


def reregister_at(world: World, br: Break, region: Region, when: int) -> None:
    if world.params["lease.reregister"] == "after_op":
        world.timer(when + world.ns("mr.reg", region.npages), lambda: reregister(world, br, region))


def reregister(world: World, br: Break, region: Region) -> None:
    """The owner pins again what is left of the range, nothing behind a truncated file's new end. Its clock moves by a
    deregistration and a registration."""
    if region.state != "revoked" or region.revoked_by is not br:
        return
    region.revoked_by = None
    if br.event["op"] == "truncate" and region.file == br.event["file"]:
        region.left = max(0, min(region.left, br.first - region.index))
    if not region.left:  # the file ends before it: the registration fails
        return
    region.state, region.since = "live", world.now
    take_pin(world, Pin(region, region.tid, region.tgid, region.file, region.index, region.left, region.write), recorded=False)
    world.tasks[region.tid].shift += world.ns("mr.dereg", region.npages) + world.ns("mr.reg", region.npages)
