"""The oracle's loop: events in the order in which they would have happened, one task's delay moving that task only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle.admit import refusal, refuse
from oracle.device import map_all, remote
from oracle.inodelock import LOCKING, leave_queue, pass_on, recorded_queues
from oracle.layout import block_alloc, cache_del, fill, locked, reclaim, recorded_wait
from oracle.lease import give_up_lease
from oracle.pinning import cpu_write, drop_pin, take_pin, unmap
from oracle.state import Event, Pin, Region, Task, World
from oracle.writeback import fsync, writeback
from replay.params import Value
from replay.policies import Policy


def recorded_writes(events: list[Event]) -> list[int]:
    """From the beginning of a writeback to the end of its first page's."""
    begun: dict[tuple[str, int], int] = {}
    took = []
    for event in events:
        if event["op"] == "wb_start":
            begun[event["file"], event["index"]] = event["ts"]
        elif event["op"] == "wb_end" and (event["file"], event["index"]) in begun:
            took.append(event["ts"] - begun.pop((event["file"], event["index"])))
    return took


class Oracle:
    """One replay of hand-written events under one policy."""

    def __init__(self, events: list[Event], policy: Policy, params: dict[str, Value]) -> None:
        self.world = world = World(policy, params)
        world.first = world.now = min((event["ts"] for event in events), default=0)
        world.end = max((event["ts"] for event in events), default=0)
        world.dax = {event["file"] for event in events if event.get("dax") and event.get("file")}
        world.shows_deletes = any(event["op"] == "cache_del" for event in events)
        shows_remote = any(event["op"] in ("remote_write", "remote_read") for event in events)
        activity = params["remote.activity"]
        world.always_active = activity == "always" or (activity == "recorded" and not shows_remote)
        world.period = round(4096 * 10**9 / activity) if isinstance(activity, int) else 0
        world.maps_at_once = world.always_active or world.period > 0
        world.writes = recorded_writes(events)
        self.latest: dict[Any, int] = {}
        self.released: set[int | None] = set()
        self.forked: set[Pin] = set()
        self.last_of_process = {(event.get("tgid") or event.get("tid") or 0): number for number, event in enumerate(events)}
        self.owner_of_block: dict[Any, Any] = {}
        self.last_owner: dict[Any, Any] = {}
        world.reserve = world.ns("free.reserve")
        queued = recorded_queues(events)
        for number, event in enumerate(events):
            tid = event.get("tid") or 0
            task = world.tasks.setdefault(tid, Task(tid, event.get("tgid") or tid))
            told = {"order": number, "means": self.meant(event, number), "reuses": self.reused(event), "queued": queued.get(number, 0)}
            task.events.append({**event, **told})
        self.regions: dict[int, Region] = {}
        self.short_pins: dict[int, Pin] = {}

    def meant(self, event: Event, number: int) -> int | None:
        """The registration or pin that an event is about: the latest recorded one of its name, by that event's number."""
        if event["op"] in ("pin", "mr_reg"):
            self.latest["pin" if event["op"] == "pin" else "mr", event.get("pin", event.get("mr"))] = number
            return number
        meant = self.latest.get(("pin", event["pin"]) if "pin" in event else ("mr", event.get("mr")))
        if event["op"] in ("unpin", "mr_dereg"):
            self.released.add(meant)
        return meant

    def reused(self, event: Event) -> list[tuple[str, int]]:
        """The pages that gave up the blocks which this allocation takes, as the recording tells it."""
        places = []
        for n in range(event.get("nblocks", 0)):
            block = (event.get("device") or event["file"].rpartition(":")[0], event["block"] + n)
            place = (event["file"], event["index"] + n) if "index" in event else None
            if event["op"] == "block_alloc":
                places.append(self.last_owner.pop(block, None))
                self.owner_of_block[block] = place
            else:
                owner = self.owner_of_block.pop(block, None)
                if place or owner:
                    self.last_owner[block] = place or owner
        return [place for place in places if place]

    def run(self) -> World:
        world = self.world
        while True:
            when, action = self.next_thing()
            if not world.over and (action is None or when > world.end):
                self.close_stalls()
                continue
            if action is None:
                break
            self.count_time(when)
            world.now = max(world.now, when)
            action()
            self.settle_clocks()
        self.close_stalls()
        return world

    def next_thing(self) -> tuple[int, Callable[[], None] | None]:
        """The earliest of what tasks do next and what the policy does itself; at one instant tasks come first."""
        world = self.world
        things: list[tuple[tuple[int, int, int], Callable[[], None]]] = []
        for task in world.tasks.values():
            if task.dead:
                continue
            if task.wait is not None:
                if task.wait.ready():
                    things.append(((world.now, 0, task.wait.event["order"]), lambda task=task: self.resume(task)))
            elif task.events:
                event = task.events[0]
                when = max(world.now, event["ts"] + task.shift)
                things.append(((when, 0, event["order"]), lambda task=task: self.begin(task)))
        if not world.over:
            for timer in world.timers:
                if timer[0] <= world.end:
                    things.append(((max(world.now, timer[0]), 1, timer[1]), lambda timer=timer: self.fire(timer)))
        if not things:
            return 0, None
        key, action = min(things, key=lambda thing: thing[0])
        return key[0], action

    def fire(self, timer: Any) -> None:
        self.world.timers.remove(timer)
        timer[2]()

    def begin(self, task: Task) -> None:
        self.handle(task, task.events.pop(0), False)

    def resume(self, task: Task) -> None:
        """A sleeper wakes; its event is handled again, and what follows comes later by the time that it slept."""
        wait, task.wait = task.wait, None
        assert wait is not None
        task.shift += self.world.now - wait.since
        self.handle(task, wait.event, True)
        if task.wait is None:
            self.world.end_stall(task)

    def settle_clocks(self) -> None:
        for task in self.world.tasks.values():
            if task.recorded_wait and task.wait is None and task.events and task.recorded_wait_end <= task.events[0]["ts"]:
                task.shift -= task.recorded_wait
                task.recorded_wait = 0

    def close_stalls(self) -> None:
        """The trace is over. Who sleeps now never wakes as far as the trace shows, but for those who queue behind no delay."""
        world = self.world
        self.count_time(world.end)
        world.now = max(world.now, world.end)
        world.over = True
        undelayed = [lock for lock in world.locks.values() if lock.queue and not lock.late]
        queueing = [task for lock in undelayed for task in lock.queue]
        for task in world.tasks.values():
            if task in queueing:
                continue
            leave_queue(world, task)
            if task.wait is not None and task.stalled_since is not None and not task.dead:
                world.stalls.append((task.stalled_in, max(0, world.end - task.stalled_since), True))
                task.stalled_since = None
                task.dead = True
        for lock in undelayed:
            pass_on(world, lock)

    def count_time(self, until: int) -> None:
        """Integrals over the time since the last event, up to the trace's end."""
        world = self.world
        passed = max(0, min(until, world.end) - world.now)
        pinned = [page for page in world.every_page if page.pins]
        world.costs["unreclaimable_page_seconds"] += passed * len([p for p in pinned if p.in_file and p.file not in world.dax])
        world.costs["held_block_seconds"] += passed * len([page for page in pinned if page.busy])
        world.costs["pinned_page_seconds"] += passed * sum(len(page.pins) for page in pinned)

    def handle(self, task: Task, event: Event, again: bool) -> None:
        """One recorded event; `again`: it slept meanwhile."""
        world, op = self.world, event["op"]
        if again and op not in LOCKING:
            return  # writeback is done once nothing holds it up
        if op == "mr_reg":
            self.register(task, event)
        elif op == "mr_dereg":
            self.deregister(event)
        elif op == "pin":
            self.pin(task, event)
        elif op == "unpin":
            self.unpin(event)
        elif op in ("remote_write", "remote_read"):
            if event["means"] in self.regions:
                remote(world, task, event, self.regions[event["means"]])
        elif op == "dirty":
            cpu_write(world, event)
        elif op == "wb_start":
            writeback(world, task, event)
        elif op == "fsync":
            fsync(world, task, event)
        elif op in LOCKING:
            locked(world, task, event, again)
        elif op == "cache_add":
            fill(world, event)
        elif op == "block_alloc":
            fill(world, event)
            block_alloc(world, event)
        elif op == "cache_del":
            cache_del(world, task, event)
        elif op == "fork":
            self.forked |= {pin for page in world.every_page for pin in page.pins if pin.tgid == task.tgid}
        elif op == "lease_del":
            give_up_lease(world, task, event)
        elif op == "exit":
            self.exit(task, event)
        elif op in ("reclaim", "migrate"):
            reclaim(world, task, event)
        elif op in ("layout_wait", "lease_break"):
            recorded_wait(world, task, event)

    def new_region(self, task: Task, event: Event, device: Any) -> Region:
        npages = event.get("npages") or 1
        number = len(self.world.regions)
        place = (event["file"], event["index"], npages, npages, self.world.now)
        region = Region(number, task.tid, task.tgid, device, bool(event.get("write")), *place)
        self.world.regions.append(region)
        return region

    def register(self, task: Task, event: Event) -> None:
        world = self.world
        recorded_refusal = (event.get("result") or 0) < 0
        region = self.new_region(task, event, event.get("device"))
        self.regions[event["means"]] = region
        reason = refusal(world, region.file, region.index, region.npages, region.write, by_place=not recorded_refusal)
        if (region.tgid, region.device) in world.torn_down:
            reason = "torn_down"
        if reason:
            refuse(world, reason, region.file, region.npages)
        if recorded_refusal:
            region.state = "gone"
        elif reason:
            region.state = "refused"
        elif "no_pin" in world.policy.admit:
            region.paged = True
            if world.maps_at_once:
                map_all(world, region)
        else:
            take_pin(world, Pin(region, task.tid, task.tgid, region.file, region.index, region.npages, region.write), True)

    def deregister(self, event: Event) -> None:
        if event["means"] in self.regions:
            region = self.regions[event["means"]]
            self.release(region, "dirty" if region.write else "clean")

    def release(self, region: Region, how: str) -> None:
        for pin in list(region.pins):
            drop_pin(self.world, pin, how)
        unmap(self.world, region)
        if region.state != "refused":
            region.state = "gone"

    def pin(self, task: Task, event: Event) -> None:
        """A pin of no MR. A long-term one is a region of its own."""
        world = self.world
        npages, write = event.get("npages") or 1, bool(event.get("write"))
        if not event.get("longterm"):
            pin = Pin(None, task.tid, task.tgid, event["file"], event["index"], npages, write)
            self.short_pins[event["means"]] = pin
            take_pin(world, pin, True)
            return
        region = self.new_region(task, event, ("pin", event["order"]))
        self.regions[event["means"]] = region
        reason = refusal(world, region.file, region.index, npages, write, by_place=True)
        if reason:
            region.state = "refused"
            refuse(world, reason, region.file, npages)
        elif "no_pin" in world.policy.admit:
            region.paged = True
            if world.maps_at_once:
                map_all(world, region)
        else:
            take_pin(world, Pin(region, task.tid, task.tgid, region.file, region.index, npages, write), True)

    def unpin(self, event: Event) -> None:
        how = "dirty" if event.get("dirty") else "clean"
        if event["means"] in self.regions:
            self.release(self.regions[event["means"]], how)
        elif event["means"] in self.short_pins:
            drop_pin(self.world, self.short_pins.pop(event["means"]), how)

    def exit(self, task: Task, event: Event) -> None:
        """A process is gone with its last recorded event, and with its files its pins whose release is not recorded. A child
        that was forked since may hold the files: then they stay."""
        if self.last_of_process[task.tgid] != event["order"]:
            return
        for number, region in self.regions.items():
            if region.tgid == task.tgid and number not in self.released:
                for pin in [pin for pin in region.pins if pin not in self.forked]:
                    drop_pin(self.world, pin, "dirty" if pin.write else "clean")
                if not region.pins:
                    self.release(region, "clean")
        for number, pin in self.short_pins.items():
            if pin.tgid == task.tgid and number not in self.released and pin not in self.forked:
                drop_pin(self.world, pin, "clean")
