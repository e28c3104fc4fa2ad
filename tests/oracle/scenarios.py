"""Random scenarios: canonical events in time order, driven by any random.Random, Hypothesis's included."""

from __future__ import annotations

from random import Random
from typing import Any

from builders.scenario import DAX, FILE, MS, at

OTHER = "8:1:43"
MEMORY = "0:1:25"  # of shmem
OWNERS = (10, 11, 12)  # 11 is a thread of 10
OTHERS = (10, 11, 12, 20, 21)
PAGES = 8
Event = dict[str, Any]

SETTINGS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "lease.app": ("1ms", "0", "100us", "30ms", "10s"),
        "lease.rtt": ("10us", "0"),
        "lease.rounds": ("2", "0"),
        "lease.break_time": ("45s", "20ms", "1ms"),
        "lease.timer_rounding": ("0", "3ms"),
        "lease.on_timeout": ("wait", "fail_io", "kill"),
        "lease.scope": ("inode", "range"),
        "lease.reregister": ("after_op", "never"),
        "hw.revoke": ("mr", "ucontext", "device", "none"),
        "mr.reg": ("50us+0.375us/page", "0", "5ms+1us/page"),
        "mr.dereg": ("20us+0.09us/page", "0", "2ms"),
        "mr.dirty": ("0.3us/page", "0"),
        "odp.fault": ("220us+0.127us/page", "0"),
        "odp.invalidate": ("50us", "0"),
        "bounce.copy": ("0.78us/page", "0", "1ms/page"),
        "free.reserve": ("0", "3"),
        "writeback.expire": ("30s", "10ms"),
        "writeback.interval": ("5s", "0", "4ms"),
        "remote.activity": ("recorded", "always", "200/s", "40KiB/s", "1GiB/s"),
        "writeback.service": ("trace", "0", "300us+1ms/page"),
        "mainline.version": ("6.5", "6.4", "4.14"),
        "propagate": ("task", "inode"),
    },
)


def settings(rng: Random) -> dict[str, str]:
    """Parameters: half of them at their default."""
    return {name: rng.choice(values) for name, values in SETTINGS[0].items() if rng.random() < 0.5}


def scenario(rng: Random, size: int = 20) -> list[Event]:
    """Up to `size` events on two files and a DAX file, whose registrations and pins mostly end."""
    return Scenario(rng).events(rng.randint(1, size))


