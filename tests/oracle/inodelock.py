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
        elif not lock.late:
            task.stalled_since = None
