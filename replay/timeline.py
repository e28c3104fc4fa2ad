"""What a trace and its runs look like on a timeline: what happened on files, regions and tasks, and what each policy makes of it.

files             one track each: operations on the file's layout and fsync; writeback, page by page
memory regions    one track each: its life, and its pins
tasks             one thread each: what the recorded kernel made it wait for
policy NAME       stalls by task, conflicts by class, costs as counters; an arrow leads from a pin to each stall that it causes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from replay.pftrace import Lanes, TimelineWriter

if TYPE_CHECKING:
    from replay.progress import Progress
    from replay.session import Session

Row = dict[str, Any]
Read = Callable[[str], Iterator[Row]]
Flows = Mapping[tuple[str, int], list[int]]

_OPERATIONS = """
SELECT ts, CASE WHEN open THEN NULL ELSE coalesce(dur, 0) END AS dur, op, kind, file, index, npages, tid, comm, result
FROM _events
WHERE op IN ('truncate', 'punch', 'fallocate', 'collapse', 'reflink', 'fsync') AND file IS NOT NULL
ORDER BY file, ts, seq
"""
# A page is under writeback until its next end, unless it is written again before: then the end is not in the trace.
_WRITEBACK = """
WITH starts AS (
  SELECT ts, seq, file, index, npages, tid, comm, sync, lead(ts) OVER (PARTITION BY file, index ORDER BY ts, seq) AS next_ts
  FROM _events
  WHERE op = 'wb_start' AND file IS NOT NULL
),
ends AS (
  SELECT ts AS end_ts, file, index FROM _events WHERE op = 'wb_end'
)
SELECT
  ts, CASE WHEN coalesce(end_ts <= next_ts, true) THEN end_ts - ts END AS dur,
  'writeback' AS op, starts.file, starts.index, npages, tid, comm, sync::INTEGER AS sync
FROM starts
ASOF LEFT JOIN ends ON ends.file = starts.file AND ends.index = starts.index AND end_ts >= ts
ORDER BY starts.file, ts, seq
"""
_REGIONS = """
SELECT
  mr, device, file, index, npages, bytes, write::INTEGER AS write, result, tid, comm,
  coalesce(ts_reg, ts_first) AS ts, ts_dereg - coalesce(ts_reg, ts_first) AS dur
FROM mrs
JOIN _traces USING (trace)
ORDER BY mr
"""
_PINS = """
SELECT
  mr, pin, file, index, npages, write::INTEGER AS write, longterm::INTEGER AS longterm, id_source, tid, name AS owner,
  coalesce(ts_pin, ts_first) AS ts, ts_unpin - coalesce(ts_pin, ts_first) AS dur
FROM pins
JOIN _traces USING (trace)
LEFT JOIN _tasks USING (trace, tid)
ORDER BY mr NULLS FIRST, ts, pin
"""
_PINNED = "SELECT ts, pages FROM pinned JOIN _traces USING (trace) ORDER BY ts"
_WAITS = """
SELECT ts, CASE WHEN open THEN NULL ELSE dur END AS dur, op, events.file, index, npages, tid, process, name
FROM _events AS events
JOIN _tasks USING (trace, tid)
WHERE op IN ('wb_wait', 'layout_wait', 'lease_break', 'mr_reg') AND (open OR dur IS NOT NULL)
ORDER BY tid, ts, seq
"""
_RUNS = "SELECT run, trim(policy || ' ' || settings) AS title FROM _runs ORDER BY position, policy, settings, run"
_STALLS = """
SELECT
  run, ts, CASE WHEN unbounded THEN NULL ELSE dur END AS dur, op, role, file, index, npages, pin, mr,
  coalesce(name, '?/' || stalls.tid) AS waiter
FROM stalls
JOIN _runs USING (run)
LEFT JOIN _tasks ON _tasks.trace = stalls.trace AND _tasks.tid = stalls.tid
ORDER BY run, waiter, ts, dur DESC NULLS FIRST, op, pin
"""
_CONFLICTS = """
SELECT run, ts, class, risk, op, file, index, npages, pin, mr, culprit_tid AS pinned_by, victim_tid AS met_by
FROM conflicts
JOIN _runs USING (run)
ORDER BY run, class, ts, file, index
"""
# Where nothing changes there is nothing to draw.
_SERIES = """
SELECT run, metric, unit, ts, value
FROM (
  SELECT
    run, metric, ts, value,
    CASE WHEN averaged THEN unit ELSE unit || ' in ' || dur // 1000 || ' us' END AS unit,
    lag(value, 1, 0) OVER (PARTITION BY run, metric ORDER BY ts) IS DISTINCT FROM value AS changes
  FROM _series
  JOIN _runs USING (run)
)
WHERE changes
ORDER BY run, metric, ts
"""
# What there is to draw, but for a few rows.
_ROWS = """
SELECT
  (SELECT count(*) FROM _events WHERE op IN ('truncate', 'punch', 'fallocate', 'collapse', 'reflink', 'fsync', 'wb_start', 'wb_wait'))
  + (SELECT count(*) FROM pins JOIN _traces USING (trace))
  + (SELECT count(*) FROM stalls JOIN _runs USING (run))
  + (SELECT count(*) FROM conflicts JOIN _runs USING (run))
  + (SELECT count(*) FROM series JOIN _runs USING (run))
