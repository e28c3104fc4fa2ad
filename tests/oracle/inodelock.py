"""`propagate=inode`: operations on a file's layout take its inode lock one after the other, and a delay reaches those behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from oracle.lease import service_time
from oracle.state import FOREVER, Event, Task, World

LOCKING = ("truncate", "punch", "collapse", "reflink", "fallocate")


@dataclass(eq=False)
class InodeLock:
    """`until`: when the owner's operation is through. `late`: because of a pin. `next`: it was passed on, and not taken yet."""

    owner: Task | None = None
    until: int = FOREVER
    late: bool = False
    passed: bool = False
    queue: list[Task] = field(default_factory=list)


def recorded_queues(events: Sequence[Event]) -> dict[int, int]:
    """How long each operation queued in the recording, by the event's number; -1: it ended inside of another, hence took no lock."""
    queued = {}
    ended: list[Event] = []
    for number, event in enumerate(events):
        if event["op"] not in LOCKING:
            continue
        before = [
            other["ts"] + (other.get("dur") or 0) for other in ended if other["file"] == event["file"] and other["tid"] != event["tid"]
        ]
        latest = max(before, default=0)
        is_open = "dur" in event and event["dur"] is None
        if not is_open and event["ts"] + (event.get("dur") or 0) < latest:
            queued[number] = -1
            continue
        queued[number] = max(0, latest - event["ts"])
        if not is_open:
            ended.append(event)
    return queued


def possible(events: Sequence[Event]) -> list[Event]:
    """Without what no kernel records: what a task did while it queued, and operations inside of others of its own."""
    kept: list[Event] = []
    queues_until: dict[int, int] = {}
    ends: dict[int, int] = {}
    for event in events:
        tid, locks = event["tid"], event["op"] in LOCKING
        if event["ts"] <= queues_until.get(tid, -1) or (locks and event["ts"] < ends.get(tid, -1)):
            continue
        kept.append(event)
        if locks:
            ends[tid] = event["ts"] + (event.get("dur") or 0)
            queued = recorded_queues(kept)[len(kept) - 1]
            if queued > 0:
                queues_until[tid] = event["ts"] + queued
    return kept


def begun_with_lock(events: Sequence[Event]) -> list[Event]:
    """The same recording, but that each operation begins only when it has the lock, behind all else of that instant."""
    end = max((event["ts"] for event in events), default=0)
    queued = recorded_queues(events)
    begun: list[tuple[int, bool, Event]] = []
    for number, event in enumerate(events):
        wait = min(max(0, queued.get(number, 0)), end - event["ts"])
        rest = {"dur": event["dur"] - wait} if event.get("dur") is not None else {}
        begun.append((event["ts"] + wait, queued.get(number, 0) > 0, {**event, "ts": event["ts"] + wait, **rest}))
    return [event for _, _, event in sorted(begun, key=lambda entry: entry[:2])]


def acquire(world: World, task: Task, event: Event, again: bool) -> str:
    """`has`: the operation has what it needs to go on; `begins`: it has waited for the lock and begins only now; `queues`."""
    if world.params["propagate"] == "task" or event["queued"] < 0:
        return "has"
    lock = world.locks.setdefault(event["file"], InodeLock())
    if lock.owner is task and not lock.passed and (again or world.now < lock.until):
        return "has"
    if lock.owner is task and lock.passed:
        lock.passed = False
        forget_queue(task, event)
        return "begins"
    if not lock.queue and (lock.owner is None or lock.owner.killed or lock.until <= world.now or (world.over and lock.until < FOREVER)):
        lock.owner, lock.until, lock.late, lock.passed = task, FOREVER, False, False
        forget_queue(task, event)
        return "begins"
    lock.queue.append(task)
    world.sleep(task, event, event["op"], lambda: lock.passed and lock.owner is task)
    assert task.stalled_since is not None
    task.stalled_since += event["queued"]
    if len(lock.queue) == 1 and lock.until < FOREVER:
        world.timer(lock.until, lambda: let_go(world, lock))
    return "queues"


def forget_queue(task: Task, event: Event) -> None:
    if event["queued"]:
        task.recorded_wait += event["queued"]
        task.recorded_wait_end = event["ts"] + event["queued"]


def end_of_queue(world: World, task: Task, lock: InodeLock) -> bool:
    """Queueing for longer than recorded, behind an operation that a pin made late, is a stall. Other queueing is none."""
    if task.stalled_since is not None and lock.late and task.stalled_since < world.now:
        return True
    task.stalled_since = None
    return False


def keep(world: World, task: Task, event: Event) -> None:
    """The operation waits for pins, or runs now for as long as it takes by itself."""
    lock = world.locks.get(event["file"])
    if lock is None or lock.owner is not task:
        return
    if task.wait is not None:
        lock.until, lock.late = FOREVER, True
        return
    failed = task.operation is not None and task.operation.event is event and task.operation.failed
    lock.until = world.now + (0 if failed else service_time(task, event))
    if lock.queue and (lock.until <= world.now or world.over):
        pass_on(world, lock)
    elif lock.queue:
        world.timer(lock.until, lambda: let_go(world, lock))


def keep_longer(world: World, task: Task, dur: int | None) -> None:
    """A recorded wait for pins that nobody showed belongs to the operation. None: it has no end."""
    assert task.operation is not None
    lock = world.locks.get(task.operation.event["file"])
    if lock is not None and lock.owner is task and lock.until < FOREVER:
        lock.until = FOREVER if dur is None else lock.until + dur
        lock.late = True


def let_go(world: World, lock: InodeLock) -> None:
    if not lock.queue or lock.until == FOREVER:
        return
    if world.now < lock.until:
        world.timer(lock.until, lambda: let_go(world, lock))
    else:
        pass_on(world, lock)


def pass_on(world: World, lock: InodeLock) -> None:
    lock.owner, lock.until, lock.passed = lock.queue.pop(0), FOREVER, True
    lock.late = end_of_queue(world, lock.owner, lock)


def leave_queue(world: World, task: Task) -> None:
    """The task sleeps no more: it was killed, or the trace is over."""
    lock = next((lock for lock in world.locks.values() if task in lock.queue), None)
    if lock is not None:
        lock.queue.remove(task)
        if not world.over:
            end_of_queue(world, task, lock)
