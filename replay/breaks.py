"""Recorded lease breaks against policy lease: how long the breaker waits, and whether the break times out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from replay.comparison import TOLERATED_NS, Row, Subject, count_row, wait_row
from replay.humane import duration

# More breaks than these are not replayed one by one.
_MOST_BREAKS = 64
_SECOND = 10**9
# Copies and releases that a policy changes move a clock by less than this.
_SAME_NS = 20_000_000
# fs/locks.c, lease_break_time.
_BREAK_TIME = 45

# Each break with the time at which its holder let go of the lease, and of the last pin that it held when the break began.
_BREAKS = """
    SELECT seq, ts, dur, tid, comm,
      (SELECT min(gone.ts) FROM events AS gone
       WHERE gone.trace = $trace AND gone.op = 'lease_del' AND gone.file = broken.file
         AND gone.tid <> broken.tid AND gone.seq > broken.seq) AS deleted,
      (SELECT max(ts_unpin) FROM pins
       WHERE pins.trace = $trace AND pins.file = broken.file AND ts_pin <= broken.ts AND ts_unpin > broken.ts) AS unpinned
    FROM events AS broken
    WHERE trace = $trace AND op = 'lease_break' AND NOT open
    ORDER BY seq
"""


def lease_breaks(subject: Subject) -> Iterator[Row]:
    """Policy lease, told how long each holder really took, must let its breaker wait as long as the kernel did."""
    breaks = subject.ask(_BREAKS)[:_MOST_BREAKS]
    if not breaks:
        return
    expired = _expired(subject)
    late = [found["dur"] for found in breaks if (found["tid"], found["ts"] + found["dur"]) in expired]
    break_time = _break_time(min(late, default=None))
    clocks = _own_clocks(subject)
    timed_out = []
    for found in breaks:
        wait, gave_up, early = _predicted_break(subject, breaks, found, break_time)
        timed_out.append(gave_up)
        item = f"{found['comm']}/{found['tid']} at {found['ts'] / _SECOND:.6f} s"
        late_ns, note = (
            _woken_late(subject, found) if (found["tid"], found["ts"] + found["dur"]) not in expired else _fired_late(found, break_time)
        )
        yield _judged(wait_row("lease break wait", item, found["dur"], wait, note, late_ns), early)
        own = clocks.get((found["tid"], found["ts"]))
        if own is not None:
            service = own - found["dur"]
            row = wait_row("the breaker's own clock", item, own, None if wait is None else wait + service, note, late_ns)
            yield _judged(row, early)
    if expired or any(timed_out):
        measured = [(found["tid"], found["ts"] + found["dur"]) in expired for found in breaks]
        agree = sum(map(bool.__and__, measured, timed_out))
        yield count_row("lease time-outs", len(breaks), sum(measured), sum(timed_out), agree, f"lease.break_time={break_time}s")


def _judged(row: Row, early: int) -> Row:
    """Where all breaks are replayed with the answer of one, the others take more or less time, and this one comes at another time: then
    what its region does in between says nothing of the prediction."""
    if row["within"] or abs(early) <= TOLERATED_NS:
        return row
    told = f"not judged: other breaks took so much longer or shorter that the replay has this one {duration(abs(early))} off"
    return {**row, "within": None, "note": told}


def _woken_late(subject: Subject, found: Row) -> tuple[int, str]:
    """How long after the lease was gone the breaker ran again: its wait for a CPU, which no policy is about."""
    end = found["ts"] + found["dur"]
    if found["deleted"] is None or end <= found["deleted"]:
        return 0, ""
    ns = end - found["deleted"]
    queued = _queued(subject, found["tid"], found["deleted"], end)
    told = "" if queued is None else f" ({duration(queued)} of that from being woken to running, by sched_switch)"
    return ns, f"{duration(ns)} of it after the lease was gone, for a CPU{told}: not counted as error"


def _queued(subject: Subject, tid: int, gone: int, end: int) -> int | None:
    """From the waking of the breaker to its running, if the trace has both."""
    waking = min(_scheduled(subject, ("sched_waking",), "pid", tid, gone, end), default=None)
    if waking is None:
        return None
    running = min(_scheduled(subject, ("sched_switch",), "next_pid", tid, waking, end), default=None)
    return None if running is None else running - waking


def _scheduled(subject: Subject, events: tuple[str, ...], field: str, tid: int, low: int, high: int) -> Iterator[int]:
    for view in subject.raw(*events):
        query = f"SELECT ts FROM {view} WHERE trace = $trace AND {field} = {tid} AND ts BETWEEN {low} AND {high}"
        yield from (row["ts"] for row in subject.ask(query))


def _fired_late(found: Row, break_time: int) -> tuple[int, str]:
    """The timer wheel rounds a time-out up."""
    ns = min(max(0, found["dur"] - break_time * _SECOND), _wheel(break_time))
    return ns, f"{duration(ns)} of it is the timer wheel's rounding: not counted as error"


def _wheel(seconds: int) -> int:
    """The most that a timer of so many seconds may fire late, in ns: from 63 * 8^(n-1) jiffies on its buckets are 8^n wide (timer.c)."""
    late = 0
    for hz in (100, 250, 300, 1000):
        bucket = 1
        while seconds * hz >= 63 * bucket:
            bucket *= 8
        late = max(late, bucket * _SECOND // hz)
    return late


def _break_time(shortest: int | None) -> int:
    """fs.lease-break-time in seconds: the default unless the shortest recorded time-out tells another."""
    if shortest is None or 0 <= shortest - _BREAK_TIME * _SECOND <= _wheel(_BREAK_TIME):
        return _BREAK_TIME
    return max(1, shortest // _SECOND)


def _expired(subject: Subject) -> set[tuple[int, int]]:
    """Task and time of each unblocking that a time-out caused: the breaker still stands in a list of waiters (fs/locks.c)."""
    return {
        (row["tid"], row["ts"])
        for view in subject.raw("break_lease_unblock")
        for row in subject.ask(f"SELECT common_pid AS tid, ts FROM {view} WHERE trace = $trace AND fl_blocker <> 0")
    }


def _predicted_break(subject: Subject, breaks: Sequence[Row], found: Row, break_time: int) -> tuple[int | None, bool, int]:
    """How long the break stalls its task under policy lease, whether it times out, and how much earlier than recorded it begins."""
    answered = found["deleted"] if found["deleted"] is not None else found["unpinned"]
    answer = answered - found["ts"] if answered is not None else 2 * break_time * _SECOND
    free = dict.fromkeys(("lease.rtt", "mr.reg", "mr.dereg", "mr.dirty"), "0")
    timing = {"lease.app": f"{answer}ns", "lease.break_time": f"{break_time}s", "lease.on_timeout": "fail_io"}
    outcome = subject.replay("lease", {**free, **timing})
    stalls = [row for row in outcome["stalls"] if row["tid"] == found["tid"] and row["role"] == "breaker"]
    early = 0
    for before in breaks:
        if before["tid"] != found["tid"]:
            continue
        begin = before["ts"] - early
        wait: int | None = next((row["dur"] for row in stalls if abs(row["ts"] - begin) <= _SAME_NS), None)
        if before["seq"] == found["seq"]:
            break
        early += before["dur"] - (wait or 0)
    return wait, wait is not None and wait >= break_time * _SECOND, early


def _own_clocks(subject: Subject) -> dict[tuple[int, int], int]:
    """How long the operation of each break took by its task's own clock: its system call, or what the file system tells of it."""
    query = """
        SELECT broken.tid, broken.ts, min(operation.dur) AS dur
        FROM events AS broken JOIN events AS operation
          ON operation.trace = $trace AND operation.tid = broken.tid AND operation.op <> 'lease_break'
          AND operation.ts <= broken.ts AND operation.ts + operation.dur >= broken.ts + broken.dur
        WHERE broken.trace = $trace AND broken.op = 'lease_break'
        GROUP BY ALL
    """
    clocks = {(row["tid"], row["ts"]): row["dur"] for row in subject.ask(query)}
    calls = [_calls(subject, side) for side in ("sys_enter_", "sys_exit_")]
    for tid, ts in clocks:
        entered = max((at for at in calls[0][tid] if at <= ts), default=None)
        left = min((at for at in calls[1][tid] if at > ts), default=None)
        if entered is not None and left is not None:
            clocks[tid, ts] = left - entered
    return clocks


def _calls(subject: Subject, side: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for view in subject.raw(*(f"{side}{call}" for call in ("truncate", "ftruncate", "fallocate"))):
        for row in subject.ask(f"SELECT common_pid AS tid, ts FROM {view} WHERE trace = $trace"):
            found[row["tid"]].append(row["ts"])
    return found