class Scenario:
    """What has been made so far, so that what follows can refer to it."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.ms = 0.0
        self.live: dict[int, Event] = {}
        self.pins: dict[int, Event] = {}
        self.count = self.next_block = 0
        self.dead: tuple[int, ...] = ()
        self.freed: list[int] = []
        self.block_of: dict[tuple[str, int], int] = {}
        self.quiet = rng.random() < 0.3  # no remote accesses
        self.files = rng.choice(((FILE,), (FILE, DAX), (FILE, OTHER), (DAX,), (FILE, MEMORY), (FILE, FILE, OTHER, DAX)))

    def events(self, size: int) -> list[Event]:
        made = [event for _ in range(size) for event in self.one()]
        if self.rng.random() < 0.3:
            made += self.exit(self.rng.choice(((10, 11), (12,))))
            made += [event for _ in range(size // 3) for event in self.one()]
        first: set[str] = set()
        for event in made:  # "dax" is told by a file's first event
            if event.get("file") == DAX and DAX not in first:
                event["dax"] = True
                first.add(DAX)
        return made

    def pick(self, tids: tuple[int, ...]) -> int:
        return self.rng.choice([tid for tid in tids if tid not in self.dead])

    def exit(self, process: tuple[int, ...]) -> list[Event]:
        """A process ends with what it still holds."""
        self.dead = process
        self.live = {mr: event for mr, event in self.live.items() if event["tid"] not in process}
        self.pins = {pin: event for pin, event in self.pins.items() if event["tid"] not in process}
        return [at(self.moment(), "exit", tid) for tid in process]

    def fork(self) -> list[Event]:
        return [at(self.moment(), "fork", self.pick(OWNERS))]

    def place(self) -> dict[str, Any]:
        rng = self.rng
        index = rng.randrange(PAGES)
        return {"file": rng.choice(self.files), "index": index, "npages": rng.randint(1, PAGES - index)}

    def moment(self) -> float:
        """Mostly some time later, on a grid coarse enough to shrink and fine enough to rarely meet another time."""
        rng = self.rng
        if rng.random() < 0.9:
            self.ms += rng.choice((0.001, 0.137, 1.009, 5.003, 5.003, 20.011, 1000.007)) * rng.randint(1, 7)
        return self.ms

    def one(self) -> list[Event]:
        often = "reg reg reg dereg dereg pin unpin remote remote remote dirty dirty dirty wb wb wb fsync fsync layout layout"
        kinds = f"{often} reclaim cache fill alloc alloc fork lease"
        return list(getattr(self, self.rng.choice(kinds.split()))())

    def reg(self) -> list[Event]:
        rng, tid = self.rng, self.pick(OWNERS)
        self.count += 1
        event = at(self.moment(), "mr_reg", tid, mr=self.count, device=rng.choice(("mlx5_0", "rxe0")), write=rng.random() < 0.8)
        event |= self.place()
        if rng.random() < 0.05:
            event["result"] = -95
        else:
            self.live[self.count] = event
        return [event]

    def dereg(self) -> list[Event]:
        if not self.live:
            return []
        mr = self.rng.choice(sorted(self.live))
        tid = self.live.pop(mr)["tid"]
        return [at(self.moment(), "mr_dereg", tid, mr=mr)]

    def pin(self) -> list[Event]:
        rng = self.rng
        self.count += 1
        longterm = rng.random() < 0.5
        event = at(self.moment(), "pin", self.pick(OTHERS), pin=self.count, longterm=longterm, write=rng.random() < 0.7)
        event |= self.place()
        self.pins[self.count] = event
        return [event]

    def unpin(self) -> list[Event]:
        if not self.pins:
            return []
        pin = self.rng.choice(sorted(self.pins))
        event = self.pins.pop(pin)
        return [at(self.moment(), "unpin", event["tid"], pin=pin, dirty=self.rng.random() < 0.7)]

    def remote(self) -> list[Event]:
        rng = self.rng
        if not self.live or self.quiet:
            return []
        mr = rng.choice(sorted(self.live))
        region = self.live[mr]
        index = region["index"] + rng.randrange(region["npages"])
        npages = rng.randint(1, region["index"] + region["npages"] - index)
        op = "remote_write" if region["write"] and rng.random() < 0.7 else "remote_read"
        return [
            at(self.moment(), op, 30, mr=mr, file=region["file"], index=index, npages=npages, bytes=npages * 4096 - rng.randrange(4096))
        ]

    def dirty(self) -> list[Event]:
        return [at(self.moment(), "dirty", self.pick(OTHERS), **self.place())]

    def wb(self) -> list[Event]:
        rng, place = self.rng, self.place()
        sync = rng.random() < 0.4
        tid = self.pick((20, 21, 10)) if sync else 2
        start = at(self.moment(), "wb_start", tid, sync=sync, **place)
        return [start, at(self.moment(), "wb_end", tid, **place)]

    def fsync(self) -> list[Event]:
        rng, tid = self.rng, self.pick(OTHERS)
        file = rng.choice(self.files)
        made = [at(self.moment(), "fsync", tid, file=file, dur=0)]
        begin = self.ms
        for _ in range(rng.randrange(3)):
            made.append(at(self.moment(), "wb_start", tid, sync=True, **{**self.place(), "file": file}))
        made[0]["dur"] = self.duration(begin)
        return made

    def duration(self, begin: float) -> int | None:
        return None if self.rng.random() < 0.05 else int(self.ms * MS) - int(begin * MS) + self.rng.choice((0, 1000))

    def layout(self) -> list[Event]:
        rng, tid, place = self.rng, self.pick(OTHERS), self.place()
        op = rng.choice(("truncate", "punch", "collapse", "reflink", "punch"))
        made = [at(self.moment(), op, tid, **place)]
        if op == "truncate":
            del made[0]["npages"]
        begin = self.ms
        if rng.random() < 0.3:
            made.append(self.contender(place["file"], tid))
        if rng.random() < 0.2:
            waited = rng.choice(("layout_wait", "lease_break"))
            made.append(at(self.moment(), waited, tid, file=place["file"], index=place["index"], npages=1, dur=MS))
            self.ms += 1
        if rng.random() < 0.3:
            made.append(at(self.moment(), "cache_del", tid, **place))
        if op in ("truncate", "punch") and rng.random() < 0.5:
            made.append(self.free(tid, place))
            made += self.alloc() if rng.random() < 0.5 else []
        made[0]["dur"] = self.duration(begin)
        return made

    def contender(self, file: str, other: int) -> Event:
        """An operation that begins while another has the inode's lock, and ends behind it, or beside it."""
        rng = self.rng
        tid = rng.choice([tid for tid in OTHERS if tid != other])
        event = at(self.moment(), rng.choice(("truncate", "punch", "reflink", "fallocate")), tid, **{**self.place(), "file": file})
        if event["op"] == "truncate":
            del event["npages"]
        event["dur"] = rng.choice((0, 2 * MS, 50 * MS, 50 * MS, 2000 * MS, None))
        return event

    def alloc(self) -> list[Event]:
        """Blocks for a place, often ones that were freed."""
        rng, place = self.rng, self.place()
        self.next_block += PAGES
        block = rng.choice(self.freed) if self.freed and rng.random() < 0.8 else self.next_block
        event = at(self.moment(), "block_alloc", self.pick(OTHERS), block=block, nblocks=place["npages"], **place)
        if rng.random() < 0.7:
            self.block_of[place["file"], place["index"]] = block
        else:
            del event["index"], event["npages"]
        return [event]

    def free(self, tid: int, place: Event) -> Event:
        """What a truncate or punch gives back; the blocks are told with or without their pages."""
        self.next_block += PAGES
        block = self.block_of.pop((place["file"], place["index"]), self.next_block)
        self.freed.append(block)
        event = at(self.moment(), "block_free", tid, block=block, nblocks=place["npages"], **place)
        if self.rng.random() < 0.5:
            del event["index"], event["npages"]
        return event

    def lease(self) -> list[Event]:
        return [at(self.moment(), "lease_del", self.pick(OWNERS), file=self.rng.choice(self.files))]

    def reclaim(self) -> list[Event]:
        return [at(self.moment(), self.rng.choice(("reclaim", "migrate")), 2, **self.place())]

    def cache(self) -> list[Event]:
        return [at(self.moment(), self.rng.choice(("cache_add", "cache_add", "cache_del")), self.rng.choice((2, 20)), **self.place())]

    def fill(self) -> list[Event]:
        return [at(self.moment(), "fallocate", self.pick(OTHERS), dur=self.rng.choice((0, 0, MS)), **self.place())]
