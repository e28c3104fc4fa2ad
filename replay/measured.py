"""What the recorded kernel did where it implements a policy, against what the replay says: waits, refusals, balances.

Each function gives the rows of one kind for one trace; none where the trace shows nothing of the kind. A row has the kernel's
`measured` and the replay's `predicted`, and whether the two are `within` what is tolerated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay.humane import duration
from replay.session import Session
from replay.store import Entry
from replay.views import raw_view_name

if TYPE_CHECKING:
    from replay.columns import Recorded

Row = dict[str, Any]

TOLERATED_SHARE = 0.05
TOLERATED_NS = 5_000_000
# More breaks than these are not replayed one by one.
_MOST_BREAKS = 64
_SECOND = 10**9
_EOPNOTSUPP, _EFAULT = -95, -14


@dataclass(frozen=True, slots=True)
class Subject:
    """One trace, open for questions."""

    session: Session
    entry: Entry
    recorded: Recorded

    def ask(self, query: str) -> list[Row]:
        return self.session.sql(query, {"trace": self.entry.id}).rows()

    def replay(self, policy: str, params: Mapping[str, str]) -> dict[str, list[Row]]:
        """A replay that is not stored: stalls, conflicts and refusals."""
        from replay.outcomes import RunName
        from replay.params import parse_params
        from replay.policies import find_policy
        from replay.runs import replay_tables

        tables = replay_tables(self.recorded, find_policy(policy), parse_params(params), RunName("", policy, self.entry.id))
        return {name: tables[name].to_pylist() for name in ("stalls", "conflicts", "refusals")}

    def raw(self, *prefixes: str) -> Iterator[str]:
        """Views of the trace's raw events whose name begins so."""
        for raw in self.entry.manifest["raw"]:
            if raw["event"].startswith(prefixes):
                yield raw_view_name(raw["system"], raw["event"])


def measure(subject: Subject) -> list[Row]:
    return [row for kind in (lease_breaks, layout_waits, refusals, pin_balance, cache_balance) for row in kind(subject)]


def _wait(kind: str, item: str, measured: int, predicted: int | None, note: str = "", apart: int = 0) -> Row:
    """`apart`: what of the measured wait has a cause that the replay is not about."""
    error = None if predicted is None else abs(predicted - (measured - apart))
    within = error is not None and (error <= TOLERATED_NS or error <= TOLERATED_SHARE * measured)
    share = error / measured if error is not None and measured else None
    row = {"kind": kind, "item": item, "unit": "ns", "measured": measured, "predicted": predicted, "error": share, "within": within}
    return {**row, "note": note if predicted is not None else "the replay shows no such wait"}


def _count(kind: str, items: int, measured: int, predicted: int, agree: int, note: str = "") -> Row:
    within = measured == predicted == agree
    row = {"kind": kind, "unit": "count", "items": items, "measured": measured, "predicted": predicted, "agree": agree, "within": within}
    return {**row, "error": abs(predicted - measured) / measured if measured else None, "note": note}


# -- leases -----------------------------------------------------------------------------------------------------------