"""
_ROWS_A_STEP = 1000


def write_timeline(session: Session, out: IO[bytes], progress: Progress | None = None) -> None:
    """Draw the trace that the session's variable `trace` chooses, and its runs, as `policy` chooses them."""
    writer = TimelineWriter(out)
    read = _counting(session, progress) if progress else lambda query: _rows(session, query)
    stalls: dict[str, list[Row]] = {}
    flows: dict[tuple[str, int], list[int]] = {}
    for row in read(_STALLS):
        stalls.setdefault(row["run"], []).append(row)
        cause = ("pin", row["pin"]) if row["pin"] is not None else ("mr", row["mr"])
        if cause[1] is not None:
            row["flow"] = writer.flow()
            flows.setdefault(cause, []).append(row["flow"])
    _draw_files(read, writer)
    _draw_regions(read, writer, flows)
    _draw_waits(read, writer)
    titles = {row["run"]: row["title"] for row in read(_RUNS)}
    groups = {run: writer.track(f"policy {title}") for run, title in titles.items()}
    for run, group in groups.items():
        _draw_stalls(stalls.get(run, []), writer, group)
    _draw_conflicts(read, writer, groups)
    _draw_costs(read, writer, groups)


def _draw_files(read: Read, writer: TimelineWriter) -> None:
    group = writer.track("files")
    track = _by_key(lambda file: writer.track(file, group))
    lanes = _by_key(lambda file: Lanes(writer, "operations", track(file)))
    for row in read(_OPERATIONS):
        lanes(row["file"]).slice(row["ts"], row["dur"], row["op"], _notes(row, "kind", "index", "npages", "tid", "comm", "result"))
    written = _by_key(lambda file: Lanes(writer, "writeback", track(file)))
    endless = _by_key(lambda file: writer.track("writeback without an end", track(file)))
    for row in read(_WRITEBACK):
        notes = _notes(row, "index", "npages", "sync", "tid", "comm")
        if row["dur"] is None:
            writer.instant(endless(row["file"]), row["ts"], row["op"], notes)
        else:
            written(row["file"]).slice(row["ts"], row["dur"], row["op"], notes)


def _draw_regions(read: Read, writer: TimelineWriter, flows: Flows) -> None:
    group = writer.track("memory regions")
    tracks: dict[int | None, int] = {}
    for row in read(_REGIONS):
        tracks[row["mr"]] = writer.track(f"MR {row['mr']}", group)
        notes = _notes(row, "mr", "device", "file", "index", "npages", "bytes", "write", "result", "tid", "comm")
        if (row["result"] or 0) < 0:
            writer.instant(tracks[row["mr"]], row["ts"], "refused", notes, flows.get(("mr", row["mr"]), ()))
        else:
            writer.slice(tracks[row["mr"]], row["ts"], row["dur"], "registered", notes, flows.get(("mr", row["mr"]), ()))
    lanes = _by_key(lambda mr: Lanes(writer, "pins", tracks.get(mr, group)))
    for row in read(_PINS):
        notes = _notes(row, "pin", "mr", "file", "index", "npages", "write", "longterm", "id_source", "owner")
        lanes(row["mr"]).slice(row["ts"], row["dur"], "pinned", notes, flows.get(("pin", row["pin"]), ()))
    counter = writer.counter("pinned pages", "pages", group)
    for row in read(_PINNED):
        writer.value(counter, row["ts"], row["pages"])


def _draw_waits(read: Read, writer: TimelineWriter) -> None:
    lanes = _by_key(lambda task: Lanes(writer, "recorded waits", writer.thread(*task)))
    for row in read(_WAITS):
        task = lanes((row["tid"], row["process"], row["name"]))
        task.slice(row["ts"], row["dur"], row["op"], _notes(row, "file", "index", "npages"))


def _draw_stalls(rows: list[Row], writer: TimelineWriter, group: int) -> None:
    lanes = _by_key(lambda waiter: Lanes(writer, f"stalls of {waiter}", group))
    for row in rows:
        notes = _notes(row, "role", "file", "index", "npages", "pin", "mr")
        lanes(row["waiter"]).slice(row["ts"], row["dur"], row["op"], notes, [row["flow"]] if "flow" in row else ())


def _draw_conflicts(read: Read, writer: TimelineWriter, groups: Mapping[str, int]) -> None:
    track = _by_key(lambda key: writer.track(f"conflicts: {key[1]}", groups[key[0]]))
    for row in read(_CONFLICTS):
        notes = _notes(row, "risk", "file", "index", "npages", "pin", "mr", "pinned_by", "met_by")
        writer.instant(track((row["run"], row["class"])), row["ts"], row["op"], notes)


def _draw_costs(read: Read, writer: TimelineWriter, groups: Mapping[str, int]) -> None:
    counter = _by_key(lambda key: writer.counter(key[1], key[2], groups[key[0]]))
    for row in read(_SERIES):
        writer.value(counter((row["run"], row["metric"], row["unit"])), row["ts"], float(row["value"]))


def _rows(session: Session, query: str) -> Iterator[Row]:
    names, rows = session.rows(query)
    return (dict(zip(names, row, strict=True)) for row in rows)


def _counting(session: Session, progress: Progress) -> Read:
    """Rows that tell the progress as they are read."""
    ((total,),) = session.rows(_ROWS)[1]
    done = 0

    def read(query: str) -> Iterator[Row]:
        nonlocal done
        for row in _rows(session, query):
            done += 1
            if done % _ROWS_A_STEP == 0:
                progress(done, total)
            yield row

    return read


def _notes(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


def _by_key(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What belongs to a key, made when the key is first met."""
    made: dict[Any, Any] = {}

    def get(key: Any) -> Any:
        if key not in made:
            made[key] = make(key)
        return made[key]

    return get
