"""What a trace and its runs look like on a timeline: what happened on files, regions and tasks, and what each policy makes of it.

files             one track each: operations on the file's layout and fsync; writeback, page by page
memory regions    one track each: its life, and its pins
tasks             one thread each: what the recorded kernel made it wait for
policy NAME       stalls by task, conflicts by class, costs as counters; an arrow leads from a pin to each stall that it causes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from replay.pftrace import Lanes, TimelineWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.progress import Progress
    from replay.session import Session

Row = tuple[Any, ...]
Flows = Mapping[tuple[str, int | None], list[int]]

# A SELECT gives first what places a row on the timeline; the columns from `index` on are notes, by their names.
_OPERATIONS = """
SELECT file, ts, CASE WHEN open THEN NULL ELSE coalesce(dur, 0) END AS dur, op, index, npages, kind, tid, comm, result
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
  starts.file, ts, CASE WHEN coalesce(end_ts <= next_ts, true) THEN end_ts - ts END AS dur,
  starts.index, npages, sync::INTEGER AS sync, tid, comm
FROM starts
ASOF LEFT JOIN ends ON ends.file = starts.file AND ends.index = starts.index AND end_ts >= ts
ORDER BY starts.file, ts, seq
"""
_REGIONS = """
SELECT
  mr AS of_mr, coalesce(ts_reg, ts_first) AS ts, ts_dereg - coalesce(ts_reg, ts_first) AS dur, coalesce(result, 0) < 0 AS refused,
  index, npages, mr, device, file, bytes, write::INTEGER AS write, result, tid, comm
FROM mrs
JOIN _traces USING (trace)
ORDER BY mr
"""
_PINS = """
SELECT
  mr AS of_mr, pin AS of_pin, coalesce(ts_pin, ts_first) AS ts, ts_unpin - coalesce(ts_pin, ts_first) AS dur,
  index, npages, pin, mr, file, write::INTEGER AS write, longterm::INTEGER AS longterm, id_source, name AS owner
FROM pins
JOIN _traces USING (trace)
LEFT JOIN _tasks USING (trace, tid)
ORDER BY mr NULLS FIRST, ts, pin
"""
_PINNED = "SELECT ts, pages FROM pinned JOIN _traces USING (trace) ORDER BY ts"
_WAITS = """
SELECT tid, process, name, ts, CASE WHEN open THEN NULL ELSE dur END AS dur, op, index, npages, events.file
FROM _events AS events
JOIN _tasks USING (trace, tid)
WHERE op IN ('wb_wait', 'layout_wait', 'lease_break', 'mr_reg') AND (open OR dur IS NOT NULL)
ORDER BY tid, ts, seq
"""
_RUNS = "SELECT run, trim(policy || ' ' || settings) AS title FROM _runs ORDER BY position, policy, settings, run"
_STALLS = """
SELECT
  run, coalesce(name, '?/' || stalls.tid) AS waiter, pin AS of_pin, mr AS of_mr, ts, CASE WHEN unbounded THEN NULL ELSE dur END AS dur, op,
  index, npages, role, file, pin, mr
FROM stalls
JOIN _runs USING (run)
LEFT JOIN _tasks ON _tasks.trace = stalls.trace AND _tasks.tid = stalls.tid
ORDER BY run, waiter, ts, dur DESC NULLS FIRST, op, pin
"""
_CONFLICTS = """
SELECT run, class, ts, op, index, npages, risk, file, pin, mr, culprit_tid AS pinned_by, victim_tid AS met_by
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


def write_timeline(session: Session, out: IO[bytes], progress: Progress | None = None) -> None:
    """Draw the trace that the session's variable `trace` chooses, and its runs, as `policy` chooses them."""
    writer = TimelineWriter(out)
    reader = _Reader(session, writer, progress)
    stalls: dict[str, list[tuple[Row, bytes, Sequence[int]]]] = {}
    flows: dict[tuple[str, int | None], list[int]] = {}
    for (run, waiter, pin, mr, *placed), notes in reader.noted(_STALLS):
        own = () if pin is None and mr is None else (writer.flow(),)
        flows.setdefault(("mr", mr) if pin is None else ("pin", pin), []).extend(own)
        stalls.setdefault(run, []).append(((waiter, *placed), notes, own))
    _draw_files(reader, writer)
    _draw_regions(reader, writer, flows)
    _draw_waits(reader, writer)
    groups = {run: writer.track(f"policy {title}") for run, title in reader.rows(_RUNS)}
    for run, group in groups.items():
        _draw_stalls(stalls.get(run, []), writer, group)
    _draw_conflicts(reader, writer, groups)
    _draw_costs(reader, writer, groups)