# Each break with the time at which its holder let go of the lease, and of the last pin that it held when the break began.
_BREAKS = """
    SELECT seq, ts, dur, tid, comm, row_number() OVER (PARTITION BY tid ORDER BY seq) - 1 AS place,
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
    break_time = max(1, min(late) // _SECOND) if late else 45
    told = f"lease.break_time={break_time}s, from the shortest recorded time-out" if late else ""
    clocks = _own_clocks(subject)
    timed_out = []
    for found in breaks:
        wait, gave_up = _predicted_break(subject, found, break_time)
        timed_out.append(gave_up)
        item = f"{found['comm']}/{found['tid']} at {found['ts'] / _SECOND:.6f} s"
        late_ns, note = _woken_late(found)
        yield _wait("lease break wait", item, found["dur"], wait, told or note, late_ns)
        own = clocks.get((found["tid"], found["ts"]))
        if own is not None:
            service = own - found["dur"]
            yield _wait("the breaker's own clock", item, own, None if wait is None else wait + service, told or note, late_ns)
    if expired or any(timed_out):
        measured = [(found["tid"], found["ts"] + found["dur"]) in expired for found in breaks]
        agree = sum(map(bool.__and__, measured, timed_out))
        yield _count("lease time-outs", len(breaks), sum(measured), sum(timed_out), agree, told)


def _woken_late(found: Row) -> tuple[int, str]:
    """How long after the lease was gone the breaker ran again: its wait for a CPU, which no policy is about."""
    ns = found["ts"] + found["dur"] - found["deleted"] if found["deleted"] is not None else 0
    return (ns, f"{duration(ns)} of it after the lease was gone, for a CPU: not counted as error") if ns > 0 else (0, "")


def _expired(subject: Subject) -> set[tuple[int, int]]:
    """Task and time of each unblocking that a time-out caused: the breaker still stands in a list of waiters (fs/locks.c)."""
    return {
        (row["tid"], row["ts"])
        for view in subject.raw("break_lease_unblock")
        for row in subject.ask(f"SELECT common_pid AS tid, ts FROM {view} WHERE trace = $trace AND fl_blocker <> 0")
    }


def _predicted_break(subject: Subject, found: Row, break_time: int) -> tuple[int | None, bool]:
    """How long the break stalls its task under policy lease, and whether it times out."""
    answered = found["deleted"] if found["deleted"] is not None else found["unpinned"]
    answer = answered - found["ts"] if answered is not None else 2 * break_time * _SECOND
    free = dict.fromkeys(("lease.rtt", "mr.reg", "mr.dereg", "mr.dirty"), "0")
    timing = {"lease.app": f"{answer}ns", "lease.break_time": f"{break_time}s", "lease.on_timeout": "fail_io"}
    outcome = subject.replay("lease", {**free, **timing})
    stalls = sorted((row for row in outcome["stalls"] if row["tid"] == found["tid"] and row["role"] == "breaker"), key=_by_ts)
    if found["place"] >= len(stalls):
        return None, False
    stall = stalls[found["place"]]
    return stall["dur"], stall["dur"] >= break_time * _SECOND


def _by_ts(row: Row) -> int:
    ts: int = row["ts"]
    return ts


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


# -- DAX --------------------------------------------------------------------------------------------------------------


def layout_waits(subject: Subject) -> Iterator[Row]:
    """Waits for busy DAX pages, task by task, against those of policy mainline."""
    waits: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for row in subject.ask("SELECT tid, comm, dur, open FROM events WHERE trace = $trace AND op = 'layout_wait' ORDER BY seq"):
        waits[row["tid"], row["comm"]].append(row)
    if not waits:
        return
    stalls: dict[int, list[Row]] = defaultdict(list)
    for row in subject.replay("mainline", {})["stalls"]:
        if row["role"] == "breaker":
            stalls[row["tid"]].append(row)
    note = "direct IO pins are in no probe: the recorded wait is its own evidence" if _unexplained(subject) else ""
    for (tid, comm), recorded in waits.items():
        ended = [row["dur"] for row in recorded if not row["open"]]
        if ended:
            predicted = sum(row["dur"] for row in stalls[tid] if not row["unbounded"])
            yield _wait("DAX layout wait", f"{comm}/{tid}, {len(ended)} in all", sum(ended), predicted, note)
    measured = {tid: sum(row["open"] for row in recorded) for (tid, _), recorded in waits.items()}
    predicted_open = {tid: sum(row["unbounded"] for row in stalls[tid]) for tid in measured}
    agree = sum(min(measured[tid], predicted_open[tid]) for tid in measured)
    items = sum(map(len, waits.values()))
    yield _count("unbounded DAX waits", items, sum(measured.values()), sum(predicted_open.values()), agree, note)


def _unexplained(subject: Subject) -> bool:
    losses: Sequence[Row] = subject.entry.manifest["found"]["losses"]
    return any(loss["counter"] == "waits_without_pin" and loss["count"] for loss in losses)


# -- registrations, pins and pages ------------------------------------------------------------------------------------


def refusals(subject: Subject) -> Iterator[Row]:
    """Registrations that the kernel refused for what they map, against those that policy mainline, or none up to Linux 6.4, refuses."""
    found = subject.ask("SELECT mr, result FROM mrs WHERE trace = $trace")
    if not found:
        return
    refused = {row["mr"] for row in found if row["result"] in {_EOPNOTSUPP, _EFAULT}}
    policy = "mainline" if any(row["result"] == _EFAULT for row in found) else "none"
    predicted = {row["mr"] for row in subject.replay(policy, {})["refusals"] if row["mr"] is not None}
    row = _count("refused registrations", len(found), len(refused), len(predicted), len(refused & predicted))
    yield {**row, "within": refused == predicted, **_shares(refused, predicted)}


def _shares(truth: set[int], found: set[int]) -> Row:
    both = len(truth & found)
    return {"precision": both / len(found) if found else None, "recall": both / len(truth) if truth else None}


def pin_balance(subject: Subject) -> Iterator[Row]:
    """Pages that are pinned at the end of the trace: what the probes of the pin and unpin calls add up to, and the replay's rows."""
    import pyarrow.parquet as pq

    from replay.ingest.mappings import find

    sums = {"pin_return": 0, "unpin": 0}
    steps = set()
    for raw in subject.entry.manifest["raw"]:
        fields = frozenset(pq.read_schema(subject.entry.path / "raw" / raw["file"]).names)
        mapping = find(raw["system"], raw["event"], fields)
        if mapping is None or mapping.step not in sums or not raw["rows"]:
            continue
        field = next((name for name in ("ret", "npages", "n") if name in fields), None)
        if field is None:
            continue
        steps.add(mapping.step)
        view = raw_view_name(raw["system"], raw["event"])
        query = f"""
            SELECT coalesce(sum({field}::HUGEINT) FILTER ({field} BETWEEN 1 AND 2147483647), 0)::BIGINT AS pages
            FROM {view} WHERE trace = $trace
        """
        sums[mapping.step] += subject.ask(query)[0]["pages"]
    if steps != set(sums):
        return
    query = """
        SELECT coalesce(sum(npages) FILTER (op = 'pin' AND pin IS NOT NULL), 0)::BIGINT AS pinned,
          coalesce(sum(npages) FILTER (op = 'unpin'), 0)::BIGINT AS unpinned
        FROM events WHERE trace = $trace
    """
    (row,) = subject.ask(query)
    left, ours = sums["pin_return"] - sums["unpin"], row["pinned"] - row["unpinned"]
    note = f"{sums['pin_return']:,} pages pinned and {sums['unpin']:,} unpinned by the calls"
    yield {**_count("pages pinned at the end", sums["pin_return"], left, ours, min(left, ours), note), "within": left == ours}


def cache_balance(subject: Subject) -> Iterator[Row]:
    """A page enters the cache, leaves it and enters again: two of a kind in a row show that the trace or its pages are wrong."""
    query = """
        WITH pages AS (
          SELECT file, seq, op, unnest(range(index, index + CASE WHEN npages BETWEEN 1 AND 4096 THEN npages ELSE 1 END)) AS page
          FROM events
          WHERE trace = $trace AND op IN ('cache_add', 'cache_del') AND file IS NOT NULL AND index IS NOT NULL
        ),
        followed AS (SELECT op, lag(op) OVER (PARTITION BY file, page ORDER BY seq) AS before FROM pages)
        SELECT count(*) AS items, count(before) AS known, count(*) FILTER (before <> op) AS right FROM followed
    """
    (row,) = subject.ask(query)
    if row["known"]:
        yield _count("cache adds against deletes", row["items"], row["known"], row["right"], row["right"])