class _Reader:
    """Rows of queries, as they are fetched; tells the progress."""

    def __init__(self, session: Session, writer: TimelineWriter, progress: Progress | None) -> None:
        self._session = session
        self._writer = writer
        self._progress = progress
        self._done = 0
        self._total = next(self._session.rows(_ROWS)[1])[0] if progress else 0

    def rows(self, query: str) -> Iterator[Row]:
        for row in self._session.rows(query)[1]:
            yield row
            self._count(1)

    def noted(self, query: str) -> Iterator[tuple[Row, bytes]]:
        """Rows and their notes."""
        for placed, notes in self.batches(query):
            yield from zip(zip(*(column.to_pylist() for column in placed), strict=True), notes.to_pylist(), strict=True)

    def batches(self, query: str) -> Iterator[tuple[Sequence[pa.Array], pa.Array]]:
        """The same by columns."""
        schema, batches = self._session.batches(query)
        at = schema.names.index("index")
        for batch in batches:
            yield batch.columns[:at], self._writer.notes(dict(zip(schema.names[at:], batch.columns[at:], strict=True)))
            self._count(batch.num_rows)

    def _count(self, rows: int) -> None:
        self._done += rows
        if self._progress:
            self._progress(self._done, self._total)


def _draw_files(reader: _Reader, writer: TimelineWriter) -> None:
    group = writer.track("files")
    track = _by_key(lambda file: writer.track(file, group))
    lanes = _by_key(lambda file: Lanes(writer, "operations", track(file)))
    for (file, ts, dur, op), notes in reader.noted(_OPERATIONS):
        lanes(file).slice(ts, dur, op, notes)
    written = _by_key(lambda file: Lanes(writer, "writeback", track(file)))
    endless = _by_key(lambda file: writer.track("writeback without an end", track(file)))
    for (file, ts, dur), notes in reader.noted(_WRITEBACK):
        if dur is None:
            writer.instant(endless(file), ts, "writeback", notes)
        else:
            written(file).slice(ts, dur, "writeback", notes)


def _draw_regions(reader: _Reader, writer: TimelineWriter, flows: Flows) -> None:
    group = writer.track("memory regions")
    tracks: dict[int | None, int] = {}
    for (mr, ts, dur, refused), notes in reader.noted(_REGIONS):
        tracks[mr] = writer.track(f"MR {mr}", group)
        if refused:
            writer.instant(tracks[mr], ts, "refused", notes, flows.get(("mr", mr), ()))
        else:
            writer.slice(tracks[mr], ts, dur, "registered", notes, flows.get(("mr", mr), ()))
    lanes = _by_key(lambda mr: Lanes(writer, "pins", tracks.get(mr, group)))
    for (mr, pin, ts, dur), notes in reader.noted(_PINS):
        lanes(mr).slice(ts, dur, "pinned", notes, flows.get(("pin", pin), ()))
    counter = writer.counter("pinned pages", "pages", group)
    for ts, pages in reader.rows(_PINNED):
        writer.value(counter, ts, pages)


def _draw_waits(reader: _Reader, writer: TimelineWriter) -> None:
    lanes = _by_key(lambda task: Lanes(writer, "recorded waits", writer.thread(*task)))
    for (*task, ts, dur, op), notes in reader.noted(_WAITS):
        lanes(tuple(task)).slice(ts, dur, op, notes)


def _draw_stalls(stalls: Sequence[tuple[Row, bytes, Sequence[int]]], writer: TimelineWriter, group: int) -> None:
    lanes = _by_key(lambda waiter: Lanes(writer, f"stalls of {waiter}", group))
    for (waiter, ts, dur, op), notes, flows in stalls:
        lanes(waiter).slice(ts, dur, op, notes, flows)


def _draw_conflicts(reader: _Reader, writer: TimelineWriter, groups: Mapping[str, int]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    track = _by_key(lambda key: writer.track(f"conflicts: {key[1]}", groups[key[0]]))
    for (runs, classes, ts, ops), notes in reader.batches(_CONFLICTS):
        keys = pc.dictionary_encode(pc.binary_join_element_wise(runs, classes, " "))
        tracks = pa.array(track(tuple(key.split(" "))) for key in keys.dictionary.to_pylist())
        writer.instants(tracks.take(keys.indices), ts, ops, notes)


def _draw_costs(reader: _Reader, writer: TimelineWriter, groups: Mapping[str, int]) -> None:
    counter = _by_key(lambda key: writer.counter(key[1], key[2], groups[key[0]]))
    for run, metric, unit, ts, value in reader.rows(_SERIES):
        writer.value(counter((run, metric, unit)), ts, float(value))


def _by_key(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What belongs to a key, made when the key is first met."""
    made: dict[Any, Any] = {}

    def get(key: Any) -> Any:
        if key not in made:
            made[key] = make(key)
        return made[key]

    return get
